"""Time that passes only when nobody has anything to do, and a network in memory: hours of sending in seconds."""

import asyncio
import selectors


class Idle(selectors.SelectSelector):
    """Lets time jump to the next thing that is due instead of waiting for it."""

    passed = 0.0

    def select(self, timeout=None):
        """Return what is ready; *timeout* seconds have passed then."""
        if timeout is None:
            raise RuntimeError("everybody waits for ever")
        self.passed += timeout
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose connections lead to *peer*, a function that makes the protocol of their other end."""

    def __init__(self, peer, delay):
        """Every write arrives ``delay()`` seconds later, in its order."""
        self._idle = Idle()
        super().__init__(self._idle)
        self._peer, self._delay = peer, delay

    def time(self):
        """Return the seconds that have passed."""
        return self._idle.passed

    async def create_connection(self, factory, *_address, **_more):
        """Connect what *factory* makes with a new peer."""
        ours, theirs = Wire(self, self._delay), Wire(self, self._delay)
        ours.far, theirs.far = theirs, ours
        ours.protocol, theirs.protocol = factory(), self._peer()
        for wire in (theirs, ours):
            wire.protocol.connection_made(wire)
        return ours, ours.protocol


class Wire(asyncio.Transport):
    """One end of a connection."""

    def __init__(self, loop, delay):
        super().__init__()
        self._loop, self._delay = loop, delay
        self._free, self._open = 0.0, True

    def write(self, data):
        """Let *data* arrive later, behind what was written before."""
        self._free = max(self._free, self._loop.time() + self._delay())
        self._loop.call_at(self._free, self.far.arrive, data)

    def arrive(self, data):
        """Hand on what arrived."""
        if self._open:
            self.protocol.data_received(data)

    def is_closing(self):
        """Say whether this end is closed."""
        return not self._open

    def close(self):
        """Close both ends."""
        for end in (self, self.far):
            if end._open:
                end._open = False
                self._loop.call_soon(end.protocol.connection_lost, None)

    abort = close


def run(coroutine, *, peer, delay):
    """Return what *coroutine* returns, with every connection leading to *peer*."""
    loop = VirtualLoop(peer, delay)
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()
