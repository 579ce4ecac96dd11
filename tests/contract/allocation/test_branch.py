"""The tree of branches: founded, changed, listed; what cannot be a tree is refused."""

import pytest_asyncio
from google.protobuf.field_mask_pb2 import FieldMask
from guanhu.allocation.v1 import branch_pb2 as pb
from guanhu.allocation.v1.branch_pb2_grpc import BranchServiceStub

from services.allocation.__main__ import SERVICE
from tests.builders import request_id
from tests.refusals import refused


@pytest_asyncio.fixture(loop_scope="session")
async def served(bank):
    """Allocation with a small tree: 100 above 101 and 102."""
    running = await bank.serve(SERVICE)
    await found(running, 100)
    await found(running, 101, parent="branches/100")
    await found(running, 102, parent="branches/100")
    yield running
    await running.stop()


def stub(served, who="operator"):
    """Return the stub of somebody."""
    return served.as_(who)(BranchServiceStub)


def founding(branch_id, **more):
    """Return a request to found a branch."""
    fields = {
        "display_name": f"网点{branch_id}",
        "branch_type": pb.BRANCH_TYPE_FINE,
        "time_zone": "Asia/Shanghai",
    }
    return pb.CreateBranchRequest(
        branch_id=branch_id,
        branch=pb.Branch(**{**fields, **more}),
        request_id=request_id(),
    )


async def found(served, branch_id, **more):
    """Found a branch."""
    return await stub(served).CreateBranch(founding(branch_id, **more))


async def change(served, branch, *paths):
    """Change a branch."""
    return await stub(served).UpdateBranch(
        pb.UpdateBranchRequest(
            branch=branch,
            update_mask=FieldMask(paths=paths),
            request_id=request_id(),
        )
    )


async def test_a_branch_is_founded_once_under_its_number(served):
    """It is open, lies where it was put, and its number is taken from then on; only the operator founds."""
    one = await found(served, 103, parent="branches/101")
    same = await stub(served, "manager").GetBranch(
        pb.GetBranchRequest(name="branches/101")
    )
    taken = await refused(found(served, 103))
    orphan = await refused(found(served, 104, parent="branches/999"))
    nowhere = await refused(found(served, 104, time_zone="Mars/Olympus"))
    empty = await refused(found(served, 104, display_name=""))
    denied = await refused(stub(served, "manager").CreateBranch(founding(105)))

    assert (one.name, one.parent, one.state) == (
        "branches/103",
        "branches/101",
        pb.BRANCH_STATE_OPEN,
    )
    assert same.branch_type == pb.BRANCH_TYPE_FINE
    assert taken == ("ALREADY_EXISTS", "BRANCH_EXISTS")
    assert orphan == ("NOT_FOUND", "NOT_FOUND")
    assert nowhere == ("INVALID_ARGUMENT", "TIME_ZONE_UNKNOWN")
    assert empty == ("INVALID_ARGUMENT", "FIELD_INVALID")
    assert denied == ("PERMISSION_DENIED", "ROLE_MISSING")


async def test_a_branch_changes_by_its_newest_etag_and_never_into_a_ring(served):
    """Named fields change; a parent below itself, an old etag and an unknown path are refused."""
    one = await stub(served).GetBranch(pb.GetBranchRequest(name="branches/100"))
    one.display_name = "城东支行营业部"
    changed = await change(served, one, "display_name")
    stale = await refused(change(served, one, "display_name"))
    changed.parent = "branches/102"
    ring = await refused(change(served, changed, "parent"))
    unknown = await refused(change(served, changed, "state"))
    changed.etag = ""
    bare = await refused(change(served, changed, "display_name"))

    assert changed.display_name == "城东支行营业部"
    assert stale == ("ABORTED", "CHANGED_MEANWHILE")
    assert ring == ("INVALID_ARGUMENT", "BRANCH_BELOW_ITSELF")
    assert unknown == ("INVALID_ARGUMENT", "MASK_UNKNOWN")
    assert bare == ("INVALID_ARGUMENT", "ETAG_REQUIRED")


async def test_lists_filter_and_page(served):
    """Branches are listed by number, by parent, by part of the name, to the end."""
    first = await stub(served).ListBranches(pb.ListBranchesRequest(page_size=2))
    second = await stub(served).ListBranches(
        pb.ListBranchesRequest(page_size=2, page_token=first.next_page_token)
    )
    below = await stub(served).ListBranches(
        pb.ListBranchesRequest(parent="branches/100", order_by="display_name desc")
    )
    number = await stub(served).ListBranches(pb.ListBranchesRequest(query="102"))
    closed = await stub(served).ListBranches(
        pb.ListBranchesRequest(state=pb.BRANCH_STATE_CLOSED)
    )

    names = [one.name for page in (first, second) for one in page.branches]
    assert names == ["branches/100", "branches/101", "branches/102"]
    assert [one.name for one in below.branches] == ["branches/102", "branches/101"]
    assert [one.name for one in number.branches] == ["branches/102"]
    assert closed.total_size == 0
