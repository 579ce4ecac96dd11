"""Staff: taken on with a log-in, changed, moved, let go; what would leave customers alone is refused."""

import pytest_asyncio
from google.protobuf.field_mask_pb2 import FieldMask
from guanhu.allocation.v1 import allocation_events_pb2 as facts
from guanhu.allocation.v1 import staff_pb2 as pb
from guanhu.allocation.v1.staff_pb2_grpc import StaffServiceStub
from guanhu.identity.v1 import identity_pb2
from guanhu.identity.v1.identity_pb2_grpc import IdentityServiceStub
from guanhu.policy.v1 import policy_pb2

from services.allocation.__main__ import SERVICE
from tests.builders import a_branch, put, request_id
from tests.contract.allocation.test_ownership import assign, register, told
from tests.refusals import refused

MANAGER = policy_pb2.ROLE_CUSTOMER_MANAGER
TELLER = policy_pb2.ROLE_OPEN_COUNTER_TELLER
LOBBY = policy_pb2.ROLE_LOBBY_MANAGER
PASSWORD = "a long first password"


@pytest_asyncio.fixture(loop_scope="session")
async def served(bank):
    """Allocation with its own keys, three branches and nobody in them."""
    running = await bank.serve(SERVICE)
    await put(
        running,
        a_branch(100),
        a_branch(101, parent_branch_id=100),
        a_branch(102, parent_branch_id=100),
        a_branch(103, state="CLOSED"),
    )
    yield running
    await running.stop()


def stub(served, who="operator"):
    """Return the stub of somebody."""
    return served.as_(who)(StaffServiceStub)


async def take_on(served, staff_id="keeper", who="operator", **more):
    """Take somebody on."""
    fields = {
        "branch": "branches/101",
        "display_name": "林婉清",
        "operator_no": f"op{staff_id.replace('_', '')}",
        "posts": [MANAGER],
        "specialities": ["理财"],
        "capacity": 300,
    }
    return await stub(served, who).CreateStaff(
        pb.CreateStaffRequest(
            staff_id=staff_id,
            staff=pb.Staff(**{**fields, **more}),
            initial_password=PASSWORD,
            request_id=request_id(),
        )
    )


async def change(served, person, *paths):
    """Change somebody."""
    return await stub(served).UpdateStaff(
        pb.UpdateStaffRequest(
            staff=person,
            update_mask=FieldMask(paths=paths),
            request_id=request_id(),
        )
    )


async def sign_in(served, operator_no):
    """Sign somebody in."""
    return await IdentityServiceStub(served.channel).SignIn(
        identity_pb2.SignInRequest(operator_no=operator_no, password=PASSWORD)
    )


async def revoked(served, staff_id):
    """Say whether tokens of somebody were made worthless."""
    rows = await served.sql(
        "SELECT 1 FROM revocations WHERE subject = $1", f"staff/{staff_id}"
    )
    return bool(rows)


async def test_somebody_is_taken_on_and_can_sign_in(served):
    """A person gets posts and a log-in at once; numbers are taken from then on, and the event names no name."""
    one = await take_on(served)
    session = await sign_in(served, "opkeeper")
    cases = {
        "STAFF_EXISTS": take_on(served, operator_no="other"),
        "OPERATOR_NO_TAKEN": take_on(served, "second", operator_no="opkeeper"),
        "POST_NOT_FOR_STAFF": take_on(
            served, "second", posts=[policy_pb2.ROLE_SERVICE]
        ),
        "BRANCH_FOR_STAFF_MISSING": take_on(served, "second", branch="branches/103"),
        "FIELD_INVALID": take_on(served, "second", posts=[]),
        "ROLE_MISSING": take_on(served, "second", who="manager"),
    }
    got = {reason: (await refused(call))[1] for reason, call in cases.items()}
    events = await told(served, facts.StaffChanged)

    assert (one.name, one.state, one.owned_count) == (
        "staff/keeper",
        pb.STAFF_STATE_ACTIVE,
        0,
    )
    assert list(one.posts) == [MANAGER]
    assert session.session.staff == "staff/keeper"
    assert got == {reason: reason for reason in cases}
    assert [(event.staff, list(event.posts)) for event in events] == [
        ("staff/keeper", [MANAGER])
    ]


async def test_new_posts_end_tokens_and_none_ends_the_work(served):
    """Other posts revoke what was issued; without a post nobody signs in, and with one again they do."""
    one = await take_on(served)
    one.display_name = "林婉"
    renamed = await change(served, one, "display_name")
    untouched = await revoked(served, "keeper")
    del renamed.posts[:]
    left = await change(served, renamed, "posts")
    cut = await revoked(served, "keeper")
    out = await refused(sign_in(served, "opkeeper"))
    left.posts.append(LOBBY)
    back = await change(served, left, "posts")
    stale = await refused(change(served, one, "display_name"))
    session = await sign_in(served, "opkeeper")

    assert (untouched, cut) == (False, True)
    assert left.state == pb.STAFF_STATE_LEFT
    assert out == ("UNAUTHENTICATED", "SIGN_IN_REFUSED")
    assert back.state == pb.STAFF_STATE_ACTIVE
    assert stale == ("ABORTED", "CHANGED_MEANWHILE")
    assert session.session.staff == "staff/keeper"


