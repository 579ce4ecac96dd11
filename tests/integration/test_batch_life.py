"""
The life of a batch in any order of commands, sending, receipts and killed senders, over gRPC and the real store.

Whatever is done: the counts sum to the people of the batch and are those of its rows, nobody has two outcomes, no
number reaches the centre twice, who planned or confirmed does not approve, and nothing leaves while a batch is held.
"""

import asyncio
from collections import Counter
from datetime import timedelta

import pytest_asyncio
from guanhu.messaging.v1 import batch_pb2 as pb
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from services.messaging.delivery.actions import lane
from services.messaging.delivery.actions.link import SLOWED_SECONDS
from services.messaging.delivery.actions.station import Patience
from tests import messages
from tests.messages import (
    MARKETING,
    SERVICE_PURPOSE,
    Sender,
    a_group,
    approve,
    approved,
    change,
    confirm,
    consent,
    counts,
    get,
    plan,
    recipients,
)
from tests.refusals import refused

NUMBERS = [f"{number:02}" for number in range(1, 6)]
SEQUENCES = settings(
    max_examples=200,
    stateful_step_count=10,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
"""The same sequences in every run."""

PLANNED, AWAITING, SENDING, PAUSED, FINISHED, CANCELLED, REJECTED = (
    pb.BATCH_STATE_PLANNED,
    pb.BATCH_STATE_AWAITING_APPROVAL,
    pb.BATCH_STATE_SENDING,
    pb.BATCH_STATE_PAUSED,
    pb.BATCH_STATE_FINISHED,
    pb.BATCH_STATE_CANCELLED,
    pb.BATCH_STATE_REJECTED,
)
ENDED = {FINISHED, CANCELLED, REJECTED}
FITTING = {
    "confirm": {PLANNED},
    "approve": {AWAITING},
    "Pause": {SENDING},
    "Resume": {PAUSED},
    "Cancel": {PLANNED, AWAITING, SENDING, PAUSED},
}
WHO = st.sampled_from(["teller", "manager"])


@pytest_asyncio.fixture(loop_scope="session")
async def town(bank, monkeypatch):
    """Five customers of one group, who all may be written to at any hour, as often as one likes."""
    monkeypatch.setattr(lane, "DRAIN_SECONDS", 0)
    running = await messages.start(bank, NUMBERS)
    await consent(running, *NUMBERS)
    await messages.set_parameter(running, "sms_hours", '{"from": 0, "to": 24}')
    await messages.set_parameter(running, "marketing_cap", '{"week": 0, "month": 0}')
    running.group = await a_group(running, *NUMBERS)
    running.templates = {
        purpose: await approved(running, name=f"文案{purpose}", purpose=purpose)
        for purpose in (SERVICE_PURPOSE, MARKETING)
    }
    yield running
    await messages.stop(running)


async def reject(town, batch):
    """Turn a batch down as it was shown."""
    return await messages.batches(town, "manager").RejectBatch(
        pb.RejectBatchRequest(
            name=batch.name,
            etag=batch.etag,
            remark="不妥",
            request_id=messages.request_id(),
        )
    )


class Life(RuleBasedStateMachine):
    """One batch from its plan to wherever it comes."""

    town = loop = folder = None

    def do(self, work):
        """Return what *work* gives, on the loop of the services."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    # people

    @initialize(
        purpose=st.sampled_from([SERVICE_PURPOSE, MARKETING]),
        who=WHO,
        verdicts=st.dictionaries(
            st.sampled_from(NUMBERS), st.sampled_from(["rejected", "temporary"])
        ),
        ahead=st.integers(0, 3),
    )
    def is_planned(self, purpose, who, verdicts, ahead):
        """Somebody plans it, and more often than not it is on its way at once; the centre will refuse some numbers."""
        self.sender = self.task = None
        self.left, self.seen = [], []
        self.hidden = []
        self.purpose, self.who, self.verdicts = purpose, who, verdicts
        self.state = PLANNED
        template = self.town.templates[purpose]
        self.batch = self.do(plan(self.town, template, self.town.group, who=who))
        self.do(self._connect())
        if ahead:
            self.is_confirmed()
        if ahead > 1 and self.state == AWAITING:
            self.is_approved()

    @precondition(lambda self: self.state == PLANNED)
    @rule()
    def is_confirmed(self):
        """Who planned it confirms it: it goes out, or waits for a second person."""
        self.batch = self.do(confirm(self.town, self.batch, who=self.who))
        self.state = AWAITING if self.purpose == MARKETING else SENDING

    @precondition(lambda self: self.state == AWAITING)
    @rule()
    def is_approved(self):
        """The manager approves, unless the manager planned it."""
        call = approve(self.town, self.batch)
        if self.who == "manager":
            answer = self.do(refused(call))
            assert answer == ("PERMISSION_DENIED", "APPROVER_IS_SENDER")
        else:
            self.batch, self.state = self.do(call), SENDING

    @precondition(lambda self: self.state == AWAITING and self.who == "teller")
    @rule()
    def is_rejected(self):
        """The manager turns it down."""
        self.batch, self.state = self.do(reject(self.town, self.batch)), REJECTED

    @precondition(lambda self: self.state == SENDING)
    @rule()
    def is_paused(self):
        """It is held back while it is sent, and what is on the wire comes home; nothing more leaves."""
        self.do(self._held("Pause"))
        self.state = self._now().state
        assert self.state in (PAUSED, FINISHED)

    @precondition(lambda self: self.state == PAUSED)
    @rule()
    def is_resumed(self):
        """It goes on where it stopped."""
        self.do(change(self.town, "Resume", self.batch, self.who))
        self.state = self._now().state
        assert self.state in (SENDING, FINISHED)

    @precondition(lambda self: self.state not in ENDED)
    @rule(now=st.integers(0, 3))
    def is_cancelled(self, now):
        """Once in a while it is ended; what was not handed over never is."""
        if now:
            return
        self.do(self._held("Cancel"))
        self.state = self._now().state
        assert self.state == CANCELLED

    @rule(verb=st.sampled_from(["confirm", "approve", "Pause", "Resume", "Cancel"]))
    def is_told_what_does_not_fit(self, verb):
        """A command that its state does not allow is refused, and changes nothing."""
        if self.state in FITTING[verb]:
            return
        call = (
            confirm(self.town, self.batch, who=self.who)
            if verb == "confirm"
            else approve(self.town, self.batch)
            if verb == "approve"
            else change(self.town, verb, self.batch, self.who)
        )
        assert self.do(refused(call)) in {
            ("FAILED_PRECONDITION", "BATCH_STATE_UNFIT"),
            ("ABORTED", "CHANGED_MEANWHILE"),
        }

    async def _held(self, verb):
        await change(self.town, verb, self.batch, self.who)
        await self.sender.station.beat()
        before = len(self.sender.gateway.submitted)
        if self.task:
            self.sender.gateway.answer()
            await self.task
            self.task = None
        await self.sender.send()
        assert len(self.sender.gateway.submitted) == before

    def _now(self):
        return self.do(get(self.town, self.batch, self.who))

    # the sender

    async def _connect(self):
        """Start a sender, which settles what a killed one left behind."""
        self.sender = await Sender(
            self.town,
            self.folder / self.batch.name.replace("/", "-"),
            window=3,
            silent=True,
            judge=lambda one: self.verdicts.get(one.dest[-2:], "accepted"),
        ).open()
        self.sender.station._patience = Patience(timedelta(), 0)
        self.seen.append(self.sender.gateway)

    @precondition(lambda self: self.task is None and self.state != PLANNED)
    @rule()
    def begins_to_send(self):
        """A lane takes the chunk and fills the window; with nothing to send, nothing leaves."""
        before = len(self.sender.gateway.submitted)
        self.do(self._begin())
        if self.state != SENDING:
            assert self.task is None
            assert len(self.sender.gateway.submitted) == before

    async def _begin(self):
        self.task = asyncio.create_task(self.sender.lane.step())
        await self._rests()

    async def _rests(self):
        """Wait until the lane has ended, or writes nothing more before it has answers."""
        gateway = self.sender.gateway
        written, since = len(gateway.submitted), self.loop.time()
        while not self.task.done():
            run = next(iter(self.sender.desk.runs), None)
            if run and gateway._unanswered and not (run.left and gateway.room()):
                return
            if written != len(gateway.submitted) or not gateway._unanswered:
                written, since = len(gateway.submitted), self.loop.time()
            # one that was not taken is tried again by the next who claims the chunk, once the last answer is there
            if self.loop.time() - since > 2 * SLOWED_SECONDS:
                await self.sender.station.beat()
                return
            await asyncio.sleep(0.005)
        await self.task
        self.task = None

    @precondition(lambda self: self.task is not None)
    @rule(most=st.integers(2, 5))
    def answers(self, most):
        """The centre answers some of what it has."""
        self.do(self._answer(most))
        self.state = self._now().state

    async def _answer(self, most):
        gateway = self.sender.gateway
        gateway.answer([*gateway._unanswered][:most])
        await asyncio.sleep(0.005)
        await self._rests()

    @precondition(lambda self: self.task is not None)
    @rule(taken=st.integers(0, 3))
    def is_killed(self, taken):
        """The sender dies with its window full, of which the centre has some; another one takes its seat."""
        waiting = [*self.sender.gateway._unanswered.values()]
        self.hidden += waiting[:taken]
        self.left.append(self.task)
        self.task = None
        self.sender.close()
        self.do(self._connect())
        self.state = self._now().state

    @precondition(lambda self: self.hidden or any(one.taken for one in self.seen))
    @rule(place=st.integers(0, 9), fate=st.sampled_from(["delivered", "failed"]))
    def is_reported(self, place, fate):
        """A receipt comes, of a message that was accepted, or of one whose answer died with its sender."""
        known = [(name, one) for g in self.seen for name, one in g.taken.items()]
        known += [(f"hidden{n}", one) for n, one in enumerate(self.hidden)]
        self.do(self._report(*known[place % len(known)], fate))
        self.state = self._now().state

    async def _report(self, name, message, fate):
        gateway = self.sender.gateway
        mine = f"{name}-{message.dest}"
        gateway.taken[mine] = message
        receipt = gateway.report(mine, fate)
        del gateway.taken[mine]
        self.sender.link.heard[-1] = receipt._replace(gateway_id=name)
        await self.sender.station.take_receipts(self.sender.link)
        await self.sender.station.sort_receipts(self.sender.link)

    # what always holds

    @invariant()
    def stands_as_it_should(self):
        """The state is the expected one, the counts sum to everybody and are those of the rows, nobody comes twice."""
        batch = self._now()
        people = self.do(recipients(self.town, self.batch, self.who)).recipients
        found = Counter(one.state for one in people)
        reached = Counter(one.dest for one in self.hidden)
        for gateway in self.seen:
            reached.update(one.dest for one in gateway.taken.values())

        assert batch.state == self.state
        assert sum(counts(batch)) == batch.total_count == len(NUMBERS)
        assert counts(batch) == tuple(found[n] for n in (1, 2, 4, 5, 6, 7, 8, 3))
        assert len({one.customer for one in people}) == len(people) == len(NUMBERS)
        assert max(reached.values(), default=0) <= 1

    def teardown(self):
        """End what runs, and the batch, so that the next sender finds nothing of it."""

        async def end():
            if self.state not in ENDED:
                await change(self.town, "Cancel", self.batch, self.who)
            for task in [*self.left, *([self.task] if self.task else [])]:
                task.cancel()
                await asyncio.wait([task])

        if getattr(self, "sender", None):
            self.do(end())
            self.sender.close()


async def test_no_order_of_events_loses_doubles_or_leaks(town, tmp_path):
    """Two hundred random lives of batches keep every promise at every step."""
    Life.town, Life.loop, Life.folder = town, asyncio.get_running_loop(), tmp_path
    await asyncio.to_thread(run_state_machine_as_test, Life, settings=SEQUENCES)
    rows = await town.messaging.sql(
        "SELECT batch_id, ordinal, count(*) AS count FROM outcomes"
        " GROUP BY batch_id, ordinal HAVING count(*) > 1"
    )
    states = await town.messaging.sql("SELECT DISTINCT state FROM batches")

    assert rows == []
    assert {row["state"] for row in states} >= ENDED
