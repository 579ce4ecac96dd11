"""What a template may say, which fields it may use, and how they are filled: nothing in it can be executed."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from functools import lru_cache

from services.messaging.gateways.encoding import billed_segments, count, ucs2_units


class State(IntEnum):
    """Whether a template may be sent, with the contract's numbers."""

    DRAFT = 1
    SUBMITTED = 2
    APPROVED = 3
    REJECTED = 4


class Purpose(IntEnum):
    """What customers are written to for, with the contract's numbers."""

    SERVICE = 1
    CARE = 2
    MARKETING = 3


class FieldType(IntEnum):
    """What kind of value a field takes, with the contract's numbers."""

    TEXT = 1
    TITLE = 2
    DAY = 3
    MONEY = 4
    CODE = 5


@dataclass(frozen=True, slots=True)
class Field:
    """
    One field of the catalogue.

    ``longest`` is the most characters that a value may have; ``tail`` is how many at its end are shown, 0 for all.
    """

    field_type: FieldType
    longest: int
    example: str
    label: str
    label_zh: str
    tail: int = 0


@dataclass(frozen=True, slots=True)
class Amount:
    """Money in minor units."""

    minor: int
    currency: str = "CNY"


Value = str | date | Amount | None
"""What is known of a customer, before it is written into a message; None and empty are the same."""

FIELDS: Mapping[str, Field] = {
    "customer_name": Field(FieldType.TEXT, 40, "王小明", "Name", "客户姓名"),
    "customer_title": Field(
        FieldType.TITLE, 44, "王先生", "Form of address", "客户称呼"
    ),
    "customer_number": Field(
        FieldType.CODE, 4, "0017", "End of the customer number", "客户号尾号", tail=4
    ),
    "tier_name": Field(FieldType.TEXT, 10, "白金卡", "Value tier", "客户等级"),
    "branch_name": Field(FieldType.TEXT, 40, "高新支行", "Branch", "网点名称"),
    "owner_name": Field(
        FieldType.TEXT, 40, "林婉清", "Customer manager", "客户经理姓名"
    ),
    "maturity_product": Field(
        FieldType.TEXT, 60, "安心得利180天", "Product that matures next", "到期产品"
    ),
    "maturity_date": Field(
        FieldType.DAY, 11, "2026年12月3日", "Day of maturity", "到期日"
    ),
    "maturity_amount": Field(
        FieldType.MONEY, 24, "200,000元", "Amount that matures", "到期金额"
    ),
}
"""The catalogue of fields that a text may use, in the order in which authors are offered them."""

MATURITY = frozenset({"maturity_product", "maturity_date", "maturity_amount"})
"""Fields about what of the customer's own matures next."""

FORMS = {
    FieldType.DAY: re.compile(r"[0-9]{4}年[0-9]{1,2}月[0-9]{1,2}日"),
    FieldType.MONEY: re.compile(r"[0-9]{1,3}(,[0-9]{3})*(\.[0-9]{2})?[^0-9,.\s]{1,5}"),
    FieldType.CODE: re.compile(r"[0-9A-Za-z]+"),
}
"""How values of a type are written; words and forms of address have no form of their own."""

CURRENCIES = {"CNY": "元", "USD": "美元", "EUR": "欧元", "HKD": "港元", "GBP": "英镑"}
"""What currencies are called behind an amount; others by their code."""

MARK = re.compile(r"\{\{([^{}]*)\}\}")
BRACKETS = frozenset("【】〖〗")
"""Signatures stand in such brackets, so no text and no value may have any."""

COMPOUND = frozenset(
    ("欧阳", "司马", "上官", "诸葛", "东方", "皇甫", "尉迟", "公孙", "慕容", "司徒")
)
"""Family names of two characters that are met at all often."""

FEMALE, MALE = 1, 2
TITLES = {FEMALE: "女士", MALE: "先生"}


