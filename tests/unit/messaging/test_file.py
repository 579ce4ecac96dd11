"""The file driver where processes die, disks fail, and the other sender writes what it likes."""

import asyncio
import contextlib
import json
import os
import resource
import signal
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import pytest_asyncio

from services.messaging.gateways import GatewayEnded
from services.messaging.gateways.file import FileGateway
from services.messaging.gateways.file_lines import Written, fields_of, leftovers
from tests.file_rig import FileRig
from tests.listening import until
from tests.unit.messaging.promises import message, still

ROOT = Path(__file__).parents[3]

SENDER = """
import asyncio, pathlib, sys
from services.messaging.gateways.file import FileGateway
from tests.listening import Core
from tests.file_rig import FileRig
from tests.unit.messaging.promises import message

async def main():
    rig = FileRig(pathlib.Path(sys.argv[1]))
    core = await rig.open(most_seconds=600, window=50)
    core.submitted = lambda told: [
        print(one.token, one.gateway_id, flush=True) for one in told
    ]
    for token in range(100_000):
        await core.send(message(token))

asyncio.run(main())
"""


@pytest_asyncio.fixture
async def rig(tmp_path):
    """A folder that its owner alone can open."""
    tmp_path.chmod(0o700)
    made = FileRig(tmp_path)
    yield made
    await made.close()


def finished(rig):
    """Return the lines of finished files."""
    return rig.lines("messages-*.jsonl")


# what is written


async def test_a_line_tells_everything_that_the_other_sender_needs(rig):
    """Numbers, text, how to encode and bill it, until when, our reference, and a number of its own."""
    core = await rig.open()
    one = message(1, "您好", segments=2)
    await core.send(one)
    await until(lambda: finished(rig))

    assert finished(rig) == [
        {
            "id": core.results[0].gateway_id,
            "to": one.dest,
            "from": "9559901",
            "text": "【农业银行】您好",
            "encoding": "ucs2",
            "segments": 2,
            "reference": one.client_ref.hex(),
            "receipt": True,
            "valid_until": None,
        }
    ]


async def test_only_the_owner_can_read_what_is_written(rig):
    """Finished, unfinished, and the places of answers; whatever the process's mask says."""
    before = os.umask(0)
    try:
        core = await rig.open(most_seconds=600)
        await core.send(message(1))
        rig.append("receipts", {})
        await until(lambda: rig.acked)
        await core.gateway.stop(1)
    finally:
        os.umask(before)
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in rig.folder.iterdir()
        if path.name != "receipts.jsonl"
    }

    assert len(modes) == 2
    assert set(modes.values()) == {0o600}


async def test_a_file_is_finished_by_size_and_by_age(rig):
    """The other sender sees whole files only; none of them is empty."""
    core = await rig.open(most_octets=1024, most_seconds=600, window=4)
    await core.send(*map(message, range(40)))
    await until(lambda: len(core.told) == 40)
    by_size = [*rig.folder.glob("messages-*.jsonl")]
    await core.gateway.stop(1)
    aged = await rig.open(most_seconds=0.1)
    await aged.send(message(50))
    await until(lambda: len(finished(rig)) == 41)
    await aged.gateway.stop(1)

    assert len(by_size) > 3
    assert all(path.stat().st_size >= 1024 for path in by_size)
    assert Counter(one["to"] for one in finished(rig)) == Counter(
        message(token).dest for token in (*range(40), 50)
    )
    assert [*rig.folder.glob("*.part")] == []
    assert all(path.stat().st_size for path in rig.folder.iterdir())


# folders and disks


@pytest.mark.parametrize("mode", [0o701, 0o704, 0o707, 0o755])
async def test_a_folder_that_is_open_to_others_is_an_alarm(rig, mode):
    """Numbers and texts are not written where everybody can find them."""
    rig.folder.chmod(mode)
    core = await rig.start()
    with pytest.raises(GatewayEnded, match="open to others"):
        await core.gateway.wait_room()

    assert [state for state, _ in core.states] == ["refused"]
    assert [*rig.folder.iterdir()] == []


