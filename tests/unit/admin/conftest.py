"""Fixtures of the portal's tests: a trial bank, the portal over it, and a browser without a screen."""

import re

import pytest

from admin.app import create_app
from admin.channels import Channels
from admin.settings import PortalSettings
from tests.unit.admin.pages import views
from tests.unit.admin.trial import PASSWORD, SECRET, TrialBank

TOKEN = re.compile(r'name="csrf_token" value="([0-9a-f]{64})"')


class Browser:
    """Asks the portal as a browser does: keeps cookies, sends the token of the page it saw last."""

    def __init__(self, app):
        self.client = app.test_client()
        self.app = app
        self.token = ""

    def get(self, url, **options):
        answer = self.client.get(url, **options)
        self._learn(answer)
        return answer

    def post(self, url, form=None, **options):
        """Post with the token of the last page; other tokens can be given in the form."""
        told = {"csrf_token": self.token, **(form or {})}
        answer = self.client.post(url, data=told, **options)
        self._learn(answer)
        return answer

    def sign_in(self, operator="1001", password=PASSWORD):
        self.get("/sign-in")
        answer = self.post("/sign-in", {"operator_no": operator, "password": password})
        if answer.status_code == 303:
            self.get("/admin/")
        return answer

    def english(self):
        self.post("/language", {"language": "en", "url": "/admin/"})
        self.get("/admin/")
        return self

    @property
    def cookie(self):
        return self.client.get_cookie("guanhu").value

    def _learn(self, answer):
        found = TOKEN.search(answer.get_data(as_text=True))
        if found:
            self.token = found[1]


@pytest.fixture(scope="session")
def bank_of_portal():
    bank = TrialBank()
    yield bank
    bank.stop()


@pytest.fixture
def trial(bank_of_portal):
    """The trial bank as it is in the morning: fresh customers, no faults."""
    fresh = type(bank_of_portal.customers)(bank_of_portal.identity)
    bank_of_portal.customers.__dict__.update(fresh.__dict__)
    fresh = type(bank_of_portal.parameters)(bank_of_portal.identity)
    bank_of_portal.parameters.__dict__.update(fresh.__dict__)
    bank_of_portal.identity.life = 300
    return bank_of_portal


@pytest.fixture
def settings(trial, tmp_path):
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "start-up-secret").write_text(SECRET)
    return PortalSettings(
        state=tmp_path,
        secrets_dir=secrets,
        demonstration=True,
        customer_address=trial.address,
        allocation_address=trial.address,
        engagement_address=trial.address,
        messaging_address=trial.address,
    )


@pytest.fixture
def channels(settings):
    made = Channels(settings)
    yield made
    made.close()


@pytest.fixture
def app(channels, settings):
    made = create_app(channels, settings, views)
    yield made
    made.session_interface._store.close()


@pytest.fixture
def stranger(app):
    """A browser nobody has signed in with."""
    return Browser(app)


@pytest.fixture
def browser(stranger):
    """A browser with the head of the branch signed in."""
    assert stranger.sign_in().status_code == 303
    return stranger
