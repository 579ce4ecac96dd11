"""Lists, details and edits over gRPC: what is asked of the services, and what the person sees."""

import re

import grpc
import pytest
from guanhu.customer.v1 import customer_pb2

EDIT = "/admin/customers/edit/?id=customers/1003"
HIDDEN = re.compile(r'name="(etag|read|nonce)" type="hidden" value="([^"]*)"')
ORDER = re.compile(r'data-name="customers/(\d+)"')


def opened(browser, url=EDIT):
    """Open an edit page and return the hidden fields it carries."""
    return dict(HIDDEN.findall(browser.get(url).text))


def sheet(**fields):
    """Return what the form of customer 1003 shows, with *fields* changed."""
    return {
        "occupation": "",
        "family_notes": "",
        "next_contact_on": "2026-11-04",
        "preferred_channel": "0",
        **fields,
    }


def test_page_and_size_become_skip(browser, trial):
    """Page 2 of 25 rows asks for 25 after 50, and says which rows these are of how many."""
    page = browser.get("/admin/customers/?page=2&page_size=25")
    asked = trial.customers.asked[-1]

    assert (asked.page_size, asked.skip) == (25, 50)
    assert "51–75 / 120" in page.text


@pytest.mark.parametrize(
    ("query", "order"),
    [
        ("", "financial_assets desc"),
        ("?sort=name", "number"),
        ("?sort=name&desc=1", "number desc"),
        ("?sort=mobile", "financial_assets desc"),
        ("?sort=3", "financial_assets desc"),
    ],
)
def test_sorting_goes_by_the_name_of_a_column(browser, trial, query, order):
    """The address names the column; one that cannot be sorted by leaves the list as it is by default."""
    page = browser.get(f"/admin/customers/{query}")
    numbers = [int(number) for number in ORDER.findall(page.text)]

    assert trial.customers.asked[-1].order_by == order
    assert numbers == sorted(numbers, reverse=order.endswith("desc"))


def test_links_of_the_list_name_columns_and_filters(browser):
    """Addresses can be kept: they hold names, not positions."""
    page = browser.get("/admin/customers/?flt0_tier=4&sort=name&search=客户")

    assert "sort=name&amp;desc=1" in page.text
    assert "flt0_tier=4" in page.text
    assert "sort=financial_assets" in page.text


def test_search_filters_and_tab_become_typed_fields(browser, trial):
    """What is chosen on the page is what the service is asked for."""
    page = browser.get(
        "/admin/customers/?tab=unassigned&search=客户&flt0_tier=4&flt1_not_contacted_days=30"
    )
    asked = trial.customers.asked[-1]

    assert asked == customer_pb2.ListCustomersRequest(
        page_size=50,
        order_by="financial_assets desc",
        query="客户",
        tier=4,
        not_contacted_days=30,
        unassigned=True,
    )
    assert "<b>钻石</b>" in page.text


def test_a_filter_that_does_not_fit_is_said_and_left_out(browser, trial):
    """Letters for a number of days are no number of days."""
    page = browser.get("/admin/customers/?flt1_not_contacted_days=many&flt9_evil=1")

    assert "“many”不能用于筛选“未联络天数”。" in page.text
    assert trial.customers.asked[-1].not_contacted_days == 0


def test_a_list_asked_for_wrongly_is_empty_and_says_why(browser):
    """INVALID_ARGUMENT of a list is shown on the page, with 422."""
    page = browser.get("/admin/customers/?search=wrong")

    assert page.status_code == 422
    assert "查询条件有误。" in page.text


def test_a_name_that_is_markup_is_text(browser):
    """What a customer is called never becomes part of the page."""
    page = browser.get("/admin/customers/?page=2")

    assert "<img src=x" not in page.text
    assert "&lt;img src=x" in page.text


def test_nothing_found_offers_everything(browser):
    """An empty list says so and leads back to the whole."""
    page = browser.get("/admin/customers/?search=zzz")

    assert "没有符合条件的记录" in page.text
    assert "查看全部" in page.text


def test_extreme_pages_are_kept_within_bounds(browser, trial):
    """Pages before the first and beyond the last are not asked of the service as such."""
    for page in ("-5", "99999999999", "x"):
        browser.get(f"/admin/customers/?page={page}")
    skips = [asked.skip for asked in trial.customers.asked[-3:]]

    assert skips == [0, 100_000, 0]


def test_details_and_the_drawer_show_masked_fields(browser):
    """Both show what the service sent, and nothing is unmasked on the way."""
    details = browser.get("/admin/customers/details/?id=customers/1003")
    drawer = browser.get("/admin/customers/peek/?id=customers/1003")

    assert "138****8000" in details.text
    assert "138****8000" in drawer.text
    assert "<html" not in drawer.text


