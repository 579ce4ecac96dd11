"""What the first page says of the day: counts, who is how far, and what it does when a service is away."""

from types import SimpleNamespace

from google.type import money_pb2
from guanhu.customer.v1 import overview_pb2
from guanhu.engagement.v1 import contact_plan_pb2, reminder_pb2

from admin import workbench


def a_plan(owner, items, done, state=contact_plan_pb2.CONTACT_PLAN_STATE_APPROVED):
    """Return a plan of today."""
    return contact_plan_pb2.ContactPlan(
        name=f"contactPlans/{owner}",
        owner=f"staff/{owner}",
        item_count=items,
        done_count=done,
        state=state,
    )


def some_parts():
    """Return the answers about two owners and one who has a plan and no customers."""
    aggregates = [
        overview_pb2.CustomerAggregate(
            owner=owner and f"staff/{owner}",
            customer_count=count,
            financial_assets=money_pb2.Money(currency_code="CNY", units=count),
        )
        for owner, count in (("", 5), ("A", 10), ("B", 20))
    ]
    submitted = contact_plan_pb2.CONTACT_PLAN_STATE_SUBMITTED
    plans = [a_plan("A", 20, 18), a_plan("B", 21, 3, submitted), a_plan("C", 20, 20)]
    return {
        "owners": overview_pb2.AggregateCustomersResponse(aggregates=aggregates),
        "plans": contact_plan_pb2.ListContactPlansResponse(contact_plans=plans),
    }


def test_owners_with_most_to_do_come_first_and_nobody_is_left_out():
    """Customers without an owner are no line; an owner known by a plan alone is one."""
    lines = workbench.progress(some_parts())

    assert [line.owner for line in lines] == ["staff/B", "staff/A", "staff/C"]
    assert lines[0].aggregate.customer_count == 20
    assert lines[2].aggregate is None


def test_owners_are_shown_while_plans_cannot_be_had():
    """What one service knows is shown without the other."""
    parts = {**some_parts(), "plans": None}
    lines = workbench.progress(parts)

    assert [(line.owner, line.plan) for line in lines] == [
        ("staff/A", None),
        ("staff/B", None),
    ]
    assert workbench.waiting_for_review(parts) is None


def test_one_plan_waits_for_review_and_each_owner_finds_their_own():
    """Only submitted plans wait; a person without a plan has none."""
    parts = some_parts()
    found = workbench.own_plan(parts, SimpleNamespace(staff="staff/A"))
    none = workbench.own_plan(parts, SimpleNamespace(staff="staff/Z"))

    assert workbench.waiting_for_review(parts) == 1
    assert found.done_count == 18
    assert none is None


def test_reminders_are_told_by_category_the_most_frequent_kind_first():
    """Categories keep their order, and their counts are the sums of their kinds."""
    count = reminder_pb2.CountRemindersResponse.KindCount
    kinds = [
        count(category=3, kind=21, count=4),
        count(category=1, kind=1, count=1),
        count(category=1, kind=2, count=6),
    ]
    found = workbench.by_category(reminder_pb2.CountRemindersResponse(kinds=kinds))

    assert [(category, total) for category, total, _ in found] == [(1, 7), (3, 4)]
    assert [one.kind for one in found[0][2]] == [2, 1]


def test_the_first_page_stands_while_every_other_service_is_away(browser):
    """Parts that cannot be had say so, and the pages can still be reached."""
    page = browser.english().get("/admin/").get_data(as_text=True)

    assert "This part cannot be shown at the moment." in page
    assert "Your pages" in page
