"""Fixtures of the tests that start whole processes."""

import json
import os

import pytest
from playwright.sync_api import sync_playwright

from deploy import browser
from tests.e2e.test_local import Start, environment

PACE = 6
"""Messages a second that the demonstration bank hands over: slow enough to see it happen."""


@pytest.fixture(scope="session")
def demonstration(tmp_path_factory):
    """
    The demonstration bank, started as its user starts it, for the modules that leave each other alone.

    Each works with people, templates or a branch of its own; what belongs to all it puts back.
    """
    folder = tmp_path_factory.mktemp("demonstration")
    folder.chmod(0o700)
    state = folder / "state"
    handover = {"name": "handover", "display_name": "演示文件交接", "protocol": "file"}
    gateways = [
        {"name": "demo", "display_name": "演示短信中心", "rate": PACE},
        handover | {"folder": str(state / "handover")},
    ]
    told = environment(
        state, GUANHU_MESSAGING_GATEWAYS=json.dumps(gateways, ensure_ascii=False)
    )
    begun = Start(told)
    yield begun
    begun.stop()


@pytest.fixture(scope="module")
def chromium():
    """A browser; without one these tests are passed over by name, except where everything must be shown."""
    program = browser.found()
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium was found, and in CI there must be one")
        pytest.skip("no Chromium was found: run 'make setup' as root, or install one")
    with sync_playwright() as play:
        opened = play.chromium.launch(
            executable_path=program,
            args=["--no-sandbox"] if os.geteuid() == 0 else [],
        )
        yield opened
        opened.close()
