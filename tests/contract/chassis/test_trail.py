"""The trail as every service serves it: a chain is streamed whole, or from where a stream before broke."""

import pytest_asyncio
from guanhu.audit.v1 import audit_pb2 as pb
from guanhu.audit.v1.audit_pb2_grpc import AuditServiceStub
from guanhu.parameter.v1 import parameter_pb2
from guanhu.parameter.v1.parameter_pb2_grpc import ParameterServiceStub

from services.allocation.__main__ import SERVICE
from tests.builders import request_id
from tests.refusals import refused

RECORDS = 5


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def served(bank):
    """A service whose head office has a chain of five records."""
    running = await bank.serve(SERVICE)
    operator = running.as_("operator")(ParameterServiceStub)
    for _ in range(RECORDS):
        request = parameter_pb2.SetParameterRequest(
            name="parameters/capacity_policy",
            value_json='"FORBID"',
            request_id=request_id(),
        )
        await operator.SetParameter(request)
    yield running
    await running.stop()


async def sequences(served, **asked):
    """Return the sequences of the records that an auditor is streamed."""
    stream = served.as_("auditor")(AuditServiceStub).ExportChain(
        pb.ExportChainRequest(**asked)
    )
    return [record.sequence async for page in stream for record in page.records]


async def test_a_chain_is_streamed_after_the_sequence_asked_for(served):
    """Without a sequence it begins at the first record; after the last there is nothing."""
    assert await sequences(served) == [1, 2, 3, 4, 5]
    assert await sequences(served, after_sequence=3) == [4, 5]
    assert await sequences(served, after_sequence=RECORDS) == []


async def test_a_sequence_below_nothing_is_refused(served):
    """The contract's own rule names the field."""
    stream = served.as_("auditor")(AuditServiceStub).ExportChain(
        pb.ExportChainRequest(after_sequence=-1)
    )

    assert await refused(stream.read(), fields=True) == (
        "INVALID_ARGUMENT",
        "FIELD_INVALID",
        ["after_sequence"],
    )
