"""What the contracts' enumerations are called, in the person's language."""

from collections.abc import Mapping
from typing import Any

from flask_babel import lazy_gettext as _l
from markupsafe import Markup

from admin import formats

TIER = {
    1: _l("Basic"),
    2: _l("Gold"),
    3: _l("Platinum"),
    4: _l("Diamond"),
    5: _l("Private"),
}
TYPE = {1: _l("Ordinary"), 2: _l("Potential"), 3: _l("VIP")}
CARD = {
    1: _l("None"),
    2: _l("Gold card"),
    3: _l("Platinum card"),
    4: _l("Diamond card"),
    5: _l("Private card"),
}
MODE = {1: _l("One to one"), 2: _l("In batches")}
CHANNEL = {
    1: _l("SMS"),
    2: _l("Telephone"),
    3: _l("Visit"),
    4: _l("In the branch"),
    5: _l("Messenger"),
    6: _l("E-mail"),
    7: _l("App"),
}
TIME = {
    1: _l("Weekday mornings"),
    2: _l("Weekday afternoons"),
    3: _l("Weekday evenings"),
    4: _l("Weekend mornings"),
    5: _l("Weekend afternoons"),
    6: _l("Weekend evenings"),
}
FREQUENCY = {
    1: _l("Once a day"),
    2: _l("Once a week"),
    3: _l("Once a month"),
    4: _l("Once a quarter"),
    5: _l("Only on request"),
}
SOURCE = {
    1: _l("In the system"),
    2: _l("Recommended by a post"),
    3: _l("Canvassing"),
    4: _l("Found at an event"),
    5: _l("Own prospecting"),
    6: _l("Campaign list"),
    7: _l("Department list"),
    8: _l("Partner list"),
    9: _l("Introduced by a customer"),
}
PRODUCT = {
    1: _l("Benlifeng"),
    2: _l("Huilifeng"),
    3: _l("Anxin Deli"),
    4: _l("Anxin Kuaixian"),
    5: _l("Jinqu Zengli"),
    6: _l("Jingwaibao"),
    7: _l("Trust"),
    8: _l("Other wealth product"),
}
GROUP = {1: _l("By hand"), 2: _l("By rule")}
RESULT = {
    1: _l("Reached"),
    2: _l("No answer"),
    3: _l("Put off"),
    4: _l("Declined"),
    5: _l("Wrong number"),
    6: _l("Sent"),
}
OWNERSHIP = {
    1: _l("Never assigned"),
    2: _l("Held"),
    3: _l("Assigned"),
    4: _l("Taken back"),
}
REMINDER = {
    1: _l("Large outflow"),
    2: _l("Assets fell"),
    3: _l("Card below standard"),
    10: _l("Large inflow"),
    11: _l("Product maturing"),
    12: _l("Assets rose"),
    13: _l("Standard met without card"),
    14: _l("Became VIP"),
    20: _l("New owner"),
    21: _l("Birthday"),
    22: _l("Lunar birthday"),
    23: _l("Anniversary"),
    24: _l("Festival"),
}
EVENT = {
    1: _l("Life event"),
    2: _l("Behaviour event"),
    3: _l("Product event"),
    4: _l("Activity event"),
    5: _l("Market event"),
    6: _l("Other event"),
}
PLAN = {
    1: _l("Draft"),
    2: _l("Waiting for review"),
    3: _l("Returned"),
    4: _l("Approved"),
    5: _l("Closed"),
}
ITEM = {
    1: _l("Planned"),
    2: _l("Done"),
    3: _l("No answer"),
    4: _l("Put off"),
    5: _l("Taken out"),
    6: _l("Missed"),
}
CAUSE = {
    1: _l("Reminder"),
    2: _l("Next contact due"),
    3: _l("Opportunity"),
    4: _l("Carried over"),
    5: _l("Long silence"),
    6: _l("By hand"),
}
STAGE = {
    1: _l("Lead"),
    2: _l("Contacted"),
    3: _l("Need confirmed"),
    4: _l("Product presented"),
    5: _l("Feedback received"),
    10: _l("Won"),
    11: _l("Lost"),
}
REMINDER_STATE = {
    1: _l("To be contacted"),
    2: _l("In a plan"),
    3: _l("Done"),
    4: _l("Dismissed"),
}
CATEGORY = {
    1: _l("Risk"),
    2: _l("Chance"),
    3: _l("Information"),
    4: _l("Task"),
    5: _l("Funds"),
    6: _l("Approval"),
}
FAMILY = {1: _l("Wealth"), 2: _l("Channels"), 3: _l("Deposits and others")}
BAND = {1: _l("High end"), 2: _l("Middle"), 3: _l("Low end")}
ACT = {
    1: _l("Asked not to be disturbed"),
    2: _l("Lifted the request"),
    3: _l("Agreed"),
    4: _l("Took the agreement back"),
}
ACT_TONES = {1: "warn", 3: "good", 4: "warn"}
EVIDENCE = {
    1: _l("Signed form"),
    2: _l("Ticked online"),
    3: _l("Recorded call"),
    4: _l("Message received"),
    5: _l("Told to staff"),
}
PURPOSE = {1: _l("Service"), 2: _l("Care"), 3: _l("Marketing")}
TEMPLATE = {
    1: _l("Draft"),
    2: _l("Waiting for review"),
    3: _l("Approved"),
    4: _l("Rejected"),
}
BATCH = {
    1: _l("Planned"),
    2: _l("Waiting for approval"),
    3: _l("Scheduled"),
    4: _l("Being sent"),
    5: _l("Held back"),
    6: _l("Finished"),
    7: _l("Cancelled"),
    8: _l("Rejected"),
}
RECIPIENT = {
    1: _l("Left out"),
    2: _l("Waiting"),
    3: _l("Being handed over"),
    4: _l("Accepted"),
    5: _l("Delivered"),
    6: _l("Failed"),
    7: _l("Unknown"),
    8: _l("Not sent"),
}
EXCLUSION = {
    1: _l("No mobile"),
    2: _l("Not a mobile number"),
    3: _l("Not to be disturbed"),
    4: _l("Consent missing"),
    5: _l("Consent withdrawn"),
    6: _l("Same number as another"),
    7: _l("Not looked after by the sender"),
    8: _l("Cap reached"),
    9: _l("A field is empty"),
    10: _l("Text too long"),
    11: _l("Refused before"),
    12: _l("Wishes otherwise"),
}
INBOUND = {1: _l("Reply"), 2: _l("Refusal"), 3: _l("Allowed again")}
INBOUND_STATE = {1: _l("To be dealt with"), 2: _l("Dealt with")}
CONFIRMATION = {
    1: _l("Waiting"),
    2: _l("Being handed over"),
    3: _l("Accepted"),
    4: _l("Failed"),
    5: _l("Unknown"),
}
POLICY = {
    1: _l("wait for the receipt, then send again"),
    2: _l("never send again"),
    3: _l("send again at once"),
}
DOUBT = {1: _l("no answer came"), 2: _l("the record of a machine was lost")}
PROTOCOL = {1: "SMPP", 2: "CMPP 2.0", 3: "CMPP 3.0", 4: "HTTP", 5: _l("File")}
GATEWAY = {1: _l("Running"), 2: _l("Held back")}
GATEWAY_TONES = {1: "good", 2: "warn"}
LINK = {
    1: _l("Connecting"),
    2: _l("Connected"),
    3: _l("Credentials refused"),
    4: _l("Parting"),
    5: _l("Parted"),
}
LINK_TONES = {1: "warn", 2: "good", 3: "bad"}
SKIPPED = {
    1: _l("not found"),
    2: _l("the owner has changed"),
    3: _l("the state does not allow it"),
    4: _l("nothing to do"),
    5: _l("still in cultivation"),
}
RISKY, GOOD, WAITING = frozenset({1, 2, 3}), frozenset({10, 11, 12, 13, 14}), "note"