def test_a_missing_resource_is_a_page_of_its_own(browser):
    """NOT_FOUND is 404 with the service's sentence."""
    page = browser.get("/admin/customers/details/?id=customers/9")

    assert page.status_code == 404
    assert "没有该客户。" in page.text


def test_only_changed_fields_are_written(browser, trial):
    """The mask names what was changed on the page, and the same post twice is the same request."""
    hidden = opened(browser)
    first = browser.post(EDIT, sheet(occupation="医生", **hidden))
    again = browser.post(EDIT, sheet(occupation="医生", **hidden))

    assert first.status_code == 302
    assert again.status_code == 302
    assert trial.customers.masks[0][0] == ["occupation"]
    assert trial.customers.masks[0][1] == trial.customers.masks[1][1]
    assert trial.customers.rows["customers/1003"].profile_sheet.occupation == "医生"


def test_a_day_is_written_and_cleared(browser, trial):
    """A day goes out as the contract's Date; an emptied field unsets it."""
    browser.post(EDIT, sheet(next_contact_on="2026-12-24", **opened(browser)))
    kept = trial.customers.rows["customers/1003"].profile_sheet.next_contact_on
    written = (kept.year, kept.month, kept.day)
    browser.post(EDIT, sheet(next_contact_on="", **opened(browser)))
    row = trial.customers.rows["customers/1003"]

    assert written == (2026, 12, 24)
    assert not row.profile_sheet.HasField("next_contact_on")


def test_a_post_without_changes_writes_nothing(browser, trial):
    """Saving what was read is not an update."""
    answer = browser.post(EDIT, sheet(**opened(browser)), follow_redirects=True)

    assert trial.customers.masks == []
    assert "没有改动。" in answer.text


def test_changes_to_different_fields_merge(browser, trial):
    """Somebody else's change of another field stays, and ours is written over their etag."""
    hidden = opened(browser)
    theirs = customer_pb2.ProfileSheet(family_notes="一子")
    trial.customers.change("customers/1003", ["family_notes"], theirs)
    answer = browser.post(
        EDIT, sheet(occupation="医生", **hidden), follow_redirects=True
    )
    kept = trial.customers.rows["customers/1003"].profile_sheet

    assert "已自动合并" in answer.text
    assert (kept.occupation, kept.family_notes) == ("医生", "一子")


def test_a_conflict_is_shown_and_decided_by_the_person(browser, trial):
    """The same field changed twice is 409 with all three values; saving again keeps ours, and only ours."""
    hidden = opened(browser)
    theirs = customer_pb2.ProfileSheet(occupation="教师", family_notes="一子")
    trial.customers.change("customers/1003", ["occupation", "family_notes"], theirs)
    clash = browser.post(EDIT, sheet(occupation="医生", **hidden))
    fresh = dict(HIDDEN.findall(clash.text))
    saved = browser.post(EDIT, sheet(occupation="医生", family_notes="一子", **fresh))
    kept = trial.customers.rows["customers/1003"].profile_sheet

    assert clash.status_code == 409
    assert "教师" in clash.text
    assert "一子" in clash.text
    assert saved.status_code == 302
    assert trial.customers.masks[-1][0] == ["occupation"]
    assert (kept.occupation, kept.family_notes) == ("医生", "一子")


def test_violations_land_on_their_fields(browser):
    """A fault the service finds is shown beside the field, with the sentence above; what was typed stays."""
    page = browser.post(EDIT, sheet(occupation="bad", **opened(browser)))

    assert page.status_code == 422
    assert '<p class="fault" id="occupation-fault">not an occupation</p>' in page.text
    assert "elsewhere" in page.text
    assert "有 2 处填写不符合要求。" in page.text
    assert 'value="bad"' in page.text


def test_faults_of_the_form_are_found_before_the_service_is_asked(browser, trial):
    """A day that is none is 422, and nothing is written."""
    page = browser.post(EDIT, sheet(next_contact_on="morgen", **opened(browser)))

    assert page.status_code == 422
    assert "next_contact_on-fault" in page.text
    assert trial.customers.masks == []


def test_what_was_typed_survives_an_absent_service(browser, trial):
    """UNAVAILABLE on saving is 503 with the form as it was typed."""
    hidden = opened(browser)
    trial.customers.fault = (grpc.StatusCode.UNAVAILABLE, "", None)
    page = browser.post(EDIT, sheet(occupation="打字很多", **hidden))

    assert page.status_code == 503
    assert 'value="打字很多"' in page.text
    assert "您填写的内容已保留" in page.text


@pytest.mark.parametrize("field", ["read", "nonce"])
def test_what_the_page_carried_must_come_back_unchanged(browser, field):
    """A form whose sealed part was tampered with is refused."""
    hidden = {**opened(browser), field: "forged"}
    page = browser.post(EDIT, sheet(occupation="x", **hidden))

    assert page.status_code == 400


