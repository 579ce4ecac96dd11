"""People of the bank, for tests: each at the portal in a window of their own, and over gRPC with their own token."""

import grpc
from guanhu.identity.v1 import identity_pb2
from guanhu.identity.v1.identity_pb2_grpc import IdentityServiceStub
from playwright.sync_api import expect

PATIENCE = 20_000
"""Milliseconds within which a page must show what it is asked for, on a busy machine."""


class Desk:
    """One person of the bank: at the portal in a window of their own, and over gRPC with a token of their own."""

    def __init__(self, start, chromium, post):
        self._start = start
        self.number, self._password = start.operators[post]
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
            self._page.goto(self._start.address("portal") + "/admin/")
            self._page.fill("[name=operator_no]", self.number)
            self._page.fill("[name=password]", self._password)
            self._page.get_by_role("button", name="登录").click()
            expect(self._page.get_by_role("navigation").first).to_be_visible()
        return self._page

    def open(self, entry):
        """Open the page that the menu calls *entry*."""
        self.page.get_by_role("navigation").get_by_role(
            "link", name=entry, exact=True
        ).click()
        return self.page