def word(names: Mapping[int, object], code: int) -> str:
    """Return the word for *code*; a dash for one that says nothing."""
    return str(names.get(code, "—"))


def chip(
    names: Mapping[int, object], code: int, tones: Mapping[int, str] | None = None
) -> Markup:
    """Return the word for *code* as a chip, in the tone that *tones* name."""
    if code not in names:
        return formats.NONE
    return formats.chip(names[code], (tones or {}).get(code, "plain"))


def reminder(kind: int) -> Markup:
    """Return the chip of a kind of reminder: risk red, opportunity green, the rest plain."""
    tone = "bad" if kind in RISKY else "good" if kind in GOOD else "note"
    return chip(REMINDER, kind, {kind: tone})


PLAN_TONES = {2: "warn", 3: "bad", 4: "good"}
ITEM_TONES = {2: "good", 3: "warn", 4: "warn", 6: "bad"}
TEMPLATE_TONES = {2: "warn", 3: "good", 4: "bad"}
BATCH_TONES = {2: "warn", 3: "note", 4: "note", 5: "warn", 6: "good", 8: "bad"}
INBOUND_TONES = {1: "note", 2: "warn", 3: "good"}
INBOUND_STATE_TONES = {1: "warn"}
CONFIRMATION_TONES = {3: "good", 4: "bad", 5: "warn"}
RECIPIENT_TONES = {1: "warn", 4: "note", 5: "good", 6: "bad", 7: "warn"}


def options(names: Mapping[int, object]) -> Any:
    """Return what makes the choices of a filter while a request is served."""
    return lambda: [(str(code), str(text)) for code, text in names.items()]
