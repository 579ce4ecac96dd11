"""What every call passes, tried on the parameters that every service serves."""

import asyncio
import json
import time

import grpc
import pytest
import pytest_asyncio
from guanhu.audit.v1 import audit_pb2
from guanhu.audit.v1.audit_pb2_grpc import AuditServiceStub
from guanhu.events.v1 import events_pb2
from guanhu.events.v1.events_pb2_grpc import FeedServiceStub
from guanhu.parameter.v1 import parameter_pb2 as pb
from guanhu.parameter.v1.parameter_pb2_grpc import ParameterServiceStub
from joserfc import jwt
from joserfc.jwk import OctKey, OKPKey, RSAKey

from services.allocation.__main__ import SERVICE
from services.chassis.parameter import ParameterServicer
from services.chassis.policy import PolicyMissing, policies
from tests.builders import request_id
from tests.refusals import read, refused

CAPACITY = "parameters/capacity_policy"
SET_PARAMETER = "/guanhu.parameter.v1.ParameterService/SetParameter"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def served(bank):
    """A service with the test's keys."""
    running = await bank.serve(SERVICE)
    yield running
    await running.stop()


def setting(value='"FORBID"', **more):
    """Return a valid request to set a parameter."""
    return pb.SetParameterRequest(
        **{"name": CAPACITY, "value_json": value, "request_id": request_id(), **more}
    )


async def test_without_a_token_every_method_is_refused(served):
    """No RPC but those open to anyone answers a caller who shows no token."""
    for path, access in policies(served_names()).items():
        if access.anyone or "ExportChain" in path or "FollowHeads" in path:
            continue
        call = served.channel.unary_unary(path)

        assert await refused(call(b"", timeout=5)) == (
            "UNAUTHENTICATED",
            "TOKEN_INVALID",
        )


def served_names():
    """Return the services that every service serves."""
    return [
        "guanhu.parameter.v1.ParameterService",
        "guanhu.audit.v1.AuditService",
        "guanhu.events.v1.FeedService",
    ]


def forged(keys):
    """Return tokens that must not be taken, by what is wrong with each."""
    now = time.time()
    good = {
        "sub": "staff/x",
        "roles": [12],
        "scope": 4,
        "branch": 0,
        "roots": [],
        "iat": now,
        "exp": now + 60,
    }
    good["iss"] = "guanhu"
    header = {"alg": "Ed25519", "kid": keys.kid}
    stranger = OKPKey.generate_key("Ed25519")

    def made(header=header, key=keys.key, algorithms=("Ed25519",), **claims):
        return jwt.encode(header, {**good, **claims}, key, algorithms=list(algorithms))

    whole = made()
    head, body, mark = whole.split(".")
    public = json.dumps(keys.key.as_dict(private=False))
    return {
        "another key": made(key=stranger),
        "an unknown key id": made(header={**header, "kid": "other"}),
        "no key id": made(header={"alg": "Ed25519"}),
        "a key id that is a path": made(header={**header, "kid": "../../etc/passwd"}),
        "no signature": f"{head}.{body}.",
        "a changed body": f"{head}.{body[:-2]}AA.{mark}",
        "algorithm none": "eyJhbGciOiJub25lIn0." + body + ".",
        "the public key as a secret": made(
            {"alg": "HS256", "kid": keys.kid}, OctKey.import_key(public), ("HS256",)
        ),
        "another algorithm": made(
            {"alg": "RS256", "kid": keys.kid}, RSAKey.generate_key(2048), ("RS256",)
        ),
        "expired": made(exp=now - 1),
        "issued in the future": made(iat=now + 3600, exp=now + 7200),
        "another issuer": made(iss="other"),
        "no roles": made(roles=None),
        "roles that are words": made(roles=["OPERATOR"]),
        "no subject": jwt.encode(
            header,
            {k: v for k, v in good.items() if k != "sub"},
            keys.key,
            algorithms=["Ed25519"],
        ),
        "not a token": "abc",
        "a huge token": whole + "A" * 5000,
    }