async def test_a_folder_that_is_away_is_waited_for(rig):
    """It may be on a disk that is not there yet."""
    rig.folder = rig.folder / "later"
    core = await rig.start()
    await until(lambda: core.states)
    await still()
    rig.folder.mkdir(mode=0o700)
    await core.send(message(1))
    await until(lambda: core.results)

    assert [state for state, _ in core.states] == ["connecting", "bound"]
    assert core.verdicts == {"accepted": 1}


async def test_a_full_disk_takes_nothing_and_loses_nothing(rig):
    """What did not fit is not in the file, not even in part, and may be tried again; what was there before stays."""
    core = await rig.open(most_seconds=600)
    await core.send(message(0))
    await until(lambda: core.results)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1200, before[1]))
    try:
        core.gateway.submit([message(token) for token in range(1, 8)])
        await until(lambda: len(core.results) == 8)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    await core.send(message(9))
    await until(lambda: len(core.results) == 9)
    await core.gateway.stop(1)

    assert {one.token: one.verdict for one in core.results} == {
        0: "accepted",
        **dict.fromkeys(range(1, 8), "temporary"),
        9: "accepted",
    }
    assert "connecting" in [state for state, _ in core.states]
    assert sorted(one["to"] for one in finished(rig)) == [
        message(0).dest,
        message(9).dest,
    ]


async def test_a_folder_that_is_taken_away_is_noticed(rig):
    """The next file cannot be made: nothing is taken until it can."""
    core = await rig.open(most_seconds=600)
    await core.send(message(1))
    await until(lambda: core.results)
    elsewhere = rig.folder.with_name("elsewhere")
    rig.folder.rename(elsewhere)
    await core.gateway.stop(1)
    again = await rig.start()
    await until(lambda: again.states)
    elsewhere.rename(rig.folder)
    await until(lambda: finished(rig))

    assert again.states[0] == ("connecting", "FileNotFoundError")
    assert [one["to"] for one in finished(rig)] == [message(1).dest]


async def test_a_disk_of_which_nobody_knows_what_it_took_makes_it_unknown(rig):
    """Neither the lines nor their removal can be made: they are not told as taken, and not to be repeated."""
    core = await rig.open(most_seconds=600)
    await core.send(message(0))
    await until(lambda: core.results)
    [part] = rig.folder.glob("*.part")
    forbid_writing(part)
    told = core.submitted

    def send_one_more(results):
        told(results)
        if results[0].token == 1:
            core.gateway.submit([message(4)])

    core.submitted = send_one_more
    core.gateway.submit([message(1), message(2)])
    await until(lambda: len(core.results) == 4)
    await core.send(message(3))
    await until(lambda: len(core.results) == 5)

    assert {one.token: one.verdict for one in core.results} == {
        0: "accepted",
        1: "ambiguous",
        2: "ambiguous",
        4: "temporary",
        3: "accepted",
    }


def forbid_writing(path):
    """Let whatever in this process has the file at *path* open be able to read it only."""
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if link.readlink() == path:
                read_only = os.open(path, os.O_RDONLY)
                os.dup2(read_only, int(link.name))
                os.close(read_only)


async def test_a_folder_without_room_for_another_file_takes_nothing_more(rig):
    """A file that is full cannot be followed by one: what waits is told as not taken."""
    core = await rig.open(most_octets=1024, most_seconds=600, window=100)
    elsewhere = rig.folder.with_name("elsewhere")
    rig.folder.rename(elsewhere)
    core.gateway.submit([message(token) for token in range(20)])
    await until(lambda: len(core.results) == 20)
    await until(lambda: core.states[-1][0] == "connecting")
    elsewhere.rename(rig.folder)
    await until(lambda: len(finished(rig)) == 20)

    assert core.verdicts == {"accepted": 20}
    assert core.told == Counter(range(20))


async def test_a_core_that_falls_over_an_answer_hears_of_the_rest_once(rig):
    """They are lost, the driver ends with an alarm, and the file tells later what is in it."""
    core = await rig.open(most_seconds=600)

    def fall_over(results):
        core.results += results
        core.gateway.submit([message(2), message(3)])
        raise RuntimeError

    core.submitted = fall_over
    core.gateway.submit([message(0), message(1)])
    await until(lambda: core.lost)
    await core.gateway.stop(1)
    again = await rig.open()
    await until(lambda: len(again.receipts) == 2)

    assert core.told == Counter(range(4))
    assert core.lost == [2, 3]
    assert [state for state, _ in core.states] == [
        "bound",
        "refused",
        "stopping",
        "stopped",
    ]


