"""What a template may say, and how its fields are filled: nothing in it can be executed."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum


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


FIELDS: Mapping[str, int] = {
    "customer_name": 40,
    "customer_title": 44,
    "branch_name": 40,
    "owner_name": 40,
}
"""Fields that a text may use, and the most characters that a value of each may have."""

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


def compiled(body: str, *, signature: str, refusal: str, purpose: int) -> Compiled:
    """Return *body* as it goes out: behind the signature, and before the words to refuse where it is marketing."""
    tail = refusal if purpose == Purpose.MARKETING else ""
    return Compiled(tuple(MARK.split(f"【{signature}】{body}{tail}")))


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


def body_fault(
    body: str, *, phrases: Sequence[str], words: Sequence[str]
) -> Fault | None:
    """
    Return the first thing wrong with *body*, None when it will do.

    *phrases* must not be promised; *words* are those by which customers refuse, which only the system writes.
    Source: rules on commercial messages, which want a true signature and one clear way to refuse.
    """
    for name in fields_of(body):
        if name not in FIELDS:
            missing = "TEMPLATE_FIELD_UNKNOWN" if name.strip() else ""
            return Fault(missing or "TEMPLATE_BRACES_STRAY", {"field": name.strip()})
    rest = MARK.sub("", body)
    if set(unicodedata.normalize("NFKC", rest)) & {"{", "}"}:
        return Fault("TEMPLATE_BRACES_STRAY", {})
    if forges(body, words):
        return Fault("TEMPLATE_FORGES", {})
    plain = folded(rest)
    for phrase in phrases:
        if folded(phrase) and folded(phrase) in plain:
            return Fault("TEMPLATE_PHRASE_FORBIDDEN", {"phrase": phrase})
    return None


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


def value_of(text: str, longest: int) -> str:
    """Return *text* as a message may show it; empty when there is none, or it cannot be shown."""
    value = unicodedata.normalize("NFC", text).strip()
    shown = unicodedata.normalize("NFKC", value)
    if hidden(value) or "\n" in value or len(value) > longest:
        return ""
    return "" if (BRACKETS | {"{", "}"}) & set(shown) else value


def title_of(name: str, gender: int) -> str:
    """Return how a customer is addressed: by the family name and the title; empty when there is no name."""
    if not name:
        return ""
    if not "\u4e00" <= name[0] <= "\u9fff":
        return f"{name}{TITLES.get(gender, '女士/先生')}"
    family = name[:2] if name[:2] in COMPOUND and len(name) > 2 else name[:1]
    return f"{family}{TITLES.get(gender, '女士/先生')}"
