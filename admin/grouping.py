"""The rule of a group as a form holds it, and as people read it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from google.type.money_pb2 import Money
from guanhu.customer.v1 import group_pb2 as pb
from wtforms import (
    BooleanField,
    DateField,
    DecimalField,
    IntegerField,
    SelectField,
    SelectMultipleField,
    StringField,
    TextAreaField,
)
from wtforms.fields import SelectChoice
from wtforms.validators import InputRequired, Length, NumberRange, Optional

from admin import formats, words
from admin.fields import read_field, write_field
from admin.forms import Form

MONTHS = {month: str(month) for month in range(1, 13)}
NAMES: Mapping[str, Mapping[int, object]] = {
    "tiers": words.TIER,
    "customer_types": words.TYPE,
    "card_categories": words.CARD,
    "sources": words.SOURCE,
    "product_types": words.PRODUCT,
    "birthday_months": MONTHS,
}
"""What the numbers of a rule are called, field by field."""

QUIET = {"no": _l("Only those who may be disturbed"), "yes": _l("Only those who asked")}

MOST_YUAN = Decimal(10) ** 13
"""More than anybody has; the contract's amounts hold no more than 19 digits."""


def boxes(label: object, names: Mapping[int, object]) -> SelectMultipleField:
    """Return a field of which several of *names* can be ticked."""
    return SelectMultipleField(
        label,
        coerce=int,
        choices=[SelectChoice(code, name) for code, name in names.items()],
    )


def days(label: object, *, most: int = 366) -> IntegerField:
    """Return a field for a number of days, or none."""
    return IntegerField(label, [Optional(), NumberRange(0, most)])


def yuan(label: object) -> DecimalField:
    """Return a field for an amount in yuan, or none."""
    return DecimalField(label, [Optional(), NumberRange(0, MOST_YUAN)], places=None)


class GroupForm(Form):
    """What every group has."""

    display_name = StringField(
        _l("Name of the group"), [InputRequired(), Length(max=40)]
    )
    description = TextAreaField(_l("What it is for"), [Length(max=200)])


class RuleForm(GroupForm):
    """A group whose members are found: the filters of its rule under the names that the contract gives them."""

    tiers = boxes(_l("Tier"), NAMES["tiers"])
    customer_types = boxes(_l("Type"), NAMES["customer_types"])
    card_categories = boxes(_l("Card"), NAMES["card_categories"])
    sources = boxes(_l("Source"), NAMES["sources"])
    owners = SelectMultipleField(_l("Owner"), choices=[])
    unassigned = BooleanField(_l("Without owner"))
    financial_assets_from = yuan(_l("Financial assets from (yuan)"))
    financial_assets_to = yuan(_l("Financial assets up to (yuan)"))
    product_types = boxes(_l("Holds a product"), NAMES["product_types"])
    maturing_within_days = days(_l("Matures within (days)"))
    birthday_months = boxes(_l("Birthday in month"), NAMES["birthday_months"])
    birthday_within_days = days(_l("Birthday within (days)"))
    not_contacted_days = days(_l("Without contact for (days)"), most=3650)
    next_contact_from = DateField(_l("Next contact from"), [Optional()])
    next_contact_to = DateField(_l("Next contact up to"), [Optional()])
    groomed_before = DateField(_l("Sheet last gone through before"), [Optional()])
    do_not_disturb = SelectField(
        _l("Not to be disturbed"),
        choices=[
            SelectChoice("", "—"),
            *(SelectChoice(code, name) for code, name in QUIET.items()),
        ],
    )


PARTS: tuple[tuple[object, tuple[str, ...]], ...] = (
    (
        _l("Who they are"),
        ("tiers", "customer_types", "card_categories", "sources"),
    ),
    (_l("Who looks after them"), ("owners", "unassigned")),
    (
        _l("What they have"),
        (
            "financial_assets_from",
            "financial_assets_to",
            "product_types",
            "maturing_within_days",
        ),
    ),
    (
        _l("Contact"),
        (
            "not_contacted_days",
            "next_contact_from",
            "next_contact_to",
            "groomed_before",
            "do_not_disturb",
        ),
    ),
    (_l("Birthday"), ("birthday_months", "birthday_within_days")),
)
"""The filters under the headings of the page."""

SWITCHES = ("birthday_within_days", "maturing_within_days")
"""Numbers of a rule whose zero says something."""

AMOUNTS = ("financial_assets_from", "financial_assets_to")


def rule_from(form: RuleForm) -> pb.GroupRule:
    """Return the rule that a form asks for."""
    rule = pb.GroupRule()
    for field in (field for _title, names in PARTS for field in names):
        value = form[field].data
        if field in AMOUNTS:
            if value is not None:
                getattr(rule, field).CopyFrom(money_from(value))
        elif field in SWITCHES:
            if value is not None:
                setattr(rule, field, value)
        elif field == "do_not_disturb":
            if value:
                rule.do_not_disturb = value == "yes"
        else:
            write_field(rule, field, value)
    return rule


def money_from(yuan: Decimal) -> Money:
    """Return an amount in yuan as the contract has it; fractions of a cent are cut off."""
    cents = int(yuan * 100)
    return Money(
        currency_code="CNY",
        units=cents // 100,
        nanos=cents % 100 * formats.NANOS_PER_CENT,
    )


def values_of(group: pb.Group) -> dict[str, Any]:
    """Return what a form about *group* starts with."""
    rule = group.rule
    found: dict[str, Any] = {
        "display_name": group.display_name,
        "description": group.description,
    }
    for field in (field for _title, names in PARTS for field in names):
        if field in AMOUNTS:
            cents = formats.cents_of(getattr(rule, field))
            found[field] = Decimal(cents) / 100 if rule.HasField(field) else None
        elif field in SWITCHES:
            found[field] = getattr(rule, field) if rule.HasField(field) else None
        elif field == "do_not_disturb":
            asked = "yes" if rule.do_not_disturb else "no"
            found[field] = asked if rule.HasField(field) else ""
        else:
            found[field] = read_field(rule, field) or None
    return found


def in_words(
    rule: pb.GroupRule, staff_name: Callable[[str], object]
) -> Iterator[tuple[object, str]]:
    """Yield each filter that a rule sets, as its label and what it asks for."""
    form = RuleForm()
    values = values_of(pb.Group(rule=rule))
    for field in (field for _title, names in PARTS for field in names):
        value = values[field]
        if value in (None, "", []) or value is False:
            continue
        yield form[field].label.text, _written(field, value, staff_name)


def _written(name: str, value: Any, staff_name: Callable[[str], object]) -> str:
    if name == "owners":
        return _listed(staff_name(one) for one in value)
    if name in NAMES:
        return _listed(NAMES[name].get(one, one) for one in value)
    if name == "do_not_disturb":
        return str(QUIET[value])
    if isinstance(value, Decimal):
        return f"{value:,.2f}"
    if isinstance(value, date):
        return value.isoformat()
    return str(_("Yes")) if value is True else str(value)


def _listed(texts: Iterable[object]) -> str:
    return str(_(", ")).join(str(text) for text in texts)
