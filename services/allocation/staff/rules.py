"""What a post is worth: how far it sees."""

from collections.abc import Collection

BANK = {"AUDITOR", "OPERATOR"}
"""Posts of the head office that see every branch."""

SUBTREE = {"BRANCH_MANAGER"}
"""The head of a branch sees it and what lies below it (source: handbook, branch-wide visibility)."""

BRANCH = {"LOBBY_MANAGER", "REMOTE_AUTHORIZER", "SIGNING_APPROVER"}
"""Posts that act on customers of the whole branch, whoever owns them."""

LEVELS = ("OWN", "BRANCH", "SUBTREE", "BANK")


def scope_of(posts: Collection[str]) -> str:
    """Return the widest scope that *posts* give; those that look after their own customers see no further."""
    held = set(posts)
    if held & BANK:
        return "BANK"
    if held & SUBTREE:
        return "SUBTREE"
    return "BRANCH" if held & BRANCH else "OWN"


OWNING = frozenset({"BRANCH_MANAGER", "CUSTOMER_MANAGER", "OPEN_COUNTER_TELLER"})
"""Posts that look after customers (source: handbook, relationship owners)."""

SUPERVISING = frozenset({"BRANCH_MANAGER", "LOBBY_MANAGER"})
"""Posts that may say of others whether they are on the floor."""

PROGRAMS = frozenset({"SERVICE", "FEED_ACCOUNT", "READER_ACCOUNT"})
"""Roles that only programs hold."""


def program_among(posts: Collection[str]) -> str:
    """Return a role among *posts* that no person can hold; empty when there is none."""
    return min(PROGRAMS & set(posts), default="")


def state_of(posts: Collection[str]) -> str:
    """Return whether somebody with *posts* works here: whoever holds none has left."""
    return "ACTIVE" if posts else "LEFT"


def must_give_back(before: Collection[str], after: Collection[str]) -> bool:
    """Say whether somebody loses the last post that looks after customers."""
    return bool(OWNING & set(before)) and not OWNING & set(after)
