"""The frame around every page: headers, rights, error pages, languages, budgets."""

import re
from pathlib import Path

import grpc
import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from google.protobuf import descriptor_pool
from guanhu.policy.v1 import policy_pb2

import admin
from admin import menu
from admin.app import create_app
from admin.channels import Channels
from tests.unit.admin.conftest import Browser

ROOT = Path(next(iter(admin.__path__)))

PAGES = (
    "/admin/",
    "/admin/customers/",
    "/admin/customers/details/?id=customers/1003",
    "/admin/customers/edit/?id=customers/1003",
    "/admin/customers/peek/?id=customers/1003",
    "/admin/parameters-customer/",
    "/admin/nothing",
)


@pytest.mark.parametrize("url", PAGES)
def test_no_page_runs_code_of_its_own(browser, url):
    """Nothing inline, nothing unsafe: the content policy allows our own files alone and the pages need no more."""
    page = browser.get(url)
    policy = page.headers["Content-Security-Policy"]

    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert not re.search(r"<[^>]+\s(on\w+|style)=", page.text)
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|javascript:", page.text)


@pytest.mark.parametrize("url", ["/admin/", "/sign-in", "/admin/nothing", "/healthz"])
def test_pages_are_not_kept_by_anybody(browser, url):
    """No answer is stored, sniffed or framed, and each has a number."""
    headers = browser.get(url).headers

    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert re.fullmatch(r"[0-9a-f]{32}", headers["X-Request-Id"])


def test_assets_are_kept_by_their_content(browser):
    """A file asked for by its content's version is kept for a year; without, it is not kept. None sets a cookie."""
    url = re.search(r'href="(/static/portal\.css\?v=\w+)"', browser.get("/admin/").text)
    with (
        browser.client.get(url[1]) as kept,
        browser.client.get("/static/portal.css") as bare,
    ):
        pass

    assert "immutable" in kept.headers["Cache-Control"]
    assert bare.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in kept.headers


def test_health_needs_neither_session_nor_service(app, trial):
    """The check answers while every service is away, and sets no cookie."""
    trial.stop()
    answer = app.test_client().get("/healthz")
    trial.start()

    assert (answer.status_code, answer.text) == (200, "ok\n")
    assert "Set-Cookie" not in answer.headers


def test_the_portal_starts_while_every_service_is_away(settings, trial):
    """Making the app calls nothing and opens no channel."""
    trial.stop()
    channels = Channels(settings)
    made = create_app(channels, settings)
    pids = {channels.to(name).pid for name in ("customer", "allocation", "messaging")}
    made.session_interface._store.close()
    trial.start()

    assert pids == {0}


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (grpc.StatusCode.PERMISSION_DENIED, 403),
        (grpc.StatusCode.NOT_FOUND, 404),
        (grpc.StatusCode.ABORTED, 409),
        (grpc.StatusCode.ALREADY_EXISTS, 409),
        (grpc.StatusCode.FAILED_PRECONDITION, 409),
        (grpc.StatusCode.INVALID_ARGUMENT, 422),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 429),
        (grpc.StatusCode.INTERNAL, 500),
        (grpc.StatusCode.UNAVAILABLE, 503),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 503),
    ],
)
def test_every_refusal_has_a_page_in_both_languages(browser, trial, code, status):
    """The service's sentence in the person's language, or one of ours when the service said nothing of its own."""
    url = "/admin/customers/details/?id=customers/1003"
    trial.customers.fault = (code, "SOMETHING", None)
    chinese = browser.get(url)
    browser.english()
    english = browser.get(url)
    trial.customers.fault = (code, "", None)
    bare = browser.get(url)
    script = browser.get(url, headers={"Accept": "application/json"})

    assert {page.status_code for page in (chinese, english, bare, script)} == {status}
    assert "被拒绝。" in chinese.text
    assert "It was refused." in english.text
    assert "bare" not in bare.text
    assert script.json["number"] == script.headers["X-Request-Id"]
    assert ("Retry-After" in bare.headers) == (status in {429, 503})
    assert ("data-reload" in bare.text) == (status in {429, 503})