async def test_somebody_moves_to_another_branch_and_both_hear_of_it(served):
    """The row goes along, the name stays, tokens end, and who still looks after customers stays."""
    one = await take_on(served)
    await register(served, ("1", 3, 1000))
    await assign(served, "1")
    one = await stub(served).GetStaff(pb.GetStaffRequest(name="staff/keeper"))
    one.branch = "branches/102"
    owning = await refused(change(served, one, "branch"))
    del one.posts[:]
    letting_go = await refused(change(served, one, "posts"))
    await served.sql("UPDATE ownerships SET owner = '', state = 4")
    moved = await change(served, one, "branch")
    rows = await served.sql("SELECT branch_id FROM staff WHERE staff_id = 'keeper'")
    directory = await served.sql(
        "SELECT branch_id FROM directory WHERE kind = 'staff' AND id = 'keeper'"
    )
    here = await told(served, facts.StaffChanged, 101)
    there = await told(served, facts.StaffChanged, 102)

    assert one.owned_count == 1
    assert owning == letting_go == ("FAILED_PRECONDITION", "STAFF_STILL_OWNS")
    assert moved.branch == "branches/102"
    assert [row["branch_id"] for row in rows] == [102]
    assert [row["branch_id"] for row in directory] == [102]
    assert await revoked(served, "keeper")
    assert (here[-1].branch_id, here[-1].previous_branch_id) == (102, 101)
    assert there[-1] == here[-1]


async def test_operator_numbers_change_and_stay_one_per_person(served):
    """A new number signs in and the old one no longer does; somebody else's is refused."""
    one = await take_on(served)
    await take_on(served, "second")
    one.operator_no = "opsecond"
    taken = await refused(change(served, one, "operator_no"))
    one.operator_no = "A1001"
    await change(served, one, "operator_no")
    old = await refused(sign_in(served, "opkeeper"))
    session = await sign_in(served, "A1001")

    assert taken == ("ALREADY_EXISTS", "OPERATOR_NO_TAKEN")
    assert old == ("UNAUTHENTICATED", "SIGN_IN_REFUSED")
    assert session.session.staff == "staff/keeper"


async def test_presence_is_set_by_oneself_or_a_supervisor(served):
    """Everybody says so of themselves, lobby and branch managers of their branch, nobody else of others."""
    for staff_id, posts in (
        ("keeper", [MANAGER]),
        ("teller", [TELLER]),
        ("lobby", [LOBBY]),
    ):
        await take_on(served, staff_id, posts=posts)

    async def present(who, staff_id):
        return await stub(served, who).SetPresence(
            pb.SetPresenceRequest(
                name=f"staff/{staff_id}", present=True, request_id=request_id()
            )
        )

    own = await present("keeper", "keeper")
    supervised = await present("lobby", "teller")
    others = await refused(present("teller", "keeper"))
    far = await refused(present("far_manager", "keeper"))
    on_floor = await stub(served, "lobby").ListStaff(pb.ListStaffRequest(present=True))

    assert own.present
    assert supervised.present
    assert others == ("PERMISSION_DENIED", "PRESENCE_OF_OTHERS")
    assert far == ("NOT_FOUND", "NOT_FOUND")
    assert [one.name for one in on_floor.staff] == ["staff/keeper", "staff/teller"]


async def test_lists_filter_and_page(served):
    """Staff are listed by post, by who may look after customers, by name, and page to the end."""
    for staff_id, posts in (
        ("a1", [MANAGER]),
        ("a2", [TELLER]),
        ("a3", [LOBBY]),
    ):
        await take_on(served, staff_id, posts=posts)
    await take_on(served, "b1", branch="branches/102")

    async def names(who="operator", **filters):
        page = await stub(served, who).ListStaff(pb.ListStaffRequest(**filters))
        return [one.name.partition("/")[2] for one in page.staff]

    first = await stub(served).ListStaff(pb.ListStaffRequest(page_size=3))
    rest = await stub(served).ListStaff(
        pb.ListStaffRequest(page_size=3, page_token=first.next_page_token)
    )

    assert await names() == ["a1", "a2", "a3", "b1"]
    assert await names(can_own=True, branch_id=101) == ["a1", "a2"]
    assert await names(post=LOBBY) == ["a3"]
    assert await names(query="opb") == ["b1"]
    assert await names("lobby", order_by="staff desc") == ["a3", "a2", "a1"]
    assert [len(first.staff), len(rest.staff)] == [3, 1]
