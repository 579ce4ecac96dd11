"""Signing in and out, what a cookie is worth, and what is checked of every form."""

import time

import pytest

from admin.app import create_app
from admin.login import safe_target
from admin.sessions import IDLE_SECONDS, LIFE_SECONDS, SessionStore
from tests.unit.admin.conftest import Browser


def test_a_stranger_is_sent_to_sign_in_and_back_to_the_page(stranger):
    """Whoever opens a page without a session signs in first and then sees that page."""
    sent = stranger.get("/admin/customers/?search=x")
    stranger.get(sent.location)
    signed = stranger.post(
        sent.location, {"operator_no": "1001", "password": "correct horse battery"}
    )

    assert sent.status_code == 302
    assert signed.location == "/admin/customers/?search=x"


def test_a_wrong_password_is_said_in_the_persons_language(stranger):
    """The service's own sentence is shown, in Chinese and after the switch in English; the status is 401."""
    chinese = stranger.sign_in(password="no")
    stranger.english()
    english = stranger.sign_in(password="no")

    assert (chinese.status_code, english.status_code) == (401, 401)
    assert "操作员号或密码不正确。" in chinese.text
    assert "The operator number or the password is not right." in english.text


def test_an_empty_form_is_not_sent_to_the_service(stranger):
    """Both fields are asked for, and nobody is signed in."""
    answer = stranger.sign_in(operator="", password="")

    assert answer.status_code == 422
    assert "请输入操作员号。" in answer.text
    assert "请输入密码。" in answer.text


def test_signing_in_changes_the_cookie(stranger):
    """An id planted before the sign-in is worth nothing afterwards."""
    stranger.get("/sign-in")
    planted = stranger.cookie
    stranger.sign_in()

    assert stranger.cookie != planted


def test_the_cookie_cannot_be_read_by_scripts_and_is_secure_outside_the_demonstration(
    channels, settings, stranger
):
    """HttpOnly and SameSite=Lax always; elsewhere Secure with the name that browsers bind to the host."""
    shown = stranger.get("/sign-in").headers["Set-Cookie"]
    settings.key()
    real = settings.model_copy(update={"demonstration": False})
    app = create_app(channels, real)
    strict = app.test_client().get("/sign-in", base_url="https://portal")
    app.session_interface._store.close()

    assert "HttpOnly" in shown
    assert "SameSite=Lax" in shown
    assert strict.headers["Set-Cookie"].startswith("__Host-guanhu=")
    assert "Secure;" in strict.headers["Set-Cookie"]
    assert "max-age" in strict.headers["Strict-Transport-Security"]


def test_a_cookie_replayed_after_sign_out_opens_nothing(browser, trial):
    """Signing out ends the session at the portal and at IdentityService; a kept cookie is a stranger's."""
    kept = browser.cookie
    before = len(trial.identity.signed_out)
    left = browser.post("/sign-out")
    thief = Browser(browser.app)
    thief.client.set_cookie("guanhu", kept)
    replayed = thief.get("/admin/")

    assert left.status_code == 303
    assert len(trial.identity.signed_out) == before + 1
    assert replayed.status_code == 302
    assert "/sign-in" in replayed.location


@pytest.mark.parametrize(
    "url", ["/sign-in", "/sign-out", "/language", "/admin/customers/action/"]
)
def test_a_form_without_our_token_is_refused(browser, url):
    """Every POST without the session's token is answered with 400, whatever it asks."""
    answers = [
        browser.post(url, {"csrf_token": token, "action": "count"}).status_code
        for token in ("", "0" * 64, "ä")
    ]

    assert answers == [400, 400, 400]


def test_the_token_of_another_session_is_refused(browser, app):
    """A token is bound to one session."""
    other = Browser(app)
    other.sign_in("1002")
    mixed = browser.post("/sign-out", {"csrf_token": other.token})

    assert mixed.status_code == 400


def test_a_token_in_a_header_serves_scripts(browser):
    """Scripts may send the token as a header."""
    answer = browser.client.post(
        "/language", data={"language": "en"}, headers={"X-CSRF-Token": browser.token}
    )

    assert answer.status_code == 303


def test_a_token_with_little_left_is_renewed(browser, trial):
    """With less than two minutes left the portal renews by the session's secret before it asks anything."""
    trial.identity.life = 60
    other = Browser(browser.app)
    other.sign_in()
    before = trial.identity.renewed
    answers = [other.get("/admin/customers/").status_code for _ in range(3)]

    assert answers == [200, 200, 200]
    assert trial.identity.renewed - before <= 1