async def test_forged_tokens_all_read_the_same(served):
    """Each of seventeen bad tokens is UNAUTHENTICATED with one and the same message."""
    seen = set()
    for what, token in forged(served.keys).items():
        with pytest.raises(grpc.RpcError) as caught:
            await served.as_token(token)(ParameterServiceStub).ListParameters(
                pb.ListParametersRequest()
            )
        seen.add((caught.value.code(), caught.value.details(), read(caught.value)))
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED, what

    assert len(seen) == 1


async def test_a_revoked_session_is_refused_at_the_next_refresh(served):
    """A token taken a moment ago is refused once its session is among the revocations."""
    token = served.keys.token(
        "staff/leaver", ("OPERATOR",), scope="BANK", sid="sessions/leaving"
    )
    stub = served.as_token(token)(ParameterServiceStub)
    await stub.ListParameters(pb.ListParametersRequest())
    served.keys.revocations["sessions/leaving"] = time.time() + 0.01
    await served.frame.keyring.refresh()

    assert await refused(stub.ListParameters(pb.ListParametersRequest())) == (
        "UNAUTHENTICATED",
        "TOKEN_INVALID",
    )


async def test_a_post_without_the_right_is_refused_and_audited(served):
    """A customer manager cannot set parameters; the refused try is in the trail of the manager's branch."""
    stub = served.as_("keeper")(ParameterServiceStub)

    assert await refused(stub.SetParameter(setting())) == (
        "PERMISSION_DENIED",
        "ROLE_MISSING",
    )
    rows = await served.sql("SELECT * FROM audit_records WHERE actor = 'staff/keeper'")
    assert [(row["branch_id"], row["decision"]) for row in rows] == [
        (101, "ROLE_MISSING")
    ]


async def test_malformed_bytes_are_an_invalid_argument(served):
    """Bytes that are no message get INVALID_ARGUMENT with a reason, not gRPC's own UNKNOWN."""
    token = served.keys.token("staff/operator", ("OPERATOR",), scope="BANK")
    call = served.channel.unary_unary(SET_PARAMETER)
    for raw in (b"\x0a\xff", b"\x0a\x01\xff", b"\xff" * 50, b"\x0a\x01a\x0a"):
        answer = await refused(
            call(raw, metadata=(("authorization", f"Bearer {token}"),), timeout=5)
        )

        assert answer[0] == "INVALID_ARGUMENT"
        assert answer[1] in ("MALFORMED_REQUEST", "FIELD_INVALID")


async def test_a_message_that_breaks_the_contract_names_its_fields(served):
    """Field rules are enforced from the contract, and every faulty field is named."""
    stub = served.as_("operator")(ParameterServiceStub)
    wrong = setting(value="", branch_id=-1, request_id="no uuid")

    assert await refused(stub.SetParameter(wrong), fields=True) == (
        "INVALID_ARGUMENT",
        "FIELD_INVALID",
        ["branch_id", "request_id", "value_json"],
    )


async def test_a_value_of_the_wrong_type_is_refused(served):
    """A parameter takes only what it is declared to take; an unknown one is not found."""
    stub = served.as_("operator")(ParameterServiceStub)

    assert await refused(stub.SetParameter(setting("17"))) == (
        "INVALID_ARGUMENT",
        "PARAMETER_INVALID",
    )
    assert await refused(stub.SetParameter(setting("{"))) == (
        "INVALID_ARGUMENT",
        "PARAMETER_INVALID",
    )
    assert await refused(stub.SetParameter(setting(name="parameters/none"))) == (
        "NOT_FOUND",
        "NOT_FOUND",
    )
    assert await refused(stub.SetParameter(setting(name="none"))) == (
        "INVALID_ARGUMENT",
        "NAME_MALFORMED",
    )


