"""What a tree of branches may look like."""

from collections.abc import Mapping
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


def below_itself(branch_id: int, parent: int, parents: Mapping[int, int]) -> bool:
    """Say whether *parent* is *branch_id* or lies below it; *parents* names the parent of each branch, 0 at the top."""
    seen = 0
    while parent and seen <= len(parents):
        if parent == branch_id:
            return True
        parent, seen = parents.get(parent, 0), seen + 1
    return False


def zone_holds(name: str) -> bool:
    """Say whether *name* is a time zone (source: IANA time zone database)."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
