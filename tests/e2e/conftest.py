"""Fixtures of the tests that start whole processes."""

import os

import pytest
from playwright.sync_api import sync_playwright

from deploy import browser


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
