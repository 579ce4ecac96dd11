"""People of the bank, for tests: each at the portal in a window of their own, and over gRPC with their own token."""

import csv
import subprocess
import sys
import time
from pathlib import Path

import grpc
from axe_playwright_python.sync_playwright import Axe
from guanhu.identity.v1 import identity_pb2
from guanhu.identity.v1.identity_pb2_grpc import IdentityServiceStub
from playwright.sync_api import expect

from services.chassis.clock import day_of, system_clock

GUANHU = Path(sys.executable).with_name("guanhu")

PATIENCE = 20_000
"""Milliseconds within which a page must show what it is asked for, on a busy machine."""

SECONDS = 30
"""How long facts may take from one service to the next on a busy machine."""


class Desk:
    """One person of the bank: at the portal in a window of their own, and over gRPC with a token of their own."""

    def __init__(self, start, chromium, post, number=None):
        """Let the first of *post* work here, or the colleague with *number*: all have the same password."""
        self._start = start
        first, self._password = start.operators[post]
        self.number = number or first
        self.staff = f"staff/{self.number}"
        asked = identity_pb2.SignInRequest(
            operator_no=self.number, password=self._password
        )
        with grpc.insecure_channel(start.address("allocation")) as channel:
            self._token = IdentityServiceStub(channel).SignIn(asked, timeout=10).token
        self._chromium, self._page = chromium, None
        self.faults = []

    def ask(self, service, stub, method, request):
        """Return the answer of one call."""
        with grpc.insecure_channel(self._start.address(service)) as channel:
            pairs = [("authorization", f"Bearer {self._token}")]
            return getattr(stub(channel), method)(request, metadata=pairs, timeout=20)

    @property
    def page(self):
        """Return the person's window, signed in, in Chinese."""
        if self._page is None:
            context = self._chromium.new_context(
                viewport={"width": 1360, "height": 900}
            )
            context.set_default_timeout(PATIENCE)
            self._page = context.new_page()
            self._page.on("pageerror", lambda error: self.faults.append(str(error)))
            self._page.on("console", self._hear)
            self._page.goto(self._start.address("portal") + "/admin/")
            self._page.fill("[name=operator_no]", self.number)
            self._page.fill("[name=password]", self._password)
            self._page.get_by_role("button", name="登录").click()
            expect(self._page.get_by_role("navigation").first).to_be_visible()
        return self._page

    def _hear(self, told):
        """Take down what the browser complains of; that a page was refused is no complaint about the page."""
        if told.type == "error" and not told.text.startswith("Failed to load resource"):
            self.faults.append(told.text)

    def at(self, path):
        """Go to a page of the portal, and return it."""
        self.page.goto(f"{self._start.address('portal')}/admin/{path}")
        return self.page

    def open(self, entry):
        """Open the page that the menu calls *entry*."""
        self.page.get_by_role("navigation").get_by_role(
            "link", name=entry, exact=True
        ).click()
        return self.page


def sound(page):
    """Say that axe finds no fault in a page, that it fits its window, and that nothing in it is done inline."""
    found = Axe().run(page).response["violations"]
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")

    assert not [(one["id"], one["nodes"][0]["html"]) for one in found], page.url
    assert wide <= 0, page.url
    expect(page.locator("[onclick], [style]")).to_have_count(0)


def until(ask, fits, seconds=SECONDS):
    """Return the first answer of *ask* that fits; facts travel from one service to the next within seconds."""
    end = time.monotonic() + seconds
    while not fits(found := ask()):
        assert time.monotonic() < end, found
        time.sleep(0.1)
    return found


def bring(start, folder, lines, source):
    """Import customers as a system of the bank brings them: each of them brings one snapshot a day."""
    with (folder / "customers.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, lines[0])
        table.writeheader()
        table.writerows(lines)
    secrets = f"{start.told['GUANHU_STATE']}/secrets"
    today = day_of(system_clock()).isoformat()
    subprocess.run(
        [GUANHU, "import", folder, "--date", today, "--source", source],
        env={**start.told, "GUANHU_SECRETS_DIR": secrets},
        timeout=60,
        check=True,
        capture_output=True,
    )
