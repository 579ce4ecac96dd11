"""
Serves the portal with gunicorn: worker processes with threads, each of which makes its own app and channels.

The master never loads the app, so it never touches gRPC, which does not survive a fork.
"""

import logging
import sys
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from admin.app import create_app
from admin.channels import Channels
from admin.settings import PortalSettings, read_settings


class Server(BaseApplication):  # type: ignore[misc]
    """Gunicorn, told by settings rather than by a command line."""

    def __init__(self, settings: PortalSettings) -> None:
        """Serve with *settings*."""
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        """Hand the settings to gunicorn."""
        told = self._settings
        options: dict[str, Any] = {
            "bind": told.portal_address,
            "workers": told.processes,
            "threads": told.portal_threads,
            "worker_class": "gthread",
            "preload_app": False,
            "control_socket_disable": True,
            "proc_name": "guanhu-portal",
            "timeout": 60,
            "graceful_timeout": 15,
            "keepalive": 5,
            "limit_request_line": 8190,
            "forwarded_allow_ips": "127.0.0.1",
            "errorlog": "-",
            "loglevel": "warning",
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Make the app, in a worker."""
        return create_app(Channels(self._settings), self._settings)


def main() -> None:
    """Read the settings, say where the portal is, and serve until told to stop."""
    logging.basicConfig(
        stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    settings = read_settings()
    settings.key()
    sys.stderr.write(f"portal: http://{settings.portal_address}/\n")
    Server(settings).run()


if __name__ == "__main__":
    main()
