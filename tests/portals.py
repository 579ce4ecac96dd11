"""The portal over real services of this process, in a browser without a screen: people sign in and look at pages."""

import asyncio
import os
import threading
from contextlib import asynccontextmanager

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import async_playwright
from werkzeug.serving import make_server

from admin.app import create_app
from admin.channels import Channels
from admin.settings import PortalSettings
from deploy import browser

PASSWORD = "correct horse battery"
WIDE = {"width": 1360, "height": 900}


class Portal:
    """The portal's process, in a thread of this one."""

    def __init__(self, folder, secrets, addresses):
        told = {f"{name}_address": address for name, address in addresses.items()}
        self._settings = PortalSettings(
            state=folder, secrets_dir=secrets, demonstration=True, **told
        )
        self._channels = Channels(self._settings)
        self.app = create_app(self._channels, self._settings)
        self._server = make_server("127.0.0.1", 0, self.app, threaded=True)
        self.address = f"http://127.0.0.1:{self._server.port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    async def stop(self):
        """Stop serving."""
        await asyncio.to_thread(self._server.shutdown)
        self._thread.join()
        self._server.server_close()
        self._channels.close()
        self.app.session_interface._store.close()


@asynccontextmanager
async def chromium():
    """Yield a browser; without one the test is passed over by name, except where everything must be shown."""
    program = browser.found()
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium was found, and in CI there must be one")
        pytest.skip("no Chromium was found: run 'make setup' as root, or install one")
    async with async_playwright() as play:
        opened = await play.chromium.launch(
            executable_path=program,
            args=["--no-sandbox"] if os.geteuid() == 0 else [],
        )
        yield opened
        await opened.close()


class Window:
    """One person's window: signed in, in the language of their choice."""

    def __init__(self, portal, page):
        self._portal = portal
        self.page = page
        self.faults = []
        page.on("pageerror", lambda error: self.faults.append(str(error)))

    @classmethod
    async def open(cls, portal, chrome, operator, *, language="zh_Hans_CN"):
        """Sign *operator* in."""
        context = await chrome.new_context(viewport=WIDE, accept_downloads=True)
        context.set_default_timeout(20_000)
        found = cls(portal, await context.new_page())
        await found.to("/admin/")
        await found.page.fill("[name=operator_no]", operator)
        await found.page.fill("[name=password]", PASSWORD)
        await found.page.locator("form.entrance button").click()
        await found.page.locator("nav.side").wait_for()
        if language == "en":
            await found.page.get_by_role("button", name="English").click()
            await found.page.get_by_role("button", name="中文").wait_for()
        return found

    async def to(self, path):
        """Go to a page of the portal; return its status."""
        answer = await self.page.goto(self._portal.address + path)
        return answer.status

    async def text(self):
        """Return what the page's main part says."""
        return await self.page.locator("main").inner_text()

    async def violations(self):
        """Return what axe finds wrong with the page, by rule and place."""
        found = await Axe().run(self.page)
        return [
            (one["id"], [node["html"][:120] for node in one["nodes"]])
            for one in found.response["violations"]
        ]

    async def close(self):
        """Close the window."""
        await self.page.context.close()
