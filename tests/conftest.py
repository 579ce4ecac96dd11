"""Fixtures of all tests: one PostgreSQL per test process, one bank per module."""

import os
import tempfile
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings

from deploy.localpg import LocalPostgres
from services.chassis.vault import generate_keys
from tests.bank import TrialBank

settings.register_profile(
    "house",
    deadline=None,  # no test is timed: a busy machine is no fault
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
    print_blob=True,
)
settings.load_profile("house")


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL out of the wheel, without the care for power cuts that tests do not need."""
    with tempfile.TemporaryDirectory(prefix="guanhu-") as folder:
        Path(folder).chmod(0o755)
        server = LocalPostgres(Path(folder) / "server", durable=False).start()
        yield server
        server.stop()


@pytest.fixture(scope="session")
def secrets_dir(tmp_path_factory):
    """A folder of secrets as the demonstration makes it."""
    folder = tmp_path_factory.mktemp("secrets")
    generate_keys(folder)
    (folder / "start-up-secret").write_text("trial-start-up-secret")
    return folder


@pytest.fixture(scope="session")
def cluster(postgres, secrets_dir):
    """The migrated templates, shared by all modules of a test process."""
    return TrialBank(postgres, secrets_dir)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def bank(cluster):
    """The bank of one module: fresh databases, its own keys."""
    fresh = TrialBank(cluster.postgres, cluster.secrets)
    fresh._templates = cluster._templates
    return fresh
