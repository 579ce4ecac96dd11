"""The keys of personal fields change by `guanhu keys rotate`: what was written before is read and found after."""

import json
import shutil
from datetime import date

import pytest
import pytest_asyncio
from guanhu.customer.v1 import customer_pb2 as pb
from guanhu.customer.v1.customer_pb2_grpc import CustomerServiceStub
from typer.testing import CliRunner

from admin import cli
from admin.commands.keys import KEYSETS
from services.chassis.vault import AEAD_FILE, INDEX_FILE, Vault, generate_keys
from services.customer.__main__ import SERVICE
from tests.bank import TrialBank
from tests.snapshots import a_customer_line, import_day

MOBILE = "13812340001"
PLACE = "customers.mobile|1"
COLUMN = "customers.mobile"


@pytest.fixture
def folder(tmp_path):
    """A folder of secrets with fresh keysets."""
    generate_keys(tmp_path)
    return tmp_path


def rotate(folder):
    """Run the command."""
    return CliRunner().invoke(cli.app, ["keys", "rotate", str(folder)])


def primaries(folder):
    """Return the primary key's id and the number of keys, by file."""
    told = {name: json.loads((folder / name).read_text()) for name in KEYSETS}
    return {name: (one["primaryKeyId"], len(one["key"])) for name, one in told.items()}


def test_what_was_sealed_before_is_opened_after(folder):
    """Two rotations on, the first value is still read, and what is sealed now cannot be read by the keys before."""
    first = Vault(folder)
    sealed = first.seal(MOBILE, PLACE)
    for _ in range(2):
        assert rotate(folder).exit_code == 0
    now = Vault(folder)

    assert now.open(sealed, PLACE) == MOBILE
    assert now.open(now.seal(MOBILE, PLACE), PLACE) == MOBILE
    with pytest.raises(Exception, match="ecrypt"):
        first.open(now.seal(MOBILE, PLACE), PLACE)


def test_a_search_looks_under_every_key(folder):
    """The index changes with its key, and the index of before is among those that a search asks for."""
    first = Vault(folder)
    whole, short = first.index(MOBILE, COLUMN), first.suffix(MOBILE, COLUMN)
    rotate(folder)
    now = Vault(folder)

    assert now.index(MOBILE, COLUMN) != whole
    assert {whole, now.index(MOBILE, COLUMN)} == set(now.indexes(MOBILE, COLUMN))
    assert {short, now.suffix(MOBILE, COLUMN)} == set(now.suffixes(MOBILE, COLUMN))


def test_the_command_names_the_new_primary_keys_and_what_is_to_be_done(folder):
    """For each file the primary key before and now, how many keys read, and that services must start anew."""
    before = primaries(folder)
    told = rotate(folder)
    after = primaries(folder)

    assert set(KEYSETS) == {AEAD_FILE, INDEX_FILE}
    for name in KEYSETS:
        assert after[name][0] != before[name][0]
        assert f"{name}: key {after[name][0]} is primary now" in told.stdout
        assert f"before it was {before[name][0]}. 2 keys read." in told.stdout
        assert (folder / name).stat().st_mode & 0o777 == 0o600
    assert "Start all services anew" in told.stdout
    assert not list(folder.glob("*.part"))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda file: file.unlink(), "cannot be read"),
        (lambda file: file.write_text("{}"), "does not hold a keyset"),
        (lambda file: file.write_text("key"), "does not hold a keyset"),
    ],
    ids=["missing", "empty", "no keyset"],
)
def test_a_folder_without_both_keysets_is_left_as_it_is(folder, spoil, said):
    """One sentence, status 2, and the keyset that is good is not changed."""
    spoil(folder / INDEX_FILE)
    before = (folder / AEAD_FILE).read_text()
    told = rotate(folder)

    assert told.exit_code == 2
    assert said in told.stderr
    assert (folder / AEAD_FILE).read_text() == before


@pytest_asyncio.fixture(loop_scope="session")
async def own_bank(cluster, tmp_path):
    """A bank with a folder of secrets of its own, whose keys may be changed."""
    secrets = tmp_path / "secrets"
    shutil.copytree(cluster.secrets, secrets)
    bank = TrialBank(cluster.postgres, secrets)
    bank._templates = cluster._templates
    return bank


async def test_a_service_started_anew_finds_and_reveals_what_it_stored_before(own_bank):
    """A mobile stored before is found whole and by its last four digits, and revealed; so is one stored after."""
    served = await own_bank.serve(SERVICE)
    await import_day(served, customers=[a_customer_line("1", mobile=MOBILE)])
    await served.stop()
    assert rotate(own_bank.secrets).exit_code == 0
    again = await own_bank.serve(SERVICE, database=served.database)
    newcomer = a_customer_line("2", mobile="13812340002")
    await import_day(again, day=date(2026, 11, 21), customers=[newcomer])
    auditor = again.as_("auditor")(CustomerServiceStub)
    manager = again.as_("manager")(CustomerServiceStub)

    async def found(query):
        answer = await auditor.SearchCustomers(pb.SearchCustomersRequest(query=query))
        return [one.name for one in answer.customers]

    async def revealed(name):
        request = pb.RevealCustomerFieldRequest(
            name=name, field=pb.REVEAL_FIELD_MOBILE, reason="the key was changed"
        )
        return (await manager.RevealCustomerField(request)).value

    assert await found(MOBILE) == ["customers/1"]
    assert await found("13812340002") == ["customers/2"]
    assert await found("0001") == ["customers/1"]
    assert await revealed("customers/1") == MOBILE
    assert await revealed("customers/2") == "13812340002"
    await again.stop()
