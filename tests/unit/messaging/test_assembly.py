"""What is put together from pieces: customers' messages, ours in parts, PDUs of a stream, and outcomes of answers."""

import asyncio
import struct
from itertools import pairwise

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from services.messaging.gateways import NoRoom, Outgoing, SubmitResult, stream
from services.messaging.gateways.assembly import Assembly, Joined, Piece
from services.messaging.gateways.encoding import Concatenation
from services.messaging.gateways.smpp import SmppGateway
from services.messaging.gateways.smpp_session import SmppSession
from services.messaging.gateways.smpp_writer import SmppSettings
from services.messaging.gateways.stream_session import Timers


def piece(text, ack, source="8613800138000"):
    """Return a part."""
    return Piece(source, "95599", text, ack)


def add(assembly, *, number, total=2, reference=1, text="", now=0.0, source="86138"):
    """Add a part whose acknowledgement is its number."""
    place = Concatenation(reference, total, number)
    return assembly.add(piece(text, number, source), place, now)


@given(st.permutations(range(1, 7)))
def test_parts_in_any_order_give_the_text(order):
    """The last part to come completes the message; each part's acknowledgement comes along in the order heard."""
    assembly = Assembly(5)
    given_back = [add(assembly, number=n, total=6, text=f"<{n}>") for n in order]

    assert given_back[:-1] == [None] * 5
    assert given_back[-1] == Joined(
        "86138", "95599", "<1><2><3><4><5><6>", tuple(order), whole=True
    )
    assert len(assembly) == 0


@pytest.mark.parametrize("other", [{"source": "86139"}, {"reference": 2}, {"total": 3}])
def test_parts_of_different_messages_do_not_mix(other):
    """Sender, reference and number of parts tell messages apart."""
    assembly = Assembly(5)
    add(assembly, number=1, text="a")

    assert add(assembly, number=2, text="b", **other) is None
    assert len(assembly) == 2


def test_a_part_that_comes_twice_counts_once_and_is_acknowledged_twice():
    """The repetition does not complete the message, yet the centre gets an answer to both."""
    assembly = Assembly(5)
    add(assembly, number=1, text="a")
    again = add(assembly, number=1, text="a")
    done = add(assembly, number=2, text="b")

    assert again is None
    assert (done.text, done.acks) == ("ab", (1, 1, 2))


def test_what_waits_too_long_is_handed_on_as_it_is():
    """After the hold, and not before, the parts that came are joined and marked as not whole."""
    assembly = Assembly(5)
    add(assembly, number=3, total=3, text="c", now=10)
    add(assembly, number=1, total=3, text="a", now=12)

    assert assembly.overdue(14.9) == []
    assert assembly.overdue(15.0) == [
        Joined("86138", "95599", "ac", (3, 1), whole=False)
    ]
    assert assembly.overdue(99) == []


def test_more_than_the_most_make_the_oldest_give_way():
    """A flood of unfinished messages costs bounded memory, and no message is dropped in silence."""
    assembly = Assembly(5, most=3)
    for reference in range(5):
        add(assembly, number=1, reference=reference, text=str(reference))

    assert [joined.text for joined in assembly.overdue(1)] == ["0", "1"]
    assert len(assembly) == 3


def test_late_ones_make_room_for_the_others():
    """Those that are late anyway are counted off before the oldest of the others gives way."""
    assembly = Assembly(5, most=2)
    for reference, now in enumerate((0, 0, 4, 4)):
        add(assembly, number=1, reference=reference, text=str(reference), now=now)

    assert [joined.text for joined in assembly.overdue(5)] == ["0", "1"]
    assert len(assembly) == 2


def test_a_lost_link_forgets_the_parts():
    """The centre sends all parts again, so old ones must not complete a message whose rest comes anew."""
    assembly = Assembly(5)
    add(assembly, number=1, text="a")
    assembly.forget()

    assert len(assembly) == 0
    assert add(assembly, number=2, text="b") is None


HEADER = struct.Struct(">IIII")
ANSWER = 1 << 31
DELIVERED = 5 | ANSWER
CENTRE = {"host": "127.0.0.1", "port": 1, "system_id": "bank", "password": "secret"}


