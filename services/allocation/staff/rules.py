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
