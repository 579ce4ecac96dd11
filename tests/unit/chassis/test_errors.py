"""What an error of the store means to a caller: come again, or a bug."""

import asyncpg
import pytest
from asyncpg.exceptions import InternalClientError

from services.chassis.errors import refusal_of


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.ConnectionDoesNotExistError("closed in the middle"),
        asyncpg.AdminShutdownError("terminating"),
        InternalClientError(
            "cannot switch to state 15; another operation is in progress"
        ),
    ],
)
def test_a_store_that_went_away_is_tried_again(error):
    """A store that is not there, that leaves, or whose connection broke while it was given back."""
    refusal = refusal_of(error)

    assert refusal is not None
    assert (refusal.code.name, refusal.reason) == ("UNAVAILABLE", "STORE_UNAVAILABLE")


def test_what_nobody_foresaw_is_a_bug():
    """An error that says nothing of the store is not explained away."""
    assert refusal_of(ValueError("no such thing")) is None
