"""
SMS centres on four SMPP libraries that are not ours, each a process of its own.

Every centre does the same by the ending of a customer's number: 0000 is not reached and 0001 expires; 0002 answers
in UCS-2, 0006 in the default alphabet, 0005 in two parts that come in the wrong order; 0003 is refused for speed, once.
It says what it does, one JSON object a line: listening, bind, enquire (it was asked), enquired (it was answered),
submit (with the elements of the user data header in hexadecimal), acked (a delivery was answered), unbind.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NODE = ROOT / ".make" / "node"
PASSWORD = "trial"


@dataclass(frozen=True)
class Library:
    """One SMPP library: how its centre is started, what it cannot do, and how its absence shows."""

    name: str
    command: tuple[str, ...]
    cannot: frozenset[str] = frozenset()
    prepare: object = None


def _node():
    """Return why there is no npm smpp, after an attempt to install it."""
    if not (shutil.which("node") and shutil.which("npm")):
        return "node or npm is not installed"
    NODE.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        if (NODE / name).exists() and (NODE / name).read_bytes() == (
            HERE / "node" / name
        ).read_bytes():
            continue
        shutil.copy(HERE / "node" / name, NODE / name)
        shutil.rmtree(NODE / "node_modules", ignore_errors=True)
    if not (NODE / "node_modules" / "smpp").exists():
        done = subprocess.run(
            ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
            cwd=NODE,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            return f"npm ci ended with {done.returncode}"
    return ""


def _perl():
    """Return why there is no Net::SMPP, after an attempt to install it where that is ours to do."""
    if not shutil.which("perl"):
        return "perl is not installed"

    def there():
        found = ["perl", "-MNet::SMPP", "-MJSON::PP", "-e", "1"]
        return not subprocess.run(found, capture_output=True, check=False).returncode

    if there():
        return ""
    if os.geteuid() or not shutil.which("apt-get"):
        return "Net::SMPP is not installed (Debian: libnet-smpp-perl)"
    wanted = ["apt-get", "install", "--yes", "--quiet", "libnet-smpp-perl"]
    subprocess.run(wanted, capture_output=True, check=False)
    return "" if there() else "libnet-smpp-perl could not be installed"


LIBRARIES = (
    Library("npm smpp", ("node", str(HERE / "node" / "centre.js")), prepare=_node),
    Library(
        "pypi smpp34",
        (sys.executable, str(HERE / "centre_smpp34.py")),
        frozenset({"enquired", "password", "kind", "until", "tls"}),
    ),
    Library("pypi smpplib", (sys.executable, str(HERE / "centre_smpplib.py"))),
    Library(
        "debian libnet-smpp-perl",
        ("perl", str(HERE / "perl" / "centre.pl")),
        frozenset({"tls"}),
        prepare=_perl,
    ),
)
"""
The libraries. smpp34 answers enquiries without telling, sends none, believes every password, tells of a bind only
whether it hears, and of a message not until when it may be delivered; it and Net::SMPP speak no TLS here.
"""


class Centre:
    """A centre on one library; it can be killed and started again on the same port."""

    def __init__(self, library, *tls):
        self.library, self.tls = library, tls
        self.port, self.events = 0, []

    def start(self):
        """Start it, and return once it listens."""
        self.process = subprocess.Popen(
            [*self.library.command, str(self.port), PASSWORD, *map(str, self.tls)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "NODE_PATH": str(NODE / "node_modules")},
        )
        first = self.process.stdout.readline()
        if not first:
            raise RuntimeError(f"the centre on {self.library.name} did not start")
        self.port = json.loads(first)["port"]
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        return self

    def _read(self):
        for line in self.process.stdout:
            self.events.append(json.loads(line))

    def kill(self):
        """End it without warning, and read what it said."""
        self.process.kill()
        self.process.wait(10)
        self.reader.join(10)
        self.process.stdout.close()

    def told(self, kind):
        """Return the events of one kind so far."""
        return [event for event in [*self.events] if event["event"] == kind]