def outgoing(text="您好", encoding="ucs2", **more):
    """Return a message."""
    told = {"token": 1, "dest": "86138", "source": "95599", "client_ref": b"\1\2"}
    return Outgoing(text=text, encoding=encoding, **{**told, **more})


class Wire(asyncio.Transport):
    """A connection whose other end is the test."""

    def __init__(self):
        super().__init__()
        self.written = b""

    def write(self, data):
        self.written += data

    def is_closing(self):
        return False

    def abort(self):
        self.session.connection_lost(None)

    def take(self):
        """Return the PDUs written since the last call, as command, status, number and body."""
        found, data, self.written = [], self.written, b""
        while data:
            length, *head = HEADER.unpack_from(data)
            found.append((*head, data[16:length]))
            data = data[length:]
        return found

    def hear(self, *pdus):
        """Let the driver hear PDUs in one breath: command, number, body and status of each."""
        data = b""
        for command, number, body, status in pdus:
            data += HEADER.pack(16 + len(body), command, status, number) + body
        self.session.data_received(data)

    def answer(self, pdu, body=b"", status=0):
        """Answer what the driver wrote."""
        self.hear((pdu[0] | ANSWER, pdu[2], body, status))


def delivery(number, text, esm_class=4):
    """Return a deliver_sm."""
    fields = b"\0\1\1+86138\0\0\x0095599\0" + bytes((esm_class, 0, 0)) + b"\0\0"
    return (5, number, fields + bytes((0, 0, 0, 0, len(text))) + text, 0)


class Owner:
    """Remembers the answers a session read."""

    def __init__(self):
        self.answers = []
        self.answered = self.answers.extend

    def moved(self):
        """Room does not matter here."""

    def lost(self, session, why):
        """Neither does the end."""


async def read(data, cuts, numbers):
    """Return the answers to *numbers* that a session reads from *data*, which comes in pieces."""
    owner, wire = Owner(), Wire()
    session = wire.session = SmppSession(owner, window=100, timers=Timers())
    session.connection_made(wire)
    session._unanswered = {number: (number, 0.0) for number in numbers}
    for start, end in pairwise([0, *sorted(cuts), len(data)]):
        session.data_received(data[start:end])
    session.abort("the test is over")
    return owner.answers


@given(
    st.lists(
        st.tuples(
            st.sampled_from([4 | ANSWER, 4 | ANSWER, 4 | ANSWER, 0x15 | ANSWER]),
            st.sampled_from([0, 0, 8]),
            st.one_of(st.binary(min_size=8, max_size=9), st.binary(max_size=300)),
        ),
        max_size=30,
    ),
    st.lists(st.integers(0, 2000), max_size=5),
)
def test_answers_are_read_alike_whatever_their_lengths_and_the_pieces(frames, cuts):
    """Those of one length are read together, and so are none lost, doubled or mixed up where lengths change."""
    data, expected = b"", []
    for number, (command, status, body) in enumerate(frames):
        data += HEADER.pack(16 + len(body), command, status, number) + body
        if command == 4 | ANSWER:
            expected.append((number, status, body))
    cuts = [cut for cut in cuts if cut < len(data)]

    assert asyncio.run(read(data, cuts, range(len(frames)))) == expected


class Core:
    """Listens, and keeps what it hears unacknowledged; what it refuses raises."""

    def __init__(self):
        self.results, self.lost, self.heard = [], [], []
        self.submitted = self.results.extend
        self.refuses = ()

    def accepted(self, tokens, numbers):
        for token, number in zip(tokens, numbers, strict=True):
            self.results.append(SubmitResult(token, "accepted", number, 0, ""))

    def receipt(self, receipt):
        self.heard.append(receipt)
        if receipt.gateway_id in self.refuses:
            raise RuntimeError("the store is away")

    def inbound(self, message):
        self.heard.append(message)

    def link_lost(self, unanswered, why):
        self.lost += unanswered

    def link_changed(self, state, why):
        self.state = (state, why)


