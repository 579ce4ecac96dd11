"""
Settings from the environment and secret files, read once, in ``__main__``; all faults are told at once.

Every name starts with ``GUANHU_``; those of one service with ``GUANHU_<SERVICE>_``.
"""

import os
import stat
import sys
from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

SERVICES = ("customer", "allocation", "engagement", "messaging")

PORTS = {"customer": 7001, "allocation": 7002, "engagement": 7003, "messaging": 7004}
"""Default ports of the services."""


class Shared(BaseSettings):
    """What every process of the system is told."""

    model_config = SettingsConfigDict(env_prefix="GUANHU_", extra="ignore")

    secrets_dir: Path = Path(".state/secrets")
    demonstration: bool = False
    log_json: bool | None = None
    otlp_endpoint: str = ""
    customer_address: str = f"127.0.0.1:{PORTS['customer']}"
    allocation_address: str = f"127.0.0.1:{PORTS['allocation']}"
    engagement_address: str = f"127.0.0.1:{PORTS['engagement']}"
    messaging_address: str = f"127.0.0.1:{PORTS['messaging']}"
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_authority: Path | None = None

    def address(self, service: str) -> str:
        """Return where *service* listens, ``host:port`` or several separated by commas."""
        return str(getattr(self, f"{service}_address"))

    @property
    def tls(self) -> bool:
        """Say whether certificates are configured."""
        return self.tls_certificate is not None

    def secret(self, name: str) -> str:
        """Return the text of one secret file; refuses one that others can read, unless this is the demonstration."""
        path = self.secrets_dir / name
        if not self.demonstration and path.stat().st_mode & (
            stat.S_IRWXG | stat.S_IRWXO
        ):
            raise PermissionError(
                f"the secret {name} can be read by others: set its mode to 0600"
            )
        return path.read_text().strip()


class Own(BaseSettings):
    """What one service is told about itself."""

    dsn: str = Field(min_length=1)
    bulk_dsn: str = Field(min_length=1)
    owner_dsn: str = ""
    processes: int = Field(default=1, ge=1, le=64)
    metrics_port: int = Field(default=0, ge=0, le=65535)
    concurrent_calls: int = Field(default=1000, ge=1)
    pool_size: int = Field(default=10, ge=2, le=200)
    drain_seconds: float = Field(default=10, ge=0)


class Settings:
    """The settings of one service's process."""

    def __init__(self, service: str) -> None:
        """Read the environment; raises ValidationError when it is not good."""
        self.service = service
        self.shared = Shared()
        self.own = Own(_env_prefix=f"GUANHU_{service.upper()}_")  # type: ignore[call-arg]

    @property
    def address(self) -> str:
        """Return where this service listens."""
        return self.shared.address(self.service)


def read_settings(service: str) -> Settings:
    """Return the settings of *service*, or stop with every fault on a line of its own."""
    try:
        return Settings(service)
    except ValidationError as error:
        prefix = f"GUANHU_{service.upper()}_"
        for fault in error.errors():
            name = prefix + "_".join(str(part) for part in fault["loc"]).upper()
            sys.stderr.write(f"{name}: {fault['msg'].lower()}\n")
        raise SystemExit(2) from None


def folder_of_state() -> Path:
    """Return the one folder under which a local installation keeps all its state."""
    return Path(os.environ.get("GUANHU_STATE", ".state")).absolute()
