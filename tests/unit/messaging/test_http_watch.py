"""Which messages are asked about, and when."""

from services.chassis.clock import system_clock
from services.messaging.gateways import http_watch
from services.messaging.gateways.http_calls import Asking
from services.messaging.gateways.http_watch import Awaited, Watch


def awaited(number, since=0.0, pause=10.0):
    """Return a message that awaits its receipt."""
    return Awaited(
        key=f"m{number}",
        dest="8613800000001",
        source="9559901",
        reference=b"",
        gateway_id=f"m{number}",
        sent_at=system_clock(),
        since=since,
        pause=pause,
    )


def asked(watch, until):
    """Return when a message was asked about, second by second."""
    return [second for second in range(until) if watch.due(second)]


def test_the_pause_doubles_until_the_message_is_too_old():
    """10 s after it was sent, then after 20, 40 and 80 more; after 200 s never again."""
    watch = Watch(Asking(after=10, until=200))
    watch.add(awaited(1))

    assert asked(watch, 1000) == [10, 30, 70, 150]
    assert len(watch) == 0


def test_what_has_its_receipt_is_not_asked_about():
    """The others are, in the order in which they are due."""
    watch = Watch(Asking(after=10, until=200))
    for number, pause in ((1, 30.0), (2, 10.0), (3, 20.0)):
        watch.add(awaited(number, pause=pause))
    watch.drop("m2")
    watch.drop("m2")
    order = [watch.due(50).key, watch.due(50).key, watch.due(50)]

    assert order == ["m3", "m1", None]


def test_only_so_many_are_remembered():
    """The oldest gives way, and only the access number of those that are remembered is known."""
    watch = Watch(Asking())
    for number in range(http_watch.MOST + 1):
        watch.add(awaited(number))

    assert len(watch) == http_watch.MOST
    assert watch.source_of(["m0"]) == ""
    assert watch.source_of(["x", "m1"]) == "9559901"