def test_a_bug_is_500_and_the_log_holds_no_text_of_it(browser, app, caplog):
    """The person sees a number, the log where it happened; what the fault said may be personal and stays out."""
    found = next(
        view
        for view in app.extensions["admin"][0]._views
        if view.endpoint == "customers"
    )

    def broken(_name):
        raise TypeError("secret 138****")

    found.fetch = broken
    page = browser.get("/admin/customers/details/?id=customers/1003")

    assert page.status_code == 500
    assert "我们已记录该问题" in page.text
    assert "kind=TypeError" in caplog.text
    assert page.headers["X-Request-Id"] in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    ("operator", "list_page", "edit_page", "settings_page"),
    [("1001", 200, 200, 200), ("1002", 200, 200, 403), ("1003", 200, 403, 403)],
)
def test_rights_are_those_of_the_contract(
    app, operator, list_page, edit_page, settings_page
):
    """Whoever's posts an RPC does not admit gets 403 on its page, and no entry in the menu."""
    browser = Browser(app)
    browser.sign_in(operator)
    home = browser.get("/admin/").text
    answers = [
        browser.get(url).status_code
        for url in (
            "/admin/customers/",
            "/admin/customers/edit/?id=customers/1003",
            "/admin/parameters-customer/",
        )
    ]

    assert answers == [list_page, edit_page, settings_page]
    assert ("客户参数" in home) == (settings_page == 200)


def test_every_page_names_methods_that_exist(channels):
    """A page whose rule names no RPC of a contract would lock everybody out."""
    for view in menu.views(channels):
        for method in view.asks.values():
            found = descriptor_pool.Default().FindMethodByName(method)

            assert found.GetOptions().Extensions[policy_pb2.access].roles


@pytest.mark.parametrize("url", ["/admin/customers/", "/admin/customers/action/"])
def test_addresses_refuse_what_they_do_not_take(browser, url):
    """A method an address does not know is 405, with a page."""
    method = browser.client.put if url.endswith("customers/") else browser.client.get
    answer = method(url, headers={"X-CSRF-Token": browser.token})

    assert answer.status_code == 405


def test_too_much_is_refused(browser):
    """A form beyond two megabytes is 413."""
    answer = browser.post("/language", {"language": "x" * (3 << 20)})

    assert answer.status_code == 413


def test_assets_stay_within_their_budget():
    """Style at most 24 KB, script at most 16 KB, in lines that can be read."""
    style = (ROOT / "static/portal.css").read_bytes()
    script = (ROOT / "static/portal.js").read_bytes()

    assert len(style) <= 24 << 10
    assert len(script) <= 16 << 10
    assert max(map(len, (style + script).splitlines())) < 240


def test_a_list_stays_within_its_budget(browser):
    """Fifty rows take at most 64 KB and one call."""
    page = browser.get("/admin/customers/")

    assert len(page.data) <= 64 << 10
    assert "calls;dur=" in page.headers["Server-Timing"]
    assert page.headers["Server-Timing"].endswith('desc="1"')


def test_every_sentence_is_in_the_chinese_catalogue():
    """Whatever programs and templates say through gettext has its Chinese, with the same placeholders."""
    with (ROOT / "translations/zh_Hans_CN/LC_MESSAGES/messages.po").open("rb") as text:
        catalogue = read_po(text)
    said = {
        sentence if isinstance(sentence, str) else sentence[0]: sentence
        for _file, _line, sentence, *_rest in extract_from_dir(
            ROOT,
            [("**.py", "python"), ("templates/**.html", "jinja2")],
            options_map={"templates/**.html": {"newstyle_gettext": "true"}},
            keywords={
                "_": None,
                "_l": None,
                "lazy_gettext": None,
                "ngettext": (1, 2),
            },
        )
    }
    translated = {
        (entry.id if isinstance(entry.id, str) else entry.id[0]): entry
        for entry in catalogue
        if entry.id
    }
    places = re.compile(r"%\(\w+\)[sd]")

    assert set(said) - set(translated) == set()
    assert menu.SETTINGS in translated
    for key, entry in translated.items():
        chinese = entry.string if isinstance(entry.string, str) else entry.string[0]

        assert chinese
        assert not entry.fuzzy
        assert sorted(places.findall(chinese)) == sorted(places.findall(key))


def test_no_english_is_left_on_a_chinese_page(browser):
    """The frame of a list speaks one language."""
    text = re.sub(r"<[^>]+>", " ", browser.get("/admin/parameters-customer/").text)
    words = set(re.findall(r"[A-Za-z]{4,}", text))

    assert words <= {
        "English",
        "Enter",
        "contacts",
        "first",
        "contact",
        "days",
        "quiet",
        "from",
    }
