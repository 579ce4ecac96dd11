"""How far a caller sees: the narrower of what the token says and what the RPC declares."""

from hypothesis import given
from hypothesis import strategies as st

from services.chassis.caller import EVERY_BRANCH, Branch, Caller, Scope, Tree

PARENTS = {100: 0, 101: 100, 102: 100, 103: 102, 200: 0, 201: 200}
TREE = Tree(
    {one: Branch(one, above, "Asia/Shanghai") for one, above in PARENTS.items()}
)
SCOPES = [
    Scope.SCOPE_OWN,
    Scope.SCOPE_BRANCH,
    Scope.SCOPE_SUBTREE,
    Scope.SCOPE_BANK,
]


def a_caller(scope, branch_id):
    """Return a caller as a token makes it."""
    return Caller(
        subject="staff/x",
        roles=frozenset({3}),
        scope=scope,
        branch_id=branch_id,
        branch_ids=TREE.expand(scope, [branch_id]),
    )


def below(branch_id):
    """Return a branch and what lies below it, looked up the other way round."""
    found = set()
    for one in PARENTS:
        above = one
        while above:
            if above == branch_id:
                found.add(one)
            above = PARENTS.get(above, 0)
    return found


@given(st.sampled_from(SCOPES), st.sampled_from(SCOPES), st.sampled_from(list(PARENTS)))
def test_the_narrower_scope_holds(token, rpc, branch_id):
    """A token never sees further than the RPC declares, and an RPC never further than the token."""
    seen = a_caller(token, branch_id).narrowed(rpc, TREE)
    scope = min(token, rpc)
    expected = {
        Scope.SCOPE_OWN: {branch_id},
        Scope.SCOPE_BRANCH: {branch_id},
        Scope.SCOPE_SUBTREE: below(branch_id),
        Scope.SCOPE_BANK: {EVERY_BRANCH},
    }[scope]

    assert seen.scope == scope
    assert set(seen.branch_ids) == expected
    assert seen.own_only == (scope == Scope.SCOPE_OWN)


def test_a_caller_confined_to_one_branch_stays_there():
    """A worker that runs in one branch sees no other one, whatever the RPC allows."""
    confined = a_caller(Scope.SCOPE_BANK, 100).in_branch(102)

    assert confined.narrowed(Scope.SCOPE_SUBTREE, TREE).branch_ids == (102,)
