"""What the portal's process is told: addresses, folders of secrets and state, and whether this is the demonstration."""

import secrets
import stat
import sys
from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

SERVICES = ("customer", "allocation", "engagement", "messaging")

KEY_FILE = "portal-key"
"""The secret that seals sessions and signs what pages carry; one for all processes of a portal."""

KEY_LENGTH = 32


class PortalSettings(BaseSettings):
    """Settings of the portal; every name in the environment starts with ``GUANHU_``."""

    model_config = SettingsConfigDict(env_prefix="GUANHU_", extra="ignore")

    state: Path = Path(".state")
    secrets_dir: Path = Path(".state/secrets")
    demonstration: bool = False
    portal_address: str = Field(default="127.0.0.1:7000", pattern=r"^.+:\d{1,5}$")
    portal_processes: int = Field(default=0, ge=0, le=32)
    portal_threads: int = Field(default=8, ge=1, le=64)
    portal_proxies: int = Field(default=0, ge=0, le=4)
    portal_time_zone: str = "Asia/Shanghai"
    customer_address: str = "127.0.0.1:7001"
    allocation_address: str = "127.0.0.1:7002"
    engagement_address: str = "127.0.0.1:7003"
    messaging_address: str = "127.0.0.1:7004"
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_authority: Path | None = None

    def address(self, service: str) -> str:
        """Return where *service* listens, ``host:port`` or several separated by commas."""
        return str(getattr(self, f"{service}_address"))

    @property
    def processes(self) -> int:
        """Return how many worker processes serve; unless told, one in the demonstration and two elsewhere."""
        return self.portal_processes or (1 if self.demonstration else 2)

    @property
    def folder(self) -> Path:
        """Return the portal's own folder under the state; it is made when it is not there."""
        path = (self.state / "portal").absolute()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

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

    def key(self) -> bytes:
        """
        Return the portal's key, at least 32 bytes.

        The demonstration makes one when there is none; elsewhere its absence stops the start.
        """
        path = self.secrets_dir / KEY_FILE
        if self.demonstration and not path.exists():
            self.secrets_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = path.with_name(f"{KEY_FILE}.{secrets.token_hex(4)}")
            fresh.touch(mode=0o600)
            fresh.write_text(secrets.token_urlsafe(48))
            try:
                path.hardlink_to(fresh)  # of several processes the first one wins
            except FileExistsError:
                pass
            finally:
                fresh.unlink()
        key = self.secret(KEY_FILE).encode()
        if len(key) < KEY_LENGTH:
            raise ValueError(f"{KEY_FILE} must be at least {KEY_LENGTH} bytes long")
        return key


def read_settings() -> PortalSettings:
    """Return the settings, or stop with every fault on a line of its own."""
    try:
        return PortalSettings()
    except ValidationError as error:
        for fault in error.errors():
            name = "GUANHU_" + "_".join(str(part) for part in fault["loc"]).upper()
            sys.stderr.write(f"{name}: {fault['msg'].lower()}\n")
        raise SystemExit(2) from None
