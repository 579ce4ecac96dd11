"""Channels: deadlines, repeats of reads, the pause after failures, and processes that fork."""

import os

import grpc
import pytest
from guanhu.identity.v1 import identity_pb2, identity_pb2_grpc
from guanhu.parameter.v1 import parameter_pb2, parameter_pb2_grpc

from admin.channels import (
    FAILURES,
    GET_SECONDS,
    LIST_SECONDS,
    PAUSE_SECONDS,
    WRITE_SECONDS,
    Pause,
    Paused,
    only_reads,
    seconds_for,
)

PARAMETERS = "/guanhu.parameter.v1.ParameterService"


@pytest.mark.parametrize(
    ("path", "reads", "seconds"),
    [
        (f"{PARAMETERS}/GetParameter", True, GET_SECONDS),
        (f"{PARAMETERS}/ListParameters", True, LIST_SECONDS),
        (f"{PARAMETERS}/SetParameter", False, WRITE_SECONDS),
        ("/guanhu.identity.v1.IdentityService/SignIn", False, WRITE_SECONDS),
        ("/nobody.Knows/This", False, WRITE_SECONDS),
    ],
)
def test_the_contract_tells_reads_from_writes(path, reads, seconds):
    """What leaves no audit record may be repeated and is given little time."""
    assert (only_reads(path), seconds_for(path)) == (reads, seconds)


def test_reads_alone_are_repeated(channels):
    """The channel's rules name every read known when it opens, and no write."""
    channel = channels.to("customer")
    channels.stub("customer", parameter_pb2_grpc.ParameterServiceStub)
    rules = dict(channel._options())["grpc.service_config"]

    assert "ListParameters" in rules
    assert "SetParameter" not in rules


def test_a_service_that_fails_is_left_alone_for_a_while():
    """After three failures in a row nobody asks for five seconds; then one call tries, and success ends the pause."""
    now = [100.0]
    pause = Pause(clock=lambda: now[0])
    for _ in range(FAILURES):
        pause.enter()
        pause.note(answered=False)
    with pytest.raises(Paused) as paused:
        pause.enter()
    now[0] += PAUSE_SECONDS
    pause.enter()
    with pytest.raises(Paused):
        pause.enter()
    pause.note(answered=True)
    pause.enter()

    assert paused.value.code() == grpc.StatusCode.UNAVAILABLE
    assert paused.value.details()


def test_a_refusal_is_an_answer(channels, trial):
    """A service that says no is alive: refusals do not lead to a pause."""
    stub = channels.stub("customer", parameter_pb2_grpc.ParameterServiceStub)
    for _ in range(FAILURES + 1):
        with pytest.raises(grpc.RpcError) as refused:
            stub.ListParameters(parameter_pb2.ListParametersRequest())

        assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED


def test_a_service_that_is_away_is_soon_not_asked(channels, trial):
    """The fourth call fails at once, without a try."""
    stub = channels.stub("messaging", identity_pb2_grpc.IdentityServiceStub)
    trial.stop()
    kinds = []
    for _ in range(FAILURES + 1):
        with pytest.raises(grpc.RpcError) as failed:
            stub.ListKeys(identity_pb2.ListKeysRequest())
        kinds.append(type(failed.value) is Paused)
    trial.start()

    assert kinds == [False] * FAILURES + [True]


def test_a_fork_before_the_first_call_is_safe(channels, trial):
    """A child process opens its own channel; the parent, which never called, stays without one."""
    stub = channels.stub("allocation", identity_pb2_grpc.IdentityServiceStub)
    before = channels.to("allocation").pid
    ours = channels.to("allocation")
    ours._pid = 1  # as if inherited from another process
    with pytest.raises(grpc.RpcError):
        stub.ListKeys(identity_pb2.ListKeysRequest())

    assert before == 0
    assert ours.pid == os.getpid()