def test_a_session_that_has_ended_at_the_service_ends_here(stranger, trial):
    """When the secret no longer renews, the person is sent to sign in."""
    trial.identity.life = 60
    stranger.get("/sign-in")
    form = {"operator_no": "1001", "password": "correct horse battery"}
    stranger.post("/sign-in", form)
    trial.identity.secrets.clear()
    answer = stranger.get("/admin/customers/")

    assert answer.status_code == 302
    assert "/sign-in" in answer.location


def test_a_revoked_token_leads_to_the_sign_in_page(browser, trial):
    """A page whose service says UNAUTHENTICATED ends the session; a script is told 401."""
    trial.identity.tokens.clear()
    script = browser.get(
        "/admin/customers/peek/?id=customers/1001",
        headers={"Accept": "application/json"},
    )
    page = browser.get("/admin/customers/")

    assert script.status_code == 401
    assert page.status_code == 302


def test_an_unreachable_identity_service_is_told_on_the_form(stranger, trial):
    """The form stays, with a sentence, and the status says to try again."""
    trial.stop()
    answer = stranger.sign_in()
    trial.start()

    assert answer.status_code == 503
    assert "后台服务" in answer.text


def test_the_language_switch_keeps_the_page(browser):
    """The switch returns to where the person was, and the page then speaks English."""
    answer = browser.post(
        "/language", {"language": "en", "url": "/admin/customers/?search=a"}
    )
    page = browser.get(answer.location)

    assert answer.location == "/admin/customers/?search=a"
    assert '<html lang="en">' in page.text
    assert "Search this list" in page.text
    assert browser.post("/language", {"language": "fr"}).status_code == 400


@pytest.mark.parametrize(
    "url", ["//evil", "/\\evil", "https://evil/", "evil", "", None, "/a\nb", "/%0a\t"]
)
def test_no_way_leads_to_another_host(app, url):
    """Only a path of the portal is a target; anything else becomes the first page."""
    with app.test_request_context("/"):
        assert safe_target(url) == "/admin/"


def test_sessions_end_when_idle_or_old(tmp_path):
    """A quarter of an hour without use, or eight hours in all, and the session is unknown."""
    now = [1000.0]
    store = SessionStore(tmp_path / "s", b"k" * 32, lambda: now[0])
    store.insert("a", {"x": 1})
    now[0] += IDLE_SECONDS - 1
    used = store.load("a")
    now[0] += IDLE_SECONDS - 1
    again = store.load("a", used=False)
    now[0] += 2
    idle = store.load("a")
    store.insert("b", {})
    for _ in range(int(LIFE_SECONDS / 600)):
        now[0] += 600
        last = store.load("b")
    store.close()

    assert (used, again, idle) == ({"x": 1}, {"x": 1}, None)
    assert last is None


def test_a_request_under_way_does_not_revive_a_session(tmp_path):
    """What is written after the session was ended is not kept."""
    store = SessionStore(tmp_path / "s", b"k" * 32)
    store.insert("a", {"x": 1})
    store.delete("a")
    store.update("a", {"x": 2})
    found = store.load("a")
    store.close()

    assert found is None


def test_the_file_of_sessions_gives_nothing_away(browser, settings):
    """Neither names nor tokens nor ids can be read in the file, and only its owner may open it."""
    files = list(settings.folder.glob("sessions.sqlite3*"))
    content = b"".join(file.read_bytes() for file in files)

    assert content
    assert "张明华".encode() not in content
    assert b"token-" not in content
    assert browser.cookie.encode() not in content
    assert files[0].stat().st_mode & 0o077 == 0


def test_a_page_that_asks_by_itself_does_not_keep_the_session_alive(browser, app):
    """Requests marked as quiet are not use."""
    store = app.session_interface._store
    now = time.time()
    store._clock = lambda: now + 600
    browser.get("/admin/", headers={"X-Guanhu-Quiet": "1"})
    store._clock = lambda: now + 901
    late = browser.get("/admin/")

    assert late.status_code == 302


def test_a_refusal_of_sign_out_still_signs_out_here(browser, trial):
    """When IdentityService cannot be asked, the portal's own session ends all the same."""
    trial.stop()
    answer = browser.post("/sign-out")
    trial.start()

    assert answer.status_code == 303
    assert browser.get("/admin/").status_code == 302


def test_signed_in_people_skip_the_sign_in_page(browser):
    """The sign-in page sends them on."""
    answer = browser.get("/sign-in")

    assert (answer.status_code, answer.location) == (302, "/admin/")