async def test_a_branchs_row_overrides_the_banks_from_its_day_on(served):
    """The default holds until a row does; a branch's row overrides; days before keep what was in force."""
    stub = served.as_("operator")(ParameterServiceStub)

    async def value(branch_id=0, day=None):
        request = pb.GetParameterRequest(name=CAPACITY, branch_id=branch_id, date=day)
        return json.loads((await stub.GetParameter(request)).value_json)

    assert await value() == "WARN"
    await stub.SetParameter(setting('"FORBID"', branch_id=102))
    await stub.SetParameter(
        setting('"LATER"', effective_date={"year": 2999, "month": 1, "day": 1})
    )
    assert [await value(), await value(101), await value(102)] == [
        "WARN",
        "WARN",
        "FORBID",
    ]
    assert await value(101, {"year": 2999, "month": 1, "day": 2}) == "LATER"
    assert await value(102, {"year": 2000, "month": 1, "day": 1}) == "WARN"


async def test_the_same_request_id_is_done_once_and_answered_alike(served):
    """Thirty-two calls at once with one request_id leave one audit record and get one answer."""
    stub = served.as_("operator")(ParameterServiceStub)
    request = setting('"ONCE"', branch_id=200)
    answers = await asyncio.gather(*(stub.SetParameter(request) for _ in range(32)))
    rows = await served.sql("SELECT 1 FROM audit_records WHERE detail LIKE '%ONCE%'")

    assert len({answer.SerializeToString() for answer in answers}) == 1
    assert len(rows) == 1


async def test_a_request_id_with_another_request_is_refused(served):
    """An id that was used for one request cannot be used for another, and the first effect stays."""
    stub = served.as_("operator")(ParameterServiceStub)
    first = setting('"FIRST"', branch_id=100)
    await stub.SetParameter(first)
    second = setting('"SECOND"', branch_id=100, request_id=first.request_id)

    assert await refused(stub.SetParameter(second)) == (
        "INVALID_ARGUMENT",
        "REQUEST_ID_REUSED",
    )
    found = await stub.GetParameter(
        pb.GetParameterRequest(name=CAPACITY, branch_id=100)
    )
    assert found.value_json == '"FIRST"'


async def test_a_refused_request_can_be_mended_under_the_same_id(served):
    """A request that was refused is not stored: the same id may carry the mended request."""
    stub = served.as_("operator")(ParameterServiceStub)
    wrong = setting("17", branch_id=101)
    await refused(stub.SetParameter(wrong))
    mended = await stub.SetParameter(
        setting('"MENDED"', branch_id=101, request_id=wrong.request_id)
    )

    assert mended.value_json == '"MENDED"'


async def test_effect_answer_and_audit_hold_together(served, monkeypatch):
    """When the audit record cannot be written, nothing is: neither the effect nor the answer."""
    stub = served.as_("operator")(ParameterServiceStub)
    await served.sql(
        "CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'stop 13800138000'; END $$"
    )
    await served.sql(
        "CREATE TRIGGER stop BEFORE INSERT ON audit_records FOR EACH ROW EXECUTE FUNCTION stop()"
    )
    request = setting('"LOST"', branch_id=102)
    with pytest.raises(grpc.RpcError) as caught:
        await stub.SetParameter(request)
    await served.sql("DROP TRIGGER stop ON audit_records")
    rows = await served.sql("SELECT 1 FROM parameters WHERE value = '\"LOST\"'")
    answers = await served.sql(
        "SELECT 1 FROM requests WHERE request_id = $1::text::uuid", request.request_id
    )

    assert (caught.value.code(), caught.value.details()) == (
        grpc.StatusCode.INTERNAL,
        "internal error",
    )
    assert "13800138000" not in str(caught.value)
    assert (rows, answers) == ([], [])
    assert (await stub.SetParameter(request)).value_json == '"LOST"'


async def test_no_text_of_an_exception_leaves_the_server(served, monkeypatch):
    """A bug in a servicer answers INTERNAL with a fixed text."""

    def broken(self, name):
        raise ValueError("mobile 13800138000 of somebody")

    monkeypatch.setattr(ParameterServicer, "_declared", broken)
    stub = served.as_("operator")(ParameterServiceStub)
    with pytest.raises(grpc.RpcError) as caught:
        await stub.GetParameter(pb.GetParameterRequest(name=CAPACITY))

    assert read(caught.value) == ("INTERNAL", "INTERNAL")
    assert caught.value.details() == "internal error"
    assert "13800138000" not in str(caught.value)