async def test_what_comes_while_the_driver_falls_over_is_told_once(rig):
    """It was to be rejected, and is lost with the others."""
    core = await rig.open(most_seconds=600)
    fell = asyncio.get_running_loop().create_future()

    def fall_over(results):
        core.results += results
        fell.set_result(None)
        raise RuntimeError

    async def come_late():
        await fell
        core.gateway.submit([message(9, encoding="gsm7")])

    core.submitted = fall_over
    late = asyncio.create_task(come_late())
    core.gateway.submit([message(1), message(2)])
    await late
    await still()

    assert core.told == Counter([1, 2, 9])
    assert core.lost == [9]


async def test_a_driver_that_is_stopped_before_it_began_leaves_nothing(rig):
    """Neither a file nor a state that is not true."""
    core = await rig.start()
    await core.gateway.stop(1)

    assert [state for state, _ in core.states] == ["stopping", "stopped"]
    assert [*rig.folder.iterdir()] == []


def test_a_file_that_is_left_in_the_midst_of_a_write_is_closed_after_it(rig):
    """The disk may take longer than the stop; the lock is held until the write has ended."""
    written = Written(rig.settings())
    with written._busy:
        written.abandon()
        busy = [*leftovers(rig.folder)]
    written.append([fields_of(message(1))])
    [left] = leftovers(rig.folder)
    lines = left.lines()
    left.release()

    assert busy == []
    assert [one.to for one in lines] == [message(1).dest]


async def test_what_is_refused_at_once_is_told_once_however_soon_the_end_comes(rig):
    """Stopped before it could be told, it is lost and not rejected as well."""
    core = await rig.open()
    core.gateway.submit([message(1, encoding="gsm7")])
    await core.gateway.stop(0)
    await still()

    assert core.told == Counter([1])


async def test_a_driver_that_was_never_started_can_be_stopped(rig):
    """It has nothing to part from."""
    gateway = FileGateway(rig.settings())
    await gateway.stop(1)

    assert (await gateway.health()).state == "connecting"


# processes that die


async def test_what_a_killed_process_wrote_is_told_and_finished(rig):
    """Every line of its file is told with its reference, and it is finished only once that is durable."""
    with subprocess.Popen(  # noqa: ASYNC220 - the loop has nothing else to do
        [sys.executable, "-c", SENDER, rig.folder],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": ".:protos"},
        stdout=subprocess.PIPE,
        text=True,
    ) as sender:
        told = dict(sender.stdout.readline().split() for _ in range(300))
        sender.send_signal(signal.SIGKILL)
        told |= dict(line.split() for line in sender.stdout if line.endswith("\n"))
    [part] = rig.folder.glob("*.part")
    whole = [json.loads(one) for one in part.read_bytes().split(b"\n")[:-1]]
    with part.open("ab") as file:
        file.write(b'{"id": "torn", "to": "86138')
    core = await rig.start()
    core.acks = False
    await until(lambda: len(core.receipts) == len(whole))
    await still()
    early = finished(rig)
    core.gateway.ack([one.ack for one in core.receipts])
    written = finished(rig)

    assert early == []
    assert written == whole
    assert len(told) >= 300
    assert {message(int(t)).dest: place for t, place in told.items()}.items() <= {
        one["to"]: one["id"] for one in whole
    }.items()
    assert len(whole) - len(told) <= 50
    assert {
        (one.gateway_id, one.dest, one.client_ref.hex(), one.state)
        for one in core.receipts
    } == {(one["id"], one["to"], one["reference"], "unknown") for one in whole}


async def test_what_is_told_of_a_dead_process_and_not_taken_is_told_again(rig):
    """The file stays unfinished until the core has it."""
    line = {"id": "a:1", "to": "8613800000001", "from": "95599", "reference": "ab"}
    (rig.folder / "messages-a.part").write_text(json.dumps(line) + "\n")
    core = await rig.start()
    core.refuses = lambda heard: len(core.receipts) < 3
    await until(lambda: finished(rig))

    assert len(core.receipts) == 3
    assert finished(rig) == [line]
    assert (await core.gateway.health()).counts["not_taken"] == 2