@dataclass(frozen=True, slots=True)
class Compiled:
    """A text cut at its fields: even parts are text, odd ones names of fields."""

    parts: tuple[str, ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """Return the fields in the order of their first use."""
        return tuple(dict.fromkeys(self.parts[1::2]))

    @property
    def text(self) -> str:
        """Return the whole text with fields in braces."""
        return "".join(
            f"{{{{{part}}}}}" if place % 2 else part
            for place, part in enumerate(self.parts)
        )

    def render(self, values: Mapping[str, str]) -> str:
        """Return the text with its fields filled in; raises KeyError for one without a value."""
        return "".join(
            values[part] if place % 2 else part for place, part in enumerate(self.parts)
        )


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a text will not do: the reason, and what its sentence mentions."""

    reason: str
    facts: Mapping[str, str]


@lru_cache(maxsize=256)
def compiled(body: str, signature: str, refusal: str, purpose: int) -> Compiled:
    """
    Return *body* as it goes out: behind the signature, and before the words to refuse where it is marketing.

    A text is cut up once: what was compiled lately is kept, and a template that is edited is another text.
    Fields stand in the body alone; braces that an operator put into the signature are letters.
    """
    first, *rest = MARK.split(body)
    parts = [f"【{signature}】{first}", *rest]
    parts[-1] += refusal if purpose == Purpose.MARKETING else ""
    return Compiled(tuple(parts))


def signature_of(purpose: int, signature: str, by_purpose: Mapping[str, str]) -> str:
    """Return the signature for *purpose*: its own where *by_purpose* has one under its name, else *signature*."""
    own = by_purpose.get(Purpose(purpose).name.lower(), "") if purpose else ""
    return own or signature


def fields_of(body: str) -> list[str]:
    """Return the fields that *body* uses, in the order of their first use."""
    return list(dict.fromkeys(MARK.findall(body)))


def hidden(text: str) -> bool:
    """Say whether *text* holds characters that cannot be seen, other than a line's end."""
    return any(
        unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
        and char != "\n"
        for char in text
    )


def folded(text: str) -> str:
    """Return *text* as two spellings of the same words read alike: widths, cases and spaces made equal."""
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def body_faults(
    body: str, *, phrases: Sequence[str], words: Sequence[str]
) -> list[Fault]:
    """
    Return everything that is wrong with *body*, each thing once; empty when it will do.

    *phrases* must not be promised; *words* are those by which customers refuse, which only the system writes.
    Source: rules on commercial messages, which want a true signature and one clear way to refuse.
    """
    return list(_body_faults(body, phrases, words))


def _body_faults(
    body: str, phrases: Sequence[str], words: Sequence[str]
) -> Iterator[Fault]:
    if not body.strip():
        yield Fault("TEMPLATE_TEXT_EMPTY", {})
    if hidden(body):
        yield Fault("TEMPLATE_CHARACTERS_HIDDEN", {})
    named = [name.strip() for name in fields_of(body) if name not in FIELDS]
    for name in dict.fromkeys(filter(None, named)):
        yield Fault("TEMPLATE_FIELD_UNKNOWN", {"field": name})
    rest = MARK.sub("", body)
    if "" in named or set(unicodedata.normalize("NFKC", rest)) & {"{", "}"}:
        yield Fault("TEMPLATE_BRACES_STRAY", {})
    if forges(body, words):
        yield Fault("TEMPLATE_FORGES", {})
    plain = folded(rest)
    for phrase in dict.fromkeys(phrases):
        if folded(phrase) and folded(phrase) in plain:
            yield Fault("TEMPLATE_PHRASE_FORBIDDEN", {"phrase": phrase})


def length_fault(text: str, limit: int) -> Fault | None:
    """Return the fault of a *text* that is billed as more than *limit* messages, None when it is not."""
    segments = billed_segments(text)
    if segments <= limit:
        return None
    facts = {"segments": str(segments), "limit": str(limit)}
    return Fault("TEMPLATE_TOO_LONG", facts)


@dataclass(frozen=True, slots=True)
class Preview:
    """
    How a text goes out.

    ``characters`` are 16-bit units, as they are billed; ``encoded`` is how many messages it is in its encoding on
    the air; ``faults`` are those of the values that were given.
    """

    text: str
    characters: int
    segments: int
    encoding: str
    encoded: int
    faults: Sequence[Fault]


def previewed(text: Compiled, given: Mapping[str, str]) -> Preview:
    """
    Return *text* with the values *given*, and the catalogue's examples for the others.

    A value that will not do is a fault, and the example stands in its place; a field that does not exist stays in
    its braces.
    """
    faults, values = [], {name: f"{{{{{name}}}}}" for name in text.fields}
    values |= {name: field.example for name, field in FIELDS.items()}
    for name, value in given.items():
        shown = value_of(value, FIELDS[name]) if name in FIELDS else ""
        if shown:
            values[name] = shown
            continue
        wrong = "TEMPLATE_VALUE_UNFIT" if name in FIELDS else "TEMPLATE_FIELD_UNKNOWN"
        faults.append(Fault(wrong, {"field": name}))
    whole = text.render(values)
    air = count(whole)
    return Preview(
        text=whole,
        characters=ucs2_units(whole),
        segments=billed_segments(whole),
        encoding=air.encoding,
        encoded=air.segments,
        faults=faults,
    )


def forges(text: str, words: Sequence[str]) -> bool:
    """Say whether *text* holds brackets of a signature, or asks for one of the *words* to refuse."""
    if BRACKETS & set(unicodedata.normalize("NFKC", text)):
        return True
    plain = folded(text)
    for word in map(folded, words):
        latin = word.isascii()
        asked = re.search(rf"回复?[“\"']?{re.escape(word)}(?![a-z0-9])", plain)
        if word and (asked or (not latin and word in plain)):
            return True
    return False


def value_of(value: Value, field: Field) -> str:
    """
    Return *value* as it stands in a message in place of *field*.

    Empty when there is none, or it cannot be shown: it is not of the field's type, too long, or could be taken for
    part of the frame (brackets of a signature, braces of a field, a line of its own, characters that are not seen).
    """
    text = unicodedata.normalize("NFC", _written(value)).strip()
    text = text[-field.tail :] if field.tail else text
    shown = unicodedata.normalize("NFKC", text)
    if hidden(text) or "\n" in text or len(text) > field.longest:
        return ""
    if (BRACKETS | {"{", "}"}) & set(shown):
        return ""
    form = FORMS.get(field.field_type)
    return text if form is None or form.fullmatch(text) else ""


def _written(value: Value) -> str:
    """Return a value in words: days and amounts as the bank writes them to customers."""
    if isinstance(value, date):
        return f"{value.year}年{value.month}月{value.day}日"
    if isinstance(value, Amount):
        units, cents = divmod(value.minor, 100)
        fraction = f".{cents:02}" if cents else ""
        return f"{units:,}{fraction}{CURRENCIES.get(value.currency, value.currency)}"
    return value or ""


def title_of(name: str, gender: int) -> str:
    """Return how a customer is addressed: by the family name and the title; empty when there is no name."""
    if not name:
        return ""
    if not "\u4e00" <= name[0] <= "\u9fff":
        return f"{name}{TITLES.get(gender, '女士/先生')}"
    family = name[:2] if name[:2] in COMPOUND and len(name) > 2 else name[:1]
    return f"{family}{TITLES.get(gender, '女士/先生')}"
