"""Who is calling: posts, how far they see, and the branches that comes to."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from guanhu.policy.v1 import policy_pb2

from services.chassis.clock import HOME_ZONE

Scope = policy_pb2.Scope
Role = policy_pb2.Role

EVERY_BRANCH = -1
"""Stands for the whole bank in ``app.branch_ids``; the row-level policies read it as all."""

HEAD_OFFICE = 0
"""The head office: it has its own audit chain, outbox counter and request rows."""


@dataclass(frozen=True, slots=True)
class Caller:
    """
    One caller, as its token says, with the branches its scope comes to.

    ``branch_ids`` is ascending, or ``(-1,)`` for the whole bank. ``agent`` names the program that calls on the
    subject's behalf.
    """

    subject: str
    roles: frozenset[int]
    scope: int
    branch_id: int = HEAD_OFFICE
    branch_ids: tuple[int, ...] = ()
    session: str = ""
    agent: str = ""

    @property
    def everywhere(self) -> bool:
        """Say whether the caller sees the whole bank."""
        return self.branch_ids == (EVERY_BRANCH,)

    @property
    def own_only(self) -> bool:
        """Say whether the caller sees only what is its own."""
        return self.scope == Scope.SCOPE_OWN

    @property
    def key(self) -> str:
        """Return the bare key of the subject, as tables store it."""
        return self.subject.partition("/")[2]

    def sees(self, branch_id: int) -> bool:
        """Say whether *branch_id* lies in the caller's scope."""
        return self.everywhere or branch_id in self.branch_ids

    def has(self, *roles: int) -> bool:
        """Say whether the caller holds one of *roles*."""
        return not self.roles.isdisjoint(roles)

    def in_branch(self, branch_id: int) -> "Caller":
        """Return the same caller narrowed to one branch, as followers and workers run."""
        return replace(self, branch_ids=(branch_id,))

    def narrowed(self, scope: int, tree: "Tree") -> "Caller":
        """Return the caller as an RPC of *scope* takes it: the narrower of both holds."""
        if scope >= self.scope:
            return self
        seen = tree.expand(scope, [self.branch_id])
        return replace(self, scope=scope, branch_ids=tuple(filter(self.sees, seen)))


@dataclass(frozen=True, slots=True)
class Branch:
    """One branch in the tree."""

    branch_id: int
    parent: int
    zone: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Tree:
    """The tree of branches, as the identity service last told it."""

    branches: Mapping[int, Branch] = field(default_factory=dict)

    def below(self, roots: Collection[int]) -> tuple[int, ...]:
        """Return *roots* and every branch below them, ascending."""
        found = set(roots)
        grew = True
        while grew:
            more = {
                one.branch_id for one in self.branches.values() if one.parent in found
            } - found
            grew = bool(more)
            found |= more
        return tuple(sorted(found))

    def zone(self, branch_id: int) -> str:
        """Return the time zone of a branch; the country's for one that the tree does not know."""
        found = self.branches.get(branch_id)
        return found.zone if found else HOME_ZONE

    def expand(self, scope: int, roots: Collection[int]) -> tuple[int, ...]:
        """Return the branches that *scope* over *roots* comes to."""
        if scope == Scope.SCOPE_BANK:
            return (EVERY_BRANCH,)
        if scope == Scope.SCOPE_SUBTREE:
            return self.below(roots)
        return tuple(sorted(roots))


def service_caller(service: str) -> Caller:
    """Return the caller that *service* is to itself: its worker's loops run as this, one branch at a time."""
    return Caller(
        subject=f"services/{service}",
        roles=frozenset({Role.ROLE_SERVICE}),
        scope=Scope.SCOPE_BANK,
        branch_ids=(EVERY_BRANCH,),
    )