async def test_a_server_with_an_unannotated_method_does_not_start():
    """A service of another kind, without policy options, is refused with the names of its methods."""
    with pytest.raises(PolicyMissing, match="Health/Check has no complete"):
        policies(["grpc.health.v1.Health"])


async def test_health_needs_no_token_and_reflection_does(served):
    """Balancers may ask for health; the list of services is for those who are known."""
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    health = await health_pb2_grpc.HealthStub(served.channel).Check(
        health_pb2.HealthCheckRequest()
    )
    stub = reflection_pb2_grpc.ServerReflectionStub(served.channel)

    async def names(metadata):
        call = stub.ServerReflectionInfo(metadata=metadata)
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        await call.done_writing()
        return [
            service.name
            async for answer in call
            for service in answer.list_services_response.service
        ]

    assert health.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as caught:
        await names(())
    assert read(caught.value) == ("UNAUTHENTICATED", "TOKEN_INVALID")
    token = served.keys.token("staff/operator", ("OPERATOR",), scope="BANK")
    found = await names((("authorization", f"Bearer {token}"),))
    assert "guanhu.identity.v1.IdentityService" in found


async def test_a_token_page_belongs_to_its_list_and_caller(served):
    """A page token leads on; of another caller, another filter, or changed, it is refused."""
    operator = served.as_("operator")(ParameterServiceStub)
    for _ in range(4):
        await operator.SetParameter(setting(branch_id=102))
    stub = served.as_("auditor")(AuditServiceStub)
    first = await stub.ListRecords(audit_pb2.ListRecordsRequest(page_size=2))
    second = await stub.ListRecords(
        audit_pb2.ListRecordsRequest(page_size=2, page_token=first.next_page_token)
    )
    seen = [(one.branch_id, one.sequence) for one in (*first.records, *second.records)]
    everything = await served.sql(
        "SELECT branch_id, sequence FROM audit_records ORDER BY create_time DESC, branch_id DESC, sequence DESC LIMIT 4"
    )

    assert seen == [tuple(row) for row in everything]
    for token, actor in (
        (first.next_page_token, "staff/x"),
        (first.next_page_token[:-4] + "AAAA", ""),
        ("AAAA", ""),
    ):
        request = audit_pb2.ListRecordsRequest(
            page_size=2, page_token=token, actor=actor
        )
        assert await refused(stub.ListRecords(request)) == (
            "INVALID_ARGUMENT",
            "PAGE_TOKEN_INVALID",
        )
    other = served.as_("manager")(AuditServiceStub)
    request = audit_pb2.ListRecordsRequest(
        page_size=2, page_token=first.next_page_token
    )
    assert await refused(other.ListRecords(request)) == (
        "INVALID_ARGUMENT",
        "PAGE_TOKEN_INVALID",
    )


async def test_a_branch_manager_sees_the_trail_of_the_own_branches_only(served):
    """Row-level security narrows the trail without any filter in the query."""
    await refused(
        served.as_("far_manager")(ParameterServiceStub).SetParameter(setting())
    )
    await refused(served.as_("keeper")(ParameterServiceStub).SetParameter(setting()))

    async def branches(who):
        answer = await served.as_(who)(AuditServiceStub).ListRecords(
            audit_pb2.ListRecordsRequest(page_size=500)
        )
        return {record.branch_id for record in answer.records}

    assert await branches("far_manager") == {200}
    assert await branches("manager") == {101}
    assert {101, 200} <= await branches("auditor")


