"""With certificates configured, services know each other by the identity inside, and nobody else is heard."""

import dataclasses

import grpc
import pytest
import pytest_asyncio
from guanhu.identity.v1 import identity_pb2 as pb
from guanhu.identity.v1.identity_pb2_grpc import IdentityServiceStub

from services.allocation.__main__ import SERVICE
from services.chassis import server
from services.chassis.client import ServiceToken
from services.chassis.config import Shared
from tests.certificates import Authority
from tests.refusals import refused

OWN = "spiffe://guanhu/{}"


def kept(folder, authority, pair):
    """Write key and certificate where settings look for them; return the settings."""
    names = ("key", "certificate", "authority")
    for name, content in zip(names, (*pair, authority.pem), strict=True):
        (folder / name).write_bytes(content)
    return {f"tls_{name}": folder / name for name in names}


@pytest.fixture(scope="module")
def authority():
    """The bank's own authority."""
    return Authority()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def address(bank, authority, tmp_path_factory):
    """The address of an allocation service that listens with a certificate only."""
    folder = tmp_path_factory.mktemp("allocation")
    told = kept(folder, authority, authority.issue(OWN.format("allocation")))
    settings = bank.settings("allocation", await bank.database("allocation"))
    shared = Shared(secrets_dir=bank.secrets, demonstration=True, **told)
    settings = dataclasses.replace(settings, shared=shared)
    frame = server.frame_of(SERVICE, settings, bank.clock)
    running = await server.start(SERVICE, frame)
    yield f"127.0.0.1:{running.port}"
    await running.stop(0)


async def asked(address, authority, pair=(None, None), service="messaging", secret=""):
    """Ask for the token of *service* with a certificate."""
    credentials = grpc.ssl_channel_credentials(authority.pem, *pair)
    async with grpc.aio.secure_channel(address, credentials) as channel:
        return await IdentityServiceStub(channel).IssueServiceToken(
            pb.IssueServiceTokenRequest(service=service, secret=secret), timeout=5
        )


async def test_a_service_gets_the_token_of_its_certificate(
    address, authority, tmp_path, bank
):
    """A certificate is enough, and no secret is sent; the process's own way of asking works."""
    pair = authority.issue(OWN.format("messaging"))
    found = await asked(address, authority, pair)
    told = kept(tmp_path, authority, pair)
    shared = Shared(
        secrets_dir=tmp_path, demonstration=False, allocation_address=address, **told
    )
    own = await ServiceToken(shared, "messaging").value()

    assert found.token.count(".") == own.count(".") == 2


@pytest.mark.parametrize(
    "identity",
    [
        OWN.format("customer"),
        "spiffe://elsewhere/messaging",
        "spiffe://guanhu/messaging/more",
        "https://guanhu/messaging",
    ],
)
async def test_another_identity_gets_no_token_of_messaging(
    address, authority, identity, bank
):
    """Neither another service nor another trust domain, and the start-up secret does not help."""
    secret = (bank.secrets / "start-up-secret").read_text()
    pair = authority.issue(identity)
    answer = await refused(asked(address, authority, pair, secret=secret))

    assert answer == ("UNAUTHENTICATED", "SIGN_IN_REFUSED")


async def unheard(call):
    """Await *call*, which must not even reach the service; return its code."""
    with pytest.raises(grpc.RpcError) as error:
        await call
    return error.value.code()


async def test_without_a_good_certificate_nobody_is_heard(address, authority):
    """None, one that ended, one that has not begun, and one of a foreign authority end at the door."""
    identity = OWN.format("messaging")
    pairs = [
        (None, None),
        authority.issue(identity, first=-3, last=-1),
        authority.issue(identity, first=1, last=2),
        Authority("another").issue(identity),
    ]
    codes = {await unheard(asked(address, authority, pair)) for pair in pairs}

    assert codes == {grpc.StatusCode.UNAVAILABLE}


async def test_in_the_clear_nobody_is_heard(address):
    """A caller without encryption gets no answer at all."""
    async with grpc.aio.insecure_channel(address) as channel:
        call = IdentityServiceStub(channel).ListKeys(pb.ListKeysRequest(), timeout=5)
        code = await unheard(call)

    assert code == grpc.StatusCode.UNAVAILABLE


async def test_a_server_of_a_foreign_authority_is_not_spoken_to(address, authority):
    """Callers check too: a secret never goes to whoever happens to listen."""
    pair = authority.issue(OWN.format("messaging"))
    code = await unheard(asked(address, Authority("another"), pair))

    assert code == grpc.StatusCode.UNAVAILABLE
