"""What a chunk holds for the sender: its messages under one seal, as long as they wait."""

from pathlib import Path
from uuid import UUID

import pytest
import pytest_asyncio
import tink
from guanhu.messaging.v1 import delivery_pb2
from guanhu.messaging.v1.delivery_pb2_grpc import DeliveryServiceStub

from services.chassis.caller import service_caller
from services.messaging.batch.actions.letters import Letters, open_chunk, seal_chunk
from services.messaging.delivery import queries
from services.messaging.delivery.actions import lease
from services.messaging.delivery.actions.flight import Key, Seat
from services.messaging.delivery.actions.settle import Settlement, send_again, settle
from services.messaging.delivery.rules import Answers, Slot
from tests import messages
from tests.builders import request_id
from tests.messages import a_group, approved, confirm, mobile_of, plan

NUMBERS = ["01", "02", "03", "04"]
CALLER = service_caller("messaging")
SEAT = Seat(Path(), "somebody", None)


@pytest_asyncio.fixture(loop_scope="session")
async def town(bank):
    """Four customers of a teller."""
    running = await messages.start(bank, NUMBERS)
    yield running
    await messages.stop(running)


async def a_batch(town):
    """Return the key of the only chunk of a batch to all four that is being sent."""
    name = f"客群 {request_id()[:8]}"
    template = await approved(town, name=name)
    group = await a_group(town, *NUMBERS, name=name)
    batch = await confirm(town, await plan(town, template, group))
    return Key(101, UUID(batch.name.partition("/")[2]), 1)


async def claimed(town):
    """Claim the next chunk of the branch."""
    frame = town.messaging.frame
    return await lease.claim(
        frame.uow,
        CALLER,
        frame.vault,
        branch_id=101,
        gateway="demo",
        seat=SEAT,
        boot="",
        zone="Asia/Shanghai",
    )


async def settled(town, key, *answers, worker=SEAT.worker):
    """Enter ordinals with their states, and give the chunk back."""
    ordinals, states = zip(*answers, strict=True)
    blank = [0] * len(answers)
    known = Answers(ordinals, states, blank, [""] * len(answers), blank)
    await settle(town.messaging.frame.uow, CALLER, Settlement(key, known, worker))


async def chunk(town):
    """Return the state of the chunk, and what it keeps of its messages."""
    [row] = await town.messaging.sql("SELECT state, letters FROM chunks")
    return row["state"], row["letters"]


async def shown(town):
    """Return ordinal, text and segments of all messages, as their sender may look them up."""
    stub = town.messaging.as_("teller")(DeliveryServiceStub)
    page = await stub.ListMessages(delivery_pb2.ListMessagesRequest(page_size=500))
    found = [
        await stub.GetMessage(delivery_pb2.GetMessageRequest(name=one.name))
        for one in page.messages
    ]
    return sorted(
        (int(one.name.rpartition(".")[2]), one.text, one.segments) for one in found
    )


@pytest.mark.parametrize("together", [True, False])
async def test_a_chunk_is_loaded_without_what_is_settled_or_unknown(town, together):
    """
    Of a chunk, those that have an outcome or are unknown are not loaded again; the columns belong together.

    It makes no difference whether its messages lie under one seal, or each under its own as in a chunk planned before.
    """
    key = await a_batch(town)
    await settled(town, key, (2, Slot.ACCEPTED), (3, Slot.AMBIGUOUS), worker="")
    if not together:
        await town.messaging.sql("UPDATE chunks SET letters = NULL")
    found = (await claimed(town)).ready
    texts = [one for one in await shown(town) if one[0] in (1, 4)]
    rows = await town.messaging.sql(
        "SELECT mobile_index FROM recipients WHERE ordinal IN (1, 4) ORDER BY ordinal"
    )

    triples = zip(found.ordinals, found.texts, found.segments, strict=True)
    assert list(triples) == texts
    assert list(found.numbers) == ["01", "04"]
    assert list(found.mobiles) == [mobile_of("01"), mobile_of("04")]
    assert list(found.indexes) == [row["mobile_index"] for row in rows]
    assert len(texts) == 2


async def test_messages_lie_together_while_they_wait_and_no_longer(town):
    """What waits again after its chunk was done is opened from what its recipient keeps, and is the same."""
    key = await a_batch(town)
    planned = await chunk(town)
    first = (await claimed(town)).ready
    most = [(ordinal, Slot.ACCEPTED) for ordinal in (1, 2, 3)]
    await settled(town, key, *most)
    waiting = await chunk(town)
    await claimed(town)
    await settled(town, key, (4, Slot.AMBIGUOUS))
    done = await chunk(town)
    place = {"branch_id": key.branch_id, "batch_id": key.batch_id, "chunk": key.chunk}
    await send_again(town.messaging.frame.uow, CALLER, **place, tries=[(4, 1)])
    again = (await claimed(town)).ready

    assert planned[1]
    assert waiting == planned
    assert done == (2, None)
    assert again == first.only([4])


async def test_the_seal_of_a_chunk_is_bound_to_its_place(town):
    """What was sealed for one chunk opens for no other, and shows nothing by accident."""
    vault = town.messaging.frame.vault
    letters = Letters([7], ["01"], [b"\1" * 16], [1], ["13800000001"], ["您好"])
    sealed = seal_chunk(vault, UUID(int=1), 1, letters)

    assert open_chunk(vault, UUID(int=1), 1, sealed) == letters
    assert "13800000001" not in repr(letters)
    assert "您好" not in repr(letters)
    for place in ((UUID(int=1), 2), (UUID(int=2), 1)):
        with pytest.raises(tink.TinkError):
            open_chunk(vault, *place, sealed)


async def test_what_is_settled_is_looked_up_once_for_a_chunk(town):
    """A plan made while nothing was settled does not look again for each message when much is."""
    for table in ("outcomes", "unknowns"):
        await town.messaging.sql(f"VACUUM ANALYZE {table}")
    statement = queries.WAITING
    for name, value in (("$5", "1000"), ("$4", "1"), ("$3", "1"), ("$1", "101")):
        statement = statement.replace(name, value)
    statement = statement.replace("$2", f"'{UUID(int=1)}'::uuid")
    rows = await town.messaging.sql(f"EXPLAIN {statement}")
    plan = "\n".join(row[0] for row in rows)

    assert plan.count("hashed SubPlan") == 2
    assert "Join" not in plan
    assert "Nested Loop" not in plan