async def test_the_service_role_cannot_rewrite_the_trail(served):
    """The service's own role may append audit records and events, and neither change nor delete them."""
    import asyncpg

    connection = await asyncpg.connect(served.frame.settings.own.dsn)
    await connection.execute("BEGIN; SET LOCAL app.branch_ids = '{-1}'")
    await connection.execute("SAVEPOINT here")
    for statement in (
        "UPDATE audit_records SET decision = 'x'",
        "DELETE FROM audit_records",
        "DELETE FROM outbox",
        "TRUNCATE audit_records",
        "DELETE FROM requests",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
        await connection.execute("ROLLBACK TO here")
    await connection.close()


async def test_without_branches_nothing_is_seen_and_nothing_can_be_written(served):
    """A transaction that names no branches sees no row, and a row of a foreign branch is refused."""
    import asyncpg

    connection = await asyncpg.connect(served.frame.settings.own.dsn)
    seen = await connection.fetchval("SELECT count(*) FROM audit_records")
    await connection.execute("BEGIN; SET LOCAL app.branch_ids = '{101}'")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("INSERT INTO outbox_heads VALUES (102, 1)")
    await connection.close()
    real = await served.sql("SELECT count(*) FROM audit_records")

    assert seen == 0
    assert real[0][0] > 0


async def test_followers_only_are_given_events(served):
    """A member of staff is not allowed to follow feeds; a service is."""
    stub = served.as_("manager")(FeedServiceStub)

    assert await refused(stub.ListHeads(events_pb2.ListHeadsRequest())) == (
        "PERMISSION_DENIED",
        "ROLE_MISSING",
    )
    heads = await served.as_("services/customer")(FeedServiceStub).ListHeads(
        events_pb2.ListHeadsRequest()
    )
    assert list(heads.heads) == []


async def test_a_services_call_for_a_person_is_audited_under_both_names(served):
    """The trail names the member of staff as actor and the service as agent; staff cannot claim to be another."""
    token = served.keys.token(
        "accounts/odd", ("SERVICE", "OPERATOR"), scope="BANK", branch=0
    )
    call = served.channel.unary_unary(SET_PARAMETER)
    sent = (("authorization", f"Bearer {token}"), ("guanhu-actor", "staff/asked"))
    await call(setting('"ASKED"').SerializeToString(), metadata=sent, timeout=5)
    operator = served.keys.token(
        "staff/operator", ("OPERATOR",), scope="BANK", branch=0
    )
    sent = (("authorization", f"Bearer {operator}"), ("guanhu-actor", "staff/other"))
    await call(setting('"OWN"').SerializeToString(), metadata=sent, timeout=5)
    rows = await served.sql(
        "SELECT actor, agent, detail FROM audit_records ORDER BY create_time DESC LIMIT 2"
    )

    assert [(row["actor"], row["agent"]) for row in rows] == [
        ("staff/operator", ""),
        ("staff/asked", "accounts/odd"),
    ]


async def test_too_little_time_is_refused_at_once(served):
    """A call whose deadline is nearly over is not begun."""
    stub = served.as_("operator")(ParameterServiceStub)
    with pytest.raises(grpc.RpcError) as caught:
        await stub.ListParameters(pb.ListParametersRequest(), timeout=0.005)

    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_store_that_is_away_is_unavailable(bank):
    """When the database is gone, calls answer UNAVAILABLE with a reason and health says NOT_SERVING."""
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    served = await bank.serve(SERVICE)
    stub = served.as_("operator")(ParameterServiceStub)
    await served.sql("SELECT 1")
    import asyncpg

    connection = await asyncpg.connect(bank.postgres.dsn())
    await connection.execute(
        f"ALTER DATABASE {served.database} ALLOW_CONNECTIONS false"
    )
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1".replace(
            "$1", f"'{served.database}'"
        )
    )
    codes = set()
    for _ in range(4):
        with pytest.raises(grpc.RpcError) as caught:
            await stub.ListParameters(pb.ListParametersRequest(), timeout=5)
        codes.add(caught.value.code())
    health = health_pb2_grpc.HealthStub(served.channel)
    for _ in range(60):
        status = (await health.Check(health_pb2.HealthCheckRequest())).status
        if status == health_pb2.HealthCheckResponse.NOT_SERVING:
            break
        await asyncio.sleep(0.1)
    await connection.close()
    await served.stop()

    assert codes == {grpc.StatusCode.UNAVAILABLE}
    assert status == health_pb2.HealthCheckResponse.NOT_SERVING
