"""
Ten thousand random batches against a plain model of who may be written to.

The model is made of the words of the rules on commercial messages and of the bank's own: a number that can be one;
nobody who asked not to be disturbed, for as long as that holds; marketing only to who said yes and did not take it
back; one message per person and per number; the sender's own customers; no more than the cap; every field filled;
not too long; within hours, unless it is a service notice. It is checked twice, when a batch is planned and when it
is handed over, with what was told in between.
"""

import re
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.chassis.vault import mask_value
from services.customer.consent import rules as consents
from services.messaging.batch import rules
from services.messaging.batch.rules import Exclusion, Measure, Person
from services.messaging.batch.servicer.people import REASONS
from services.messaging.delivery.actions.refusals import Told
from services.messaging.delivery.rules import (
    CAME,
    LEFT,
    About,
    Mark,
    about,
    hour_fits,
    late_reason,
)
from services.messaging.template.rules import compiled

FIXED = settings(
    max_examples=10_000,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example],
)
"""The same batches in every run."""

SERVICE, CARE, MARKETING = 1, 2, 3
QUIET, TALK, YES, NO = 1, 2, 3, 4
"""Acts of a ledger: asks not to be disturbed, lifts that, consents, takes consent back."""

SMS, MASK_MOBILE = 1, 1
HOURS = (9, 20)
CAPS = {7: 1, 30: 2}
"""Most marketing messages in so many days."""

MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)
MOBILES = (
    *(f"1380000000{number}" for number in (1, 2, 3, 4, 5) * 3),
    "13900000004",
    "+8613800000001",
    "0086 138-0000-0002",
    "86 13800000003",
    "",
    "12800000001",
    "1380000001",
    "02088886666",
    "95599",
)
NAMES = (
    "王小明",
    "欧阳娜娜",
    "Ann Lee",
    "古丽" * 13,
    "",
    "李【假】",
    "张" * 41,
    "周\u200b明",
    "赵{名}",
)
BODIES = (
    "尊敬的{{customer_title}}，您的存款到期。",
    "{{customer_name}}您好，{{owner_name}}祝您节日快乐。",
    "欢迎莅临{{branch_name}}。",
    "{{customer_name}}" * 3 + "请查收",
)
OWNERS = {"teller": "钱柜员", "other": "孙柜员", "nameless": ""}


class Choices:
    """Choices made of octets: one draw for a whole batch, which hypothesis can still shrink."""

    def __init__(self, octets):
        self.octets = iter(octets)

    def below(self, most):
        return next(self.octets, 0) % most

    def of(self, values):
        return values[self.below(len(values))]


def a_ledger(choose, most):
    """Return acts in their order, as (act, channel, purpose); 0 stands for every channel or purpose."""
    acts = (YES, YES, QUIET, TALK, NO)
    return [
        (choose.of(acts), choose.of((SMS, SMS, 0, 2)), choose.of((0, 1, 2, 3, 3)))
        for _ in range(choose.below(most))
    ]


def a_customer(choose, number):
    """Return one customer with everything that is known when a batch is planned, and what is told afterwards."""
    return {
        "number": f"{number:04}",
        "mobile": choose.of(MOBILES),
        "name": choose.of(NAMES[:4] * 3 + NAMES),
        "gender": choose.below(3),
        "owner": choose.of(("teller", "teller", "teller", "other", "nameless", "")),
        "ledger": a_ledger(choose, 4),
        "later": a_ledger(choose, 3) if choose.below(3) == 0 else [],
        "moves": [LEFT, CAME][: choose.below(9) - 6] if choose.below(2) else [],
        "had": [choose.below(45) for _ in range(choose.below(4))],
        "had_later": choose.below(4) == 3,
    }


def a_batch(octets):
    """Return a batch: its people, some in several groups, and what its sender asks for."""
    choose = Choices(octets)
    batch = {
        "purpose": choose.of((SERVICE, CARE, MARKETING, MARKETING)),
        "body": choose.of(BODIES),
        "sender": choose.of(("teller", "teller", "")),
        "limit": choose.of((1, 2, 8)),
        "hour": choose.of((8, 9, 12, 19, 20, 23)),
    }
    people = [a_customer(choose, choose.below(12)) for _ in range(choose.below(9) + 1)]
    first = {one["number"]: one for one in reversed(people)}
    return batch, [first[one["number"]] for one in people]


