"""A feed under the test's hand: what each branch tells, and how far its follower may read."""

from collections import Counter, defaultdict

from guanhu.events.v1 import events_pb2

from services.chassis.caller import service_caller
from services.chassis.feed import Follower


class TrialFeed:
    """Stands in for another service's feed; every branch shows its events one by one, when the test says so."""

    def __init__(self):
        self._events = defaultdict(list)
        self._shown = Counter()

    def publish(self, fact, *branches):
        """Append one fact to the feed of each of *branches*."""
        for branch in branches:
            found = self._events[branch]
            event = events_pb2.Event(branch_id=branch, sequence=len(found) + 1)
            event.fact.Pack(fact)
            found.append(event)

    @property
    def unread(self):
        """Return the branch of every event that was not shown yet, as often as it has such."""
        return [
            branch
            for branch, events in self._events.items()
            for _ in range(len(events) - self._shown[branch])
        ]

    @property
    def length(self):
        """Return how many events there are."""
        return sum(map(len, self._events.values()))

    def show(self, branch):
        """Show one more event of *branch*."""
        self._shown[branch] += 1

    def show_all(self):
        """Show everything there is."""
        for branch, events in self._events.items():
            self._shown[branch] = len(events)

    async def ListHeads(self, _request, **_call):
        """Answer as the contract says, with what is shown."""
        heads = [
            events_pb2.Head(branch_id=branch, last_sequence=count)
            for branch, count in sorted(self._shown.items())
        ]
        return events_pb2.ListHeadsResponse(heads=heads)

    async def ListEvents(self, request, **_call):
        """Answer as the contract says, with what is shown."""
        last = self._shown[request.branch_id]
        events = self._events[request.branch_id][request.after_sequence : last]
        return events_pb2.ListEventsResponse(events=events[: request.page_size])


class Reader:
    """Followers of one service over trial feeds, one feed per source that it follows; readers may share *feeds*."""

    def __init__(self, served, reactions, feeds=None):
        self.served = served
        self.feeds = feeds or {source: TrialFeed() for source in reactions}
        self.followers = [
            Follower(
                source=source,
                stub=feed,
                uow=served.frame.uow,
                bulk=served.frame.bulk,
                caller=service_caller(served.service.name),
                reactions=reactions[source],
            )
            for source, feed in self.feeds.items()
        ]

    def publish(self, fact, *branches):
        """Append a fact to the feed of the service whose contract it is of."""
        self.feeds[fact.DESCRIPTOR.full_name.split(".")[1]].publish(fact, *branches)

    async def read(self, rolls=None):
        """Let everything be read: all at once, or event by event in an order that *rolls* decides."""
        if rolls is not None:
            waiting = [
                (feed, branch) for feed in self.feeds.values() for branch in feed.unread
            ]
            rolls.shuffle(waiting)
            for feed, branch in waiting:
                feed.show(branch)
                await self.step()
        for feed in self.feeds.values():
            feed.show_all()
        await self.step()
        parked = await self.served.sql("SELECT source, cause FROM parked_events")
        done = await self.served.sql("SELECT sum(sequence) FROM feed_positions")
        if parked or done[0][0] != sum(feed.length for feed in self.feeds.values()):
            raise AssertionError([dict(row) for row in parked] or "not all was read")

    async def step(self):
        """Let every follower look once."""
        for follower in self.followers:
            await follower.step()