def test_what_one_record_carried_does_not_serve_another(browser):
    """The sealed part belongs to one resource."""
    hidden = opened(browser, "/admin/customers/edit/?id=customers/1004")
    page = browser.post(EDIT, sheet(occupation="x", **hidden))

    assert page.status_code == 400


def test_a_bulk_action_is_about_the_ticked_rows(browser, app):
    """Names of the ticked rows, nothing else."""
    page = view(app)
    browser.get("/admin/customers/")
    browser.post(
        "/admin/customers/action/",
        {"action": "count", "rowid": ["customers/1001", "customers/1002"]},
    )

    assert page.picked[-1].names == ("customers/1001", "customers/1002")
    assert not page.picked[-1].everything


def test_everything_is_exactly_what_the_list_showed(browser, app, trial):
    """The query, tab and filters of the page come back with its count; a changed list stops the action."""
    shown = browser.get("/admin/customers/?tab=unassigned&flt0_tier=4&search=客户").text
    sealed = re.search(r'name="selection" value="([^"]+)"', shown)[1]
    form = {"action": "count", "everything": "1", "selection": sealed}
    browser.post("/admin/customers/action/", form)
    picked = view(app).picked[-1]
    trial.customers.rows["customers/1003"].owner = "staff/1002"
    stopped = browser.post("/admin/customers/action/", form, follow_redirects=True)
    forged = browser.post("/admin/customers/action/", {**form, "selection": "x"})

    assert picked.everything
    assert dict(picked.fields) == {"tier": 4, "unassigned": True}
    assert (picked.query, picked.total) == ("客户", 24)
    assert "原 24 条，现 23 条" in stopped.text
    assert len(view(app).picked) == 1
    assert forged.status_code == 400


def test_actions_unknown_or_not_allowed_are_refused(browser):
    """An action no post of staff may run is 403 and not offered; one that is not there is 404."""
    page = browser.get("/admin/customers/")
    answers = [
        browser.post("/admin/customers/action/", {"action": name}).status_code
        for name in ("greet", "nothing")
    ]

    assert answers == [403, 404]
    assert "计数" in page.text
    assert "问候" not in page.text


def test_stock_ways_in_are_closed(browser):
    """Export, inline edit and lookup of Flask-Admin answer 404, as do its own assets."""
    token = browser.token
    answers = [
        browser.get("/admin/customers/export/csv/").status_code,
        browser.get("/admin/customers/ajax/lookup/").status_code,
        browser.post(
            "/admin/customers/ajax/update/", {"csrf_token": token}
        ).status_code,
        browser.get("/admin/static/admin/js/helpers.js").status_code,
    ]

    assert answers == [404, 404, 404, 404]


def test_settings_are_listed_searched_and_set(browser, trial):
    """The operator finds a setting by words of its description and sets it; a refusal lands on the field."""
    found = browser.get("/admin/parameters-customer/?search=短信").text
    url = "/admin/parameters-customer/edit/?id=parameters/contacts-a-day"
    hidden = opened(browser, url)
    refused = browser.post(url, {"value_json": "-1", **hidden})
    broken = browser.post(url, {"value_json": "{", **hidden})
    saved = browser.post(url, {"value_json": "25", **hidden})

    assert "quiet-from" in found
    assert "contacts-a-day" not in found
    assert (refused.status_code, broken.status_code) == (422, 422)
    assert "参数应为不小于 0 的整数。" in refused.text
    assert saved.status_code == 302
    assert trial.parameters.rows["parameters/contacts-a-day"].value_json == "25"


def test_settings_are_sorted_by_day(browser, trial):
    """A setting somebody has set comes first when the newest is asked for."""
    set_on = trial.parameters.rows["parameters/quiet-from"].effective_date
    set_on.year, set_on.month, set_on.day = 2026, 11, 23
    page = browser.get("/admin/parameters-customer/?sort=effective_date&desc=1").text
    first = re.search(r'data-name="parameters/([a-z-]+)"', page)[1]

    assert first == "quiet-from"


def test_a_branch_is_asked_for_by_number(browser, trial):
    """The filter fills the request's field, and takes no number below 0."""
    browser.get("/admin/parameters-customer/?flt0_branch_id=64")
    asked = trial.parameters.asked[-1].branch_id
    page = browser.get("/admin/parameters-customer/?flt0_branch_id=-1")

    assert asked == 64
    assert "不能用于筛选" in page.text


def view(app):
    """Return the trial page of *app*."""
    views = app.extensions["admin"][0]._views
    return next(found for found in views if found.endpoint == "customers")
