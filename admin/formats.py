"""
How figures, days and states are written in the portal.

Every function returns text or ``Markup`` whose parts are escaped. Colour never speaks alone: a rise has ▲, a fall has
▼, a chip has its word.
"""

from datetime import date, datetime
from decimal import Decimal
from uuid import uuid4
from zoneinfo import ZoneInfo

from babel.dates import get_day_names
from flask import current_app, g
from flask_babel import get_locale, ngettext
from flask_babel import gettext as _
from google.protobuf import timestamp_pb2
from google.type import date_pb2, money_pb2
from markupsafe import Markup, escape

from admin.sayings import in_chinese

NONE = Markup('<span class="mut">—</span>')

NANOS_PER_CENT = 10_000_000

LATE_DAYS = 60
"""A contact longer ago than this is shown as late."""

SCALES_ZH = ((100_000_000, "亿"), (10_000, "万"))
SCALES_EN = ((1_000_000_000, "bn"), (1_000_000, "m"), (1_000, "k"))

TONES = ("plain", "good", "warn", "bad", "note")


def cents_of(money: money_pb2.Money) -> int:
    """Return the amount in minor units."""
    return int(money.units * 100 + money.nanos // NANOS_PER_CENT)


def amount(cents: int) -> str:
    """Return the full amount: 12,345.60."""
    return f"{Decimal(cents) / 100:,.2f}"


def money(value: money_pb2.Money | int | None) -> str | Markup:
    """
    Return an amount in short, with two decimals: 3,405.10万 and 222.47亿, or 34.05m and 22.25bn.

    Args:
        value: An amount, or minor units; None and an unset amount are shown as a dash.

    """
    if isinstance(value, money_pb2.Money):
        value = cents_of(value) if value.ListFields() else None
    if value is None:
        return NONE
    return short_amount(value)


def short_amount(cents: int) -> str:
    """Return *cents* in the unit people speak in, in the person's language."""
    units = Decimal(cents) / 100
    for size, word in SCALES_ZH if in_chinese() else SCALES_EN:
        if abs(units) >= size:
            return f"{units / size:,.2f}{word}"
    return f"{units:,.2f}"


def count(number: int | None) -> str | Markup:
    """Return a whole number with thousands set apart."""
    return NONE if number is None else f"{number:,}"


def delta(now: int | None, before: int | None) -> Markup:
    """Return how much *now* is above or below *before*, in per cent; a dash when there is nothing to compare."""
    if now is None or not before:
        return NONE
    change = Decimal(now - before) / abs(before) * 100
    if abs(change) < Decimal("0.05"):
        sign, tone, word = "＝", "flat", _("unchanged")
    elif change > 0:
        sign, tone, word = "▲", "up", _("up")
    else:
        sign, tone, word = "▼", "down", _("down")
    return Markup(
        '<span class="delta {}"><span aria-hidden="true">{}</span>'
        '<span class="vh">{} </span>{:.1f}%</span>'
    ).format(tone, sign, word, abs(change))


def zone() -> ZoneInfo:
    """Return the time zone of the portal."""
    return ZoneInfo(current_app.config["TIME_ZONE"])


def today() -> date:
    """Return the calendar day of the portal's time zone."""
    return datetime.now(zone()).date()


def weekday(day: date) -> str:
    """Return the short name of the day of the week: 周一, Mon."""
    return str(get_day_names("abbreviated", locale=get_locale())[day.weekday()])


def day_of(value: date_pb2.Date | date | None) -> date | None:
    """Return a day, or None when it is unset or not whole."""
    if value is None or isinstance(value, date):
        return value
    if not (value.year and value.month and value.day):
        return None
    return date(value.year, value.month, value.day)


def moment_of(value: timestamp_pb2.Timestamp | None) -> datetime | None:
    """Return a moment in the portal's time zone, or None when it is unset."""
    if value is None or not value.ListFields():
        return None
    return datetime.fromtimestamp(value.seconds, zone())


def moment(value: timestamp_pb2.Timestamp | None) -> str | Markup:
    """Return a moment to the minute."""
    found = moment_of(value)
    return NONE if found is None else found.strftime("%Y-%m-%d %H:%M")


def distance(days: int) -> str:
    """Return how far a day is from today, in words: 4天前, tomorrow."""
    if days == 0:
        return str(_("today"))
    if days < 0:
        return str(ngettext("%(num)d day ago", "%(num)d days ago", -days))
    return str(ngettext("in %(num)d day", "in %(num)d days", days))


def day(value: date_pb2.Date | date | None, *, due: bool = False) -> Markup:
    """
    Return a day with its distance from today.

    Args:
        value: The day; unset is shown as a dash.
        due: Whether the day is one to be kept, so that a day gone by is late; otherwise it is late when it lies
            more than 60 days back.

    """
    found = day_of(value)
    if found is None:
        return NONE
    kept: dict[tuple[date, bool], Markup] = g.setdefault("days", {})
    if (found, due) not in kept:
        now = g.setdefault("today", today())
        away = (found - now).days
        late = away < 0 if due else away < -LATE_DAYS
        shown = found.strftime("%m-%d" if found.year == now.year else "%Y-%m-%d")
        kept[found, due] = Markup(
            '<time datetime="{}" class="num{}">{}</time> <span class="mut">{}</span>'
        ).format(found.isoformat(), " late" if late else "", shown, distance(away))
    return kept[found, due]


def bare_day(value: date_pb2.Date | date | None) -> str | Markup:
    """Return a day without its distance from today, for days that call for nothing."""
    found = day_of(value)
    return NONE if found is None else found.isoformat()


def chip(text: object, tone: str = "plain") -> Markup:
    """Return a small label; *tone* is one of TONES."""
    if tone not in TONES:
        raise ValueError(f"no tone {tone}")
    return Markup('<span class="chip {}">{}</span>').format(tone, text)


def tier(code: int) -> Markup:
    """Return the chip of a customer's value tier, given by the contract's number."""
    word = {
        1: _("Basic"),
        2: _("Gold"),
        3: _("Platinum"),
        4: _("Diamond"),
        5: _("Private"),
    }.get(code)
    if word is None:
        return NONE
    return Markup('<span class="chip tier t{}">{}</span>').format(code, word)


def role(name: str) -> str:
    """Return the name of a post."""
    return {
        "BRANCH_MANAGER": _("Branch manager"),
        "LOBBY_MANAGER": _("Lobby manager"),
        "CUSTOMER_MANAGER": _("Customer manager"),
        "OPEN_COUNTER_TELLER": _("Open-counter teller"),
        "CLOSED_COUNTER_TELLER": _("Closed-counter teller"),
        "LOBBY_ASSISTANT": _("Assistant lobby manager"),
        "REMOTE_AUTHORIZER": _("Remote authoriser"),
        "SIGNING_APPROVER": _("Signing approver"),
        "AUDITOR": _("Auditor"),
        "OPERATOR": _("Operator"),
    }.get(name, name)


def yes_no(value: object) -> str:
    """Return yes or no."""
    return str(_("Yes")) if value else str(_("No"))


def text(value: object) -> Markup:
    """Return *value* escaped; a dash when it is empty."""
    return NONE if value in (None, "") else escape(value)


def nonce() -> str:
    """Return a fresh number for a form, so that sending it twice is one request."""
    return str(uuid4())
