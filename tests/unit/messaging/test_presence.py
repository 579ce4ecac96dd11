"""Whether a worker lives: leases that stand still while somebody really watches."""

import pytest

from services.messaging.delivery.actions.presence import Vigil, is_lost, lock_of
from services.messaging.delivery.rules import Tenure


def test_only_leases_that_are_not_renewed_stand_still():
    """Seconds add up while the renewal is the same one, and begin anew with each."""
    vigil = Vigil()
    seen = [
        vigil.look({"a": renewed, "b": 1}, now)
        for renewed, now in ((1, 10.0), (1, 11.0), (2, 12.0), (2, 12.5))
    ]

    assert [one["a"] for one in seen] == [0, 1, 0, 0.5]
    assert [one["b"] for one in seen] == [0, 1, 2, 2.5]


def test_a_lease_that_was_away_begins_anew():
    """A chunk that was given back and taken again by the same worker is another lease."""
    vigil = Vigil()
    vigil.look({"a": 1}, 0.0)
    vigil.look({}, 1.0)
    vigil.look({"a": 1}, 2.0)

    assert vigil.look({"a": 1}, 3.0) == {"a": 1}


def test_time_that_nobody_watched_does_not_count():
    """A watcher that was held up counts two seconds of it, and an outage of the store begins everything anew."""
    vigil = Vigil()
    vigil.look({"a": 1}, 0.0)
    held_up = vigil.look({"a": 1}, 100.0)
    vigil.forget()
    after = vigil.look({"a": 1}, 101.0)
    later = vigil.look({"a": 1}, 102.0)

    assert (held_up, after, later) == ({"a": 2}, {"a": 0}, {"a": 1})


@pytest.mark.parametrize(
    ("stood", "lives", "lost"),
    [(4.9, False, False), (5, False, True), (59.9, True, False), (60, True, True)],
)
def test_a_lease_is_lost_sooner_when_the_lock_is_free(stood, lives, lost):
    """Half of ten seconds without a connection, a minute with one; and the worker is silent before either."""
    tenure = Tenure(10)

    assert is_lost(tenure, stood, lives=lives) is lost
    assert tenure.silent < tenure.free < tenure.held


def test_locks_fit_what_the_store_takes():
    """A lock's key is the same everywhere, and no greater than the store's integers."""
    keys = [lock_of(f"{number:032x}") for number in range(1000)]

    assert len(set(keys)) == 1000
    assert all(0 <= key < 1 << 31 for key in keys)
    assert lock_of("a") == lock_of("a")
