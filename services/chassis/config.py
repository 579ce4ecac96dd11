"""
Settings from the environment and secret files, read once, in ``__main__``; all faults are told at once.

Every name starts with ``GUANHU_``; those of one service with ``GUANHU_<SERVICE>_``.
"""

import os
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator
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

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        given = [self.tls_certificate, self.tls_key, self.tls_authority]
        names = "GUANHU_TLS_CERTIFICATE, GUANHU_TLS_KEY and GUANHU_TLS_AUTHORITY"
        if any(given) and not all(given):
            raise ValueError(f"{names} come together or not at all")
        if not self.demonstration and not all(given):
            raise ValueError(f"outside the demonstration {names} must be set")
        return self

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


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one service's process."""

    service: str
    shared: Shared
    own: Own

    @property
    def address(self) -> str:
        """Return where this service listens."""
        return self.shared.address(self.service)


def read_settings(service: str) -> Settings:
    """Return the settings of *service*, or stop with every fault on a line of its own."""
    faults: list[str] = []
    found: list[Any] = []
    for kind, prefix in ((Shared, "GUANHU_"), (Own, f"GUANHU_{service.upper()}_")):
        try:
            found.append(kind(_env_prefix=prefix))  # type: ignore[call-arg]
        except ValidationError as error:
            faults += [told(prefix, fault) for fault in error.errors()]
    if faults:
        sys.stderr.write("\n".join(faults) + "\n")
        raise SystemExit(2)
    return Settings(service, *found)


def told(prefix: str, fault: Mapping[str, Any]) -> str:
    """Return one fault as a line: the setting's name in the environment, and what is wrong with it."""
    text = str(fault["msg"]).removeprefix("Value error, ")
    name = "_".join(map(str, fault["loc"])).upper()
    return f"{prefix}{name}: {text[0].lower()}{text[1:]}" if name else text


def folder_of_state() -> Path:
    """Return the one folder under which a local installation keeps all its state."""
    return Path(os.environ.get("GUANHU_STATE", ".state")).absolute()
