"""Who is left out of a batch for which reason, when several hold."""

import itertools

from services.messaging.batch import rules
from services.messaging.batch.rules import RANK, Exclusion, Measure, Person
from services.messaging.template.rules import Compiled

ORDER = [
    "NO_MOBILE",
    "INVALID_MOBILE",
    "DO_NOT_DISTURB",
    "CONSENT_MISSING",
    "CONSENT_WITHDRAWN",
    "REFUSED_BEFORE",
    "SAME_NUMBER",
    "NOT_OWNED",
    "OTHER_WISHES",
    "CAP_REACHED",
    "FIELD_MISSING",
    "TOO_LONG",
]
"""The order of the checks as the rules on commercial messages give it."""


def person(number, *, reason=0, owner="teller", name="王小一"):
    """Return somebody whose mobile ends in the number."""
    return Person(number, f"138000000{number}", name, 1, owner, reason)


def measure(**more):
    """Return what a batch of one teller depends on."""
    text = Compiled(("您好", "customer_name", "。"))
    return Measure(text, "营业部", 8, sender="teller", **more)


def test_reasons_are_looked_at_in_the_order_of_the_rules():
    """The place of a reason is its line in the rules and not its number, which came later for one of them."""
    assert sorted(Exclusion, key=RANK.__getitem__) == [
        Exclusion[name] for name in ORDER
    ]


def test_the_first_reason_that_holds_is_told():
    """Every pair of reasons that one person can have gives the earlier one."""
    causes = {
        "DO_NOT_DISTURB": {"reason": Exclusion.DO_NOT_DISTURB},
        "CONSENT_WITHDRAWN": {"reason": Exclusion.CONSENT_WITHDRAWN},
        "NOT_OWNED": {"owner": "another"},
        "FIELD_MISSING": {"name": ""},
    }
    places = {
        "REFUSED_BEFORE": {"refused": {"13800000001"}},
        "CAP_REACHED": {"capped": {"01"}},
    }
    told = {}
    for one, other in itertools.combinations([*causes, *places], 2):
        told_of = {**causes.get(one, {}), **causes.get(other, {})}
        if "reason" in causes.get(one, {}) and "reason" in causes.get(other, {}):
            continue
        given = {**places.get(one, {}), **places.get(other, {})}
        [line] = rules.lines_of([person("01", **told_of)], measure(**given))
        told[one, other] = Exclusion(line.reason).name

    assert len(told) == 14
    assert told == {pair: min(pair, key=ORDER.index) for pair in told}


def test_a_number_that_refused_is_left_out_for_everybody_who_has_it():
    """Two customers with one number are both told that it refused, and nobody of them as a double."""
    both = [Person(number, "13800000001", "王", 1, "teller") for number in ("01", "02")]
    lines = rules.lines_of(both, measure(refused={"13800000001"}))

    assert [line.reason for line in lines] == [Exclusion.REFUSED_BEFORE] * 2
    assert rules.exclusions_of(lines) == [*[0] * 10, 2, 0]