# the model


def model_mobile(text):
    """Return eleven digits, or nothing: a mainland mobile number with or without the country's code."""
    digits = re.sub(r"\D", "", text)
    for code in ("0086", "86"):
        if len(digits) == 11 + len(code):
            digits = digits.removeprefix(code)
    return digits if len(digits) == 11 and digits[:2] >= "13" <= digits else ""


def disturbed(ledger, purpose):
    """Say whether some request not to be disturbed is about this and was not lifted by one as wide."""
    for place, (act, channel, about_purpose) in enumerate(ledger):
        if act == QUIET and channel in (0, SMS) and about_purpose in (0, purpose):
            lifted = any(
                later == TALK and wide in (0, channel) and long in (0, about_purpose)
                for later, wide, long in ledger[place + 1 :]
            )
            if not lifted:
                return True
    return False


def last_word(ledger, purpose):
    """Return the last word on consent; what is said for every purpose is about marketing, which alone needs it."""
    words = [
        act
        for act, channel, said in ledger
        if act in (YES, NO)
        and channel in (0, SMS)
        and (said == purpose or (said == 0 and purpose == MARKETING))
    ]
    return words[-1] if words else None


def had_enough(customer, extra=0):
    """Say whether one more marketing message would be one too many."""
    days = customer["had"] + [0] * extra
    return any(sum(day < span for day in days) >= most for span, most in CAPS.items())


def showable(text, longest=40):
    """Say whether a value may stand in a message: visible, short, and nothing that signatures are made of."""
    return (
        text != ""
        and len(text) <= longest
        and text.isprintable()
        and not set(text) & set("【】{}")
    )


def model_text(batch, customer):
    """Return the text that a customer is to read, and nothing where a value is missing."""
    name, owner = customer["name"], OWNERS.get(customer["owner"], "")
    family = "欧阳" if name.startswith("欧阳") else name[:1]
    called = name if name.isascii() else family
    title = ("女士/先生", "女士", "先生")[customer["gender"]]
    values = {
        "customer_name": name if showable(name) else "",
        "customer_title": called + title if name and showable(called) else "",
        "owner_name": owner,
        "branch_name": "朝阳支行",
    }
    text = batch["body"]
    for field, value in values.items():
        if "{{" + field + "}}" in text:
            if not value:
                return ""
            text = text.replace("{{" + field + "}}", value)
    tail = "拒收请回复R" if batch["purpose"] == MARKETING else ""
    return f"【农业银行】{text}{tail}"


