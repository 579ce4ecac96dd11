"""Signing keys change by the clock: what is known before it signs, what is taken until it ends, what no longer."""

import asyncio
import base64
import json
from datetime import timedelta

import pytest_asyncio
from guanhu.identity.v1 import identity_pb2 as pb
from guanhu.identity.v1.identity_pb2_grpc import IdentityServiceStub
from guanhu.parameter.v1 import parameter_pb2
from guanhu.parameter.v1.parameter_pb2_grpc import ParameterServiceStub

from services.allocation.__main__ import SERVICE as ALLOCATION
from services.allocation.identity import rules
from services.customer.__main__ import SERVICE as CUSTOMER
from tests.builders import a_branch, a_member_of_staff, an_operator, put
from tests.refusals import refused

PASSWORD = "correct horse battery"
MINUTE = timedelta(minutes=1)


@pytest_asyncio.fixture(loop_scope="session")
async def allocation(bank):
    """Allocation with its own keys and one member of staff."""
    served = await bank.serve(ALLOCATION, own_keys=True)
    staff = a_member_of_staff("s1", posts=["OPERATOR"])
    await put(served, a_branch(101), staff, an_operator("s1"))
    yield served
    await served.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def customer(bank, allocation):
    """Another service, which fetches allocation's keys."""
    served = await bank.serve(CUSTOMER, own_keys=True)
    yield served
    await served.stop()


async def a_token(allocation):
    """Sign in and return the token."""
    request = pb.SignInRequest(operator_no="op-s1", password=PASSWORD)
    return (await IdentityServiceStub(allocation.channel).SignIn(request)).token


def key_of(token):
    """Return the id of the key that signed *token*, as its header says."""
    return json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))["kid"]


async def keys(allocation):
    """Return the ids of the public keys as services fetch them, newest first."""
    listed = await IdentityServiceStub(allocation.channel).ListKeys(
        pb.ListKeysRequest()
    )
    return [one.key_id for one in listed.keys]


async def age(allocation, by):
    """Let *by* pass for every key."""
    await allocation.sql(
        "UPDATE signing_keys SET create_time = create_time - $1::interval", by
    )


async def look(*services):
    """Let services look for keys as they do every two seconds."""
    for served in services:
        await served.frame.keyring.refresh()


def forget_token(served):
    """Let a service fetch a token for itself again, as it does at half of its life."""
    for interceptor in served.frame.peers._interceptors:
        interceptor._token._renew_at = 0


async def taken(token, *services):
    """Say of each service whether it takes *token*: True, or the reason of its refusal."""
    answers = []
    for served in services:
        call = served.as_token(token)(ParameterServiceStub).ListParameters(
            parameter_pb2.ListParametersRequest()
        )
        try:
            await call
            answers.append(True)
        except Exception:  # noqa: BLE001 - read as a refusal right below
            answers.append((await refused(call))[1])
    return answers


async def test_a_running_process_makes_the_next_key_when_the_newest_is_a_day_old(
    allocation,
):
    """Nobody starts anything anew: the loop that fetches keys makes one, not a second before its time."""
    first = await keys(allocation)
    await age(allocation, rules.KEY_LIFE - MINUTE)
    await look(allocation)
    early = await keys(allocation)
    await age(allocation, MINUTE)
    for _ in range(100):
        if len(late := await keys(allocation)) > 1:
            break
        await asyncio.sleep(0.05)

    assert early == first
    assert late[1:] == first


async def test_many_processes_make_one_next_key(allocation):
    """However many look at the same moment, one key is made."""
    await age(allocation, rules.KEY_LIFE)
    sources = [
        ALLOCATION.keys(allocation.frame.uow, allocation.frame.vault) for _ in range(6)
    ]
    found = await asyncio.gather(*(source.fetch() for source in sources))
    rows = await allocation.sql("SELECT key_id FROM signing_keys")

    assert len(rows) == 2
    assert {row["key_id"] for row in rows} == set(found[0].keys)


async def test_a_fresh_key_is_known_everywhere_before_it_signs(allocation, customer):
    """For a minute the key before goes on signing, so that no service meets a key it has not fetched."""
    (first,) = await keys(allocation)
    await age(allocation, rules.KEY_LIFE)
    await look(allocation)
    fresh = (await keys(allocation))[0]
    just_made = await a_token(allocation)
    before_fetching = await taken(just_made, allocation, customer)
    await look(customer)
    await age(allocation, rules.KEY_LEAD)
    later = await a_token(allocation)

    assert (key_of(just_made), key_of(later)) == (first, fresh)
    assert before_fetching == [True, True]
    assert await taken(later, allocation, customer) == [True, True]


async def test_a_token_of_the_key_before_is_taken_until_it_ends(allocation, customer):
    """The last token that the old key signs, a minute after the new one was made, lives its five minutes."""
    (first,) = await keys(allocation)
    await age(allocation, rules.KEY_LIFE)
    await look(allocation)
    last = await a_token(allocation)
    # Its five minutes begin in the last second before the fresh key signs.
    await age(allocation, rules.KEY_LEAD + rules.TOKEN_LIFE)
    await look(allocation, customer)

    assert key_of(last) == first
    assert await taken(last, allocation, customer) == [True, True]


async def test_a_key_that_was_removed_signs_nothing_that_is_taken(allocation, customer):
    """Once the last token of a key has run out, the key is gone from every service, and with it any forged later."""
    (first,) = await keys(allocation)
    old = await a_token(allocation)
    await age(allocation, rules.KEY_LIFE)
    await look(allocation)
    await age(allocation, rules.KEY_KEPT)
    await look(allocation)
    forget_token(customer)
    await look(customer)
    fresh = await a_token(allocation)

    assert first not in await keys(allocation)
    assert await taken(old, allocation, customer) == ["TOKEN_INVALID"] * 2
    assert await taken(fresh, allocation, customer) == [True, True]


async def test_private_parts_of_keys_that_sign_no_more_are_forgotten(allocation):
    """Of three keys the two newest can sign, or could a moment ago; of the oldest only the public part is left."""
    for _ in range(2):
        await age(allocation, rules.KEY_LIFE)
        await look(allocation)
    rows = await allocation.sql(
        "SELECT length(sealed) AS left FROM signing_keys ORDER BY create_time"
    )

    assert rows[0]["left"] == 0
    assert all(row["left"] > 0 for row in rows[1:])
    assert len(rows) == 3


async def test_the_newest_key_is_known_however_long_nothing_was_alive(allocation):
    """A bank that stood still for a month starts with the old key, and changes it at once."""
    (first,) = await keys(allocation)
    await age(allocation, timedelta(days=30))
    known = await keys(allocation)
    await look(allocation)

    assert first in known
    assert (await keys(allocation))[1:] == [first]
