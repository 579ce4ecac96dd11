"""What the other sender answers in files, whatever it writes and whoever reads."""

import json
from collections import Counter

import pytest_asyncio

from tests.file_rig import FileRig
from tests.listening import until
from tests.unit.messaging.promises import message, still


@pytest_asyncio.fixture
async def rig(tmp_path):
    """A folder that its owner alone can open."""
    tmp_path.chmod(0o700)
    made = FileRig(tmp_path)
    yield made
    await made.close()


def receipt(token, **more):
    """Return a line of receipts."""
    told = {"id": f"x:{token}", "to": message(token).dest, "state": "delivered"}
    return told | more


async def test_unreadable_lines_are_counted_and_passed_over(rig):
    """Whatever stands in a line, the good ones beside it are heard."""
    core = await rig.open()
    bad = [
        None,
        7,
        [],
        {},
        receipt(1, state="lost"),
        receipt(1, to="x"),
        receipt(1, id=5),
    ]
    bad += [receipt(1, reference="abc"), receipt(1, code="一"), receipt(1, to=[])]
    rig.append("receipts", *bad, receipt(2), *bad)
    with (rig.folder / "receipts.jsonl").open("ab") as file:
        file.write(b"\xff\xfe\n{broken\n\n" + b"x" * 600_000 + b"\n")
    rig.append("receipts", receipt(3))
    await until(lambda: len(core.receipts) == 2)
    health = await core.gateway.health()

    assert [one.gateway_id for one in core.receipts] == ["x:2", "x:3"]
    assert health.counts["unreadable"] >= 2 * len(bad) + 3


async def test_a_line_is_read_once_it_is_whole(rig):
    """The other sender may be in the midst of it."""
    core = await rig.open()
    text = json.dumps(receipt(1)) + "\n"
    path = rig.folder / "receipts.jsonl"
    path.write_text(text[:20])
    await still()
    early = [*core.receipts]
    path.write_text(text)
    await until(lambda: core.receipts)

    assert early == []


async def test_answers_are_read_on_from_where_they_are_durable(rig):
    """A line that was not acknowledged comes again to the next process, and so does what stands behind it."""
    first = await rig.open()
    first.acks = False
    rig.append("receipts", *map(receipt, range(5)))
    await until(lambda: len(first.receipts) == 5)
    acks = [one.ack for one in first.receipts]
    first.gateway.ack([acks[0], acks[1], acks[3]])
    await first.gateway.stop(1)
    second = await rig.open()
    await until(lambda: len(second.receipts) == 3)
    await second.gateway.stop(1)
    third = await rig.open()
    rig.append("receipts", receipt(9))
    await until(lambda: third.receipts)

    assert [one.gateway_id for one in second.receipts] == ["x:2", "x:3", "x:4"]
    assert [one.gateway_id for one in third.receipts] == ["x:9"]


async def test_an_answer_that_the_core_does_not_take_comes_again(rig):
    """And the link goes on."""
    core = await rig.open()
    core.refuses = lambda heard: heard.dest == message(1).dest and len(heards) < 2
    heards = []
    rig.append("receipts", *map(receipt, range(3)))
    await until(lambda: len(core.receipts) >= 3)
    heards += [1, 2]
    await until(lambda: (rig.folder / "receipts.offset").exists() and rig.acked)
    await still()
    heard = Counter(one.gateway_id for one in core.receipts)

    assert heard["x:1"] >= 2
    assert [state for state, _ in core.states] == ["bound"]


async def test_another_file_of_answers_begins_at_its_beginning(rig):
    """The other sender may put a new one in its place, or cut it off."""
    core = await rig.open()
    rig.append("receipts", *map(receipt, range(5)))
    await until(lambda: len(core.receipts) == 5)
    path = rig.folder / "receipts.jsonl"
    path.rename(rig.folder / "receipts.old")
    rig.append("receipts", receipt(7))
    await until(lambda: len(core.receipts) == 6)
    path.write_text("")
    await still()
    rig.append("receipts", receipt(8))
    await until(lambda: len(core.receipts) == 7)

    assert [one.gateway_id for one in core.receipts[5:]] == ["x:7", "x:8"]


async def test_one_process_at_a_time_reads_answers(rig):
    """Another goes on where it ends."""
    first, second = await rig.open(), await rig.open()
    rig.append("receipts", *map(receipt, range(5)))
    await until(lambda: len(first.receipts) + len(second.receipts) == 5)
    await still()
    reader, other = (first, second) if first.receipts else (second, first)
    await reader.gateway.stop(1)
    rig.append("receipts", receipt(6))
    await until(lambda: other.receipts)

    assert len(reader.receipts) == 5
    assert [one.gateway_id for one in other.receipts] == ["x:6"]


async def test_a_link_in_the_place_of_a_file_of_ours_is_not_followed(rig):
    """Who may write into the folder must not have us write elsewhere."""
    prey = rig.folder / "prey"
    prey.write_text("precious")
    (rig.folder / "receipts.offset").symlink_to(prey)
    core = await rig.open()
    rig.append("receipts", receipt(1))
    await until(lambda: "connecting" in [state for state, _ in core.states])

    assert prey.read_text() == "precious"
    assert core.receipts == []