def against(batch, customer):
    """Return what stands against writing to a customer, as far as others of the batch do not matter."""
    purpose = batch["purpose"]
    word = last_word(customer["ledger"], purpose)
    text = model_text(batch, customer)
    size = len(text)
    return [
        (Exclusion.NO_MOBILE, not customer["mobile"]),
        (Exclusion.INVALID_MOBILE, not model_mobile(customer["mobile"])),
        (Exclusion.DO_NOT_DISTURB, disturbed(customer["ledger"], purpose)),
        (Exclusion.CONSENT_MISSING, purpose == MARKETING and word is None),
        (Exclusion.CONSENT_WITHDRAWN, word == NO),
        (Exclusion.NOT_OWNED, batch["sender"] not in ("", customer["owner"])),
        (Exclusion.CAP_REACHED, purpose == MARKETING and had_enough(customer)),
        (Exclusion.FIELD_MISSING, not text),
        (
            Exclusion.TOO_LONG,
            (1 if size <= 70 else -(-size // 67)) > batch["limit"],
        ),
    ]


def model_plan(batch, people):
    """Return the reason for each customer of the plan, 0 for who gets a message."""
    reasons = {}
    for customer in people:
        found = [reason for reason, holds in against(batch, customer) if holds]
        reasons[customer["number"]] = found[0] if found else 0
    by_mobile = {}
    for customer in sorted(people, key=lambda one: one["number"]):
        if not reasons[customer["number"]]:
            mobile = model_mobile(customer["mobile"])
            by_mobile.setdefault(mobile, customer["number"])
    for customer in people:
        number = customer["number"]
        holder = by_mobile.get(model_mobile(customer["mobile"]), number)
        weaker = reasons[number] == 0 or reasons[number] > Exclusion.SAME_NUMBER
        if holder != number and weaker:
            reasons[number] = Exclusion.SAME_NUMBER
    return reasons


def model_sent(batch, people):
    """Return who is really written to, after everything that was told since the plan."""
    if batch["purpose"] != SERVICE and not HOURS[0] <= batch["hour"] < HOURS[1]:
        return set()
    plan = model_plan(batch, people)
    found = set()
    for customer in people:
        ledger = customer["ledger"] + customer["later"]
        word, purpose = last_word(ledger, batch["purpose"]), batch["purpose"]
        fine = (
            not plan[customer["number"]]
            and not disturbed(ledger, purpose)
            and (word == YES if purpose == MARKETING else word != NO)
            and customer["moves"][-1:] != [LEFT]
            and not (
                purpose == MARKETING and had_enough(customer, customer["had_later"])
            )
        )
        if fine:
            found.add(customer["number"])
    return found


# the rules, as the services apply them


def as_planned(batch, people):
    """Return the lines that the rules of customer and messaging give."""
    capped = {one["number"] for one in people if had_enough(one)}
    marketing = batch["purpose"] == MARKETING
    measure = Measure(
        text=compiled(
            batch["body"],
            signature="农业银行",
            refusal="拒收请回复R",
            purpose=batch["purpose"],
        ),
        branch_name="朝阳支行",
        segment_limit=batch["limit"],
        sender=batch["sender"],
        capped=capped if marketing else frozenset(),
        owners=OWNERS,
    )
    crowd = [
        Person(
            one["number"],
            one["mobile"],
            one["name"],
            one["gender"],
            one["owner"],
            reach_of(one, batch["purpose"]),
        )
        for one in people
    ]
    return rules.lines_of(crowd, measure)


def reach_of(customer, purpose):
    """Return what the customer service says stands against a message, as messaging takes it."""
    found = consents.reach(
        consents.entries_of(customer["ledger"]),
        channel=SMS,
        purpose=purpose,
        mobile_mask=mask_value(
            model_mobile(customer["mobile"]) or customer["mobile"], MASK_MOBILE
        ),
        moment=MIDNIGHT + timedelta(hours=12),
        hours=HOURS,
    )
    return REASONS.get(found.reason, 0)


def marks_of(customer):
    """Return what messaging keeps of a customer: the newest act about each thing, channel and purpose."""
    kept = {}
    for place, (act, channel, purpose) in enumerate(
        customer["ledger"] + customer["later"]
    ):
        told = Told(customer["number"], act, channel, purpose, f"{place:04}")
        if channel in (0, SMS):
            mark = Mark(about(act), act, channel, purpose, told.place)
            kept[mark.about, channel, purpose] = mark
    for place, act in enumerate(customer["moves"]):
        kept[About.BRANCH, 0, 0] = Mark(About.BRANCH, act, 0, 0, f"{place:04}")
    return kept.values()


def as_sent(batch, people, lines):
    """Return who is written to by the rules of the last moment."""
    local = MIDNIGHT + timedelta(hours=batch["hour"])
    if batch["purpose"] != SERVICE and not hour_fits(local, HOURS):
        return []
    known = {one["number"]: one for one in people}
    found = []
    for line in lines:
        customer = known[line.person.number]
        late = late_reason(marks_of(customer), batch["purpose"])
        capped = batch["purpose"] == MARKETING and had_enough(
            customer, customer["had_later"]
        )
        if not (line.reason or late or capped):
            found.append(line)
    return found


@FIXED
@given(st.binary(min_size=60, max_size=220))
def test_ten_thousand_batches_are_sent_to_whom_the_rules_allow(octets):
    """Everybody stands in one line with the right reason; who is written to is whom the model names, once a number."""
    batch, people = a_batch(octets)
    lines = as_planned(batch, people)
    sent = as_sent(batch, people, lines)
    known = {one["number"]: one for one in people}
    numbers = [line.person.number for line in lines]

    assert numbers == sorted(known)
    assert {line.person.number: line.reason for line in lines} == model_plan(
        batch, [*known.values()]
    )
    assert {line.person.number for line in sent} == model_sent(batch, [*known.values()])
    assert len(sent) == len({line.mobile for line in sent})
    assert all(
        line.text == model_text(batch, known[line.person.number])
        and line.mobile == model_mobile(known[line.person.number]["mobile"])
        for line in sent
    )
    assert [line.ordinal for line in lines] == [*range(1, len(lines) + 1)]