@pytest_asyncio.fixture(loop_scope="session")
async def bound(monkeypatch):
    """Binds drivers on wires."""
    gateways, loop = [], asyncio.get_running_loop()

    async def bind(**more):
        core, wire = Core(), Wire()

        async def connect(session, *_address, **_more):
            wire.session = session()
            wire.session.connection_made(wire)
            return wire, wire.session

        monkeypatch.setattr(loop, "create_connection", connect)
        gateways.append(gateway := SmppGateway(SmppSettings(**CENTRE, **more)))
        await gateway.start(core)
        while not (written := wire.take()):
            await asyncio.sleep(0)
        wire.answer(written[0], b"centre\0")
        await gateway.wait_room()
        return gateway, core, wire

    yield bind
    for gateway in gateways:
        for session in filter(None, [gateway._session]):
            session.abort("the test is over")
        await gateway.stop(0)


class TestTheDriverOnAWire:
    async def test_octets_may_come_one_by_one(self, bound):
        """PDUs are cut out of the stream however the network parts it."""
        gateway, core, wire = await bound()
        gateway.submit([outgoing()])
        [(_, _, number, _)] = wire.take()
        for octet in HEADER.pack(19, 4 | ANSWER, 0, number) + b"m1\0":
            wire.session.data_received(bytes((octet,)))

        assert core.results == [(1, "accepted", "m1", 0, "")]

    async def test_trouble_over_what_was_taken_keeps_no_refusal_back(self, bound):
        """Of answers read together, each is told though the core falls over some of them."""
        gateway, core, wire = await bound()

        def falls(tokens, numbers):
            raise RuntimeError("in trouble")

        core.accepted = falls
        gateway.submit([outgoing(), outgoing(token=2)])
        taken, refused = wire.take()
        with pytest.raises(RuntimeError, match="in trouble"):
            wire.hear(
                (4 | ANSWER, taken[2], b"m1\0", 0), (4 | ANSWER, refused[2], b"", 8)
            )

        assert [one.token for one in core.results] == [2]

    async def test_numbers_begin_anew_and_pass_over_those_in_use(self, bound):
        """After the last number comes the first that is not waiting for an answer."""
        gateway, _, wire = await bound()
        wire.session._sequence = 0
        gateway.submit([outgoing()])
        wire.session._sequence = 0x7FFFFFFE
        gateway.submit([outgoing(token=2), outgoing(token=3)])

        assert [pdu[2] for pdu in wire.take()] == [1, 0x7FFFFFFF, 2]

    async def test_what_cannot_be_encoded_is_refused_alone(self, bound):
        """The others go out; the refusal comes after the submission returned, like any outcome."""
        gateway, core, wire = await bound()
        gateway.submit([outgoing(), outgoing("银", "gsm7", token=2), outgoing(token=3)])
        at_once = [*core.results]
        await asyncio.sleep(0)

        assert at_once == []
        assert len(wire.take()) == 2
        assert [one[:4] for one in core.results] == [(2, "rejected", None, 0)]

    async def test_a_network_that_does_not_keep_up_leaves_no_room(self, bound):
        """While the connection takes nothing more there is no room; afterwards it is as it was."""
        gateway, _, wire = await bound()
        wire.session.pause_writing()
        room = gateway.room()
        waiting = asyncio.create_task(gateway.wait_room())
        await asyncio.sleep(0)
        wire.session.resume_writing()
        await waiting

        assert (room, gateway.room()) == (0, 100)

    async def test_parts_refused_for_speed_are_written_again(self, bound, monkeypatch):
        """A message half taken cannot be given back, so the part is tried again; the last one's number is told."""
        monkeypatch.setattr(stream, "PART_PAUSE", 0.01)
        gateway, core, wire = await bound(long_messages="parts")
        gateway.submit([outgoing("银" * 100)])
        first, last = wire.take()
        wire.answer(last, b"m2\0")
        wire.answer(first, status=0x58)
        while not (again := wire.take()):
            await asyncio.sleep(0.01)
        wire.answer(again[0], b"m3\0")

        assert again[0][3] == first[3]
        assert core.results == [(1, "accepted", "m2", 0, "")]

    async def test_parts_that_are_always_refused_for_speed_end(
        self, bound, monkeypatch
    ):
        """After ten further tries in all the message is given back as throttled, none of it taken."""
        monkeypatch.setattr(stream, "PART_PAUSE", 0)
        gateway, core, wire = await bound(long_messages="parts")
        gateway.submit([outgoing("银" * 100)])
        written = 0
        while not core.results:
            for pdu in wire.take():
                written += 1
                wire.answer(pdu, status=0x58)
            await asyncio.sleep(0)

        assert written == 12
        assert [one[:4] for one in core.results] == [(1, "throttled", None, 0x58)]

    async def test_a_window_smaller_than_a_message_in_parts_is_kept(self, bound):
        """The parts wait for one another's answers, and nothing else has room meanwhile."""
        gateway, core, wire = await bound(long_messages="parts", window=1)
        gateway.submit([outgoing("银" * 200)])
        written, rooms = [], []
        for _ in range(3):
            written.append(wire.take())
            rooms.append(gateway.room())
            wire.answer(written[-1][0], b"m%d\0" % len(written))

        assert [len(pdus) for pdus in written] == [1, 1, 1]
        assert rooms == [0, 0, 0]
        assert core.results == [(1, "accepted", "m3", 0, "")]

    async def test_a_link_that_goes_takes_waiting_parts_with_it(
        self, bound, monkeypatch
    ):
        """The token comes back once, and no part is written to a later link."""
        monkeypatch.setattr(stream, "PART_PAUSE", 0.01)
        gateway, core, wire = await bound(long_messages="parts")
        gateway.submit([outgoing("银" * 100)])
        wire.answer(wire.take()[0], status=0x58)
        wire.session.abort("gone")
        await asyncio.sleep(0.03)

        assert (core.lost, core.results) == ([1], [])
        assert wire.take() == []
        assert (await gateway.health()).unanswered == 0

    async def test_what_is_no_pdu_ends_the_link(self, bound):
        """A length that cannot be is not waited for."""
        gateway, core, wire = await bound()
        gateway.submit([outgoing()])
        wire.session.data_received(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await asyncio.sleep(0)

        assert core.lost == [1]
        assert (await gateway.health()).reason == "the centre sent what is no PDU"

    async def test_the_window_is_kept_and_more_than_the_room_is_not_written(
        self, bound
    ):
        """Three unanswered are three; a fourth is NoRoom, and the centre sees none of its batch."""
        gateway, core, wire = await bound(window=3)
        gateway.submit([outgoing()])
        with pytest.raises(NoRoom):
            gateway.submit([outgoing(token=n) for n in (2, 3, 4)])
        gateway.submit([outgoing(token=n, dest=f"8613{n}") for n in (5, 6)])
        written, full = wire.take(), gateway.room()
        wire.answer(written[1], b"m5\0")

        assert [pdu[3].count(b"8613") for pdu in written] == [1, 1, 1]
        assert (full, gateway.room()) == (0, 1)
        assert core.results == [(5, "accepted", "m5", 0, "")]

    async def test_a_refusal_has_the_class_of_its_status(self, bound):
        """An unknown status is a rejection, unless the centre's settings say what it means; so by generic_nack."""
        own = {0x44D: "throttled"}
        classes = {0x58: "throttled", 0x14: "throttled", 0x08: "temporary", **own}
        classes |= {0x45: "temporary", 0x0B: "rejected", 0x44C: "rejected"}
        gateway, core, wire = await bound(verdicts=own)
        for status in classes:
            gateway.submit([outgoing(), outgoing(token=2)])
            first, second = wire.take()
            wire.answer(first, status=status)
            wire.hear((ANSWER, second[2], b"", status))

        assert [one[:4] for one in core.results] == [
            (token, verdict, None, status)
            for status, verdict in classes.items()
            for token in (1, 2)
        ]

    async def test_no_answer_in_time_is_ambiguous_and_a_late_one_changes_nothing(
        self, bound
    ):
        """The token comes back once, and its room with it."""
        gateway, core, wire = await bound(window=1, timers=Timers(answer=0, tick=0.01))
        gateway.submit([outgoing()])
        [late] = wire.take()
        await gateway.wait_room()
        wire.answer(late, b"m1\0")
        gateway.submit([outgoing(token=2)])
        wire.answer(wire.take()[0], b"m2\0")

        assert [one[:3] for one in core.results] == [
            (1, "ambiguous", None),
            (2, "accepted", "m2"),
        ]

    async def test_parts_without_an_answer_make_their_message_ambiguous(self, bound):
        """One part taken and one unknown is a message that nobody knows of."""
        timers = Timers(answer=0.05, tick=0.01)
        gateway, core, wire = await bound(long_messages="parts", timers=timers)
        gateway.submit([outgoing("银" * 100)])
        wire.answer(wire.take()[0], b"m1\0")
        while not core.results:
            await asyncio.sleep(0.01)

        assert [one[:2] for one in core.results] == [(1, "ambiguous")]
        assert gateway.room() == 100

    async def test_a_receipt_that_is_not_taken_is_not_acknowledged(self, bound):
        """Of what came in one breath, the receipt that raised is left alone; its neighbours and the answer count."""
        gateway, core, wire = await bound()
        core.refuses = {"m2"}
        gateway.submit([outgoing()])
        [(_, _, number, _)] = wire.take()
        receipts = [delivery(n, b"id:m%d stat:DELIVRD" % n) for n in (1, 2, 3)]
        wire.hear(*receipts, (4 | ANSWER, number, b"m9\0", 0))
        at_once = wire.take()
        gateway.ack([one.ack for one in core.heard if one.gateway_id != "m2"])
        health = await gateway.health()

        assert at_once == []
        assert wire.take() == [(DELIVERED, 0, n, b"\0") for n in (1, 3)]
        assert core.results == [(1, "accepted", "m9", 0, "")]
        assert (health.state, health.counts["not_taken"]) == ("bound", 1)

    async def test_an_acknowledgement_is_written_once_and_on_its_own_link(self, bound):
        """Twice is once; what is not ours is passed over; after the link is gone nothing is written any more."""
        gateway, core, wire = await bound()
        wire.hear(delivery(1, b"id:m1 stat:DELIVRD"), delivery(2, b"id:m2"))
        first, second = (one.ack for one in core.heard)
        gateway.ack([first, first, "nobody's"])
        gateway.ack([first])
        written = wire.take()
        wire.abort()
        gateway.ack([second])

        assert written == [(DELIVERED, 0, 1, b"\0")]
        assert wire.take() == []

    async def test_a_delivery_that_nobody_can_read_is_refused_for_good(self, bound):
        """The centre need not try again, and the core does not hear of it."""
        _, core, wire = await bound()
        wire.hear((5, 7, b"cut", 0))

        assert wire.take() == [(DELIVERED, 0x65, 7, b"\0")]
        assert core.heard == []

    async def test_a_customers_long_message_is_one_and_is_acknowledged_whole(
        self, bound
    ):
        """Parts wait for one another unacknowledged; those that wait too long are handed on as they are."""
        timers = Timers(tick=0.01)
        gateway, core, wire = await bound(hold_seconds=0.05, timers=timers)
        wire.hear(delivery(1, b"\5\0\3\1\2\2lo", 0x40))
        wire.hear(delivery(2, b"\5\0\3\1\2\1hel", 0x40))
        wire.hear(delivery(3, b"\5\0\3\2\2\1alone", 0x40))
        while len(core.heard) < 2:
            await asyncio.sleep(0.01)
        at_once = wire.take()
        gateway.ack([one.ack for one in core.heard])

        assert [(one.text, one.whole) for one in core.heard] == [
            ("hello", True),
            ("alone", False),
        ]
        assert at_once == []
        assert [pdu[2] for pdu in wire.take()] == [1, 2, 3]

    async def test_a_driver_that_was_never_started_stops_at_once(self):
        """There is nothing to wait for and nobody to tell."""
        gateway = SmppGateway(SmppSettings(**CENTRE))
        await gateway.stop(60)

        assert await gateway.health() == ("connecting", "", 0, {})