async def test_a_file_that_somebody_takes_away_before_it_is_finished_is_let_go(rig):
    """It cannot be finished any more; the link goes on, and a second acknowledgement changes nothing."""
    line = {"id": "a:1", "to": "8613800000001", "from": "95599", "reference": "ab"}
    part = rig.folder / "messages-a.part"
    part.write_text(json.dumps(line) + "\n")
    core = await rig.start()
    core.acks = False
    await until(lambda: core.receipts)
    part.unlink()
    ack = core.receipts[0].ack
    core.gateway.ack([ack, ack, None])
    await core.send(message(1))
    await until(lambda: core.results)

    assert core.verdicts == {"accepted": 1}
    assert [state for state, _ in core.states] == ["bound"]


def test_files_that_are_finished_meanwhile_are_passed_over(rig):
    """Two processes may look at the same time."""
    for name in "abc":
        (rig.folder / f"messages-{name}.part").write_text("")
    found = leftovers(rig.folder)
    first = next(found)
    (rig.folder / "messages-b.part").unlink()
    rest = [*found]
    again = [*leftovers(rig.folder)]
    for one in (first, *rest):
        one.release()

    assert [one.path.name for one in (first, *rest)] == [
        "messages-a.part",
        "messages-c.part",
    ]
    assert again == []


async def test_what_was_told_and_is_not_durable_is_told_by_the_next_process(rig):
    """A stop lets go of the file."""
    line = {"id": "a:1", "to": "8613800000001", "from": "95599", "reference": "ab"}
    (rig.folder / "messages-a.part").write_text(json.dumps(line) + "\n")
    first = await rig.start()
    first.acks = False
    await until(lambda: first.receipts)
    await first.gateway.stop(1)
    early = finished(rig)
    second = await rig.open()
    await until(lambda: finished(rig))

    assert early == []
    assert [one.gateway_id for one in second.receipts] == ["a:1"]


@pytest.mark.parametrize("rest", [b"\0" * 512 + b"\n", b"{}\n", b"no\n", b"\xff\n"])
async def test_what_a_power_cut_left_behind_the_last_whole_line_is_cut_off(rig, rest):
    """It was being written, and nobody was told that it was taken."""
    line = {"id": "a:1", "to": "8613800000001", "from": "95599", "reference": "ab"}
    data = json.dumps(line).encode() + b"\n"
    (rig.folder / "messages-a.part").write_bytes(data + rest)
    core = await rig.open()
    await until(lambda: finished(rig))

    assert (rig.folder / "messages-a.jsonl").read_bytes() == data
    assert len(core.receipts) == 1


async def test_an_empty_file_that_was_left_behind_is_taken_away(rig):
    """Its process died before it wrote anything: the other sender is not bothered with it."""
    (rig.folder / "messages-a.part").write_text("")
    core = await rig.open()
    await core.gateway.stop(1)

    assert core.receipts == []
    assert [*rig.folder.iterdir()] == []


async def test_a_file_whose_writer_lives_is_left_alone(rig):
    """Two workers share a folder, each with a file of its own."""
    first = await rig.open(most_seconds=600)
    second = await rig.open(most_seconds=600)
    await first.send(message(1))
    await second.send(message(2))
    await until(lambda: first.results and second.results)
    await still()
    parts = len([*rig.folder.glob("*.part")])
    await first.gateway.stop(1)
    await second.gateway.stop(1)

    assert parts == 2
    assert first.receipts == second.receipts == []
    assert len(finished(rig)) == 2


async def test_a_stop_without_patience_reports_what_is_not_durable_as_lost(rig):
    """Each token is told once, and the next process tells what was written all the same."""
    core = await rig.open(most_seconds=600)
    core.gateway.submit([message(token) for token in range(5)])
    await core.gateway.stop(0)
    again = await rig.open()
    await until(lambda: len(again.receipts) == len(rig.lines()))

    assert core.told == Counter(range(5))
    assert {one.dest for one in again.receipts} <= {
        message(token).dest for token in core.lost
    }
