"""
Runs every check against every SMPP library that is here or can be brought: ``python -m tests.interop [library]``.

The last line is one JSON object: how many checks each library passed, which failed, which libraries are missing and
why. The status is 1 when a library that is here fails, or none is here.
"""

import asyncio
import json
import logging
import sys

import structlog

from tests.interop.centres import LIBRARIES, Centre
from tests.interop.checks import CHECKS, checks_of


def check(library, name):
    """Return what is wrong when *library* is put to one check; empty when nothing is."""
    centre = Centre(library).start()
    try:
        asyncio.run(CHECKS[name](centre))
    except Exception as fault:  # noqa: BLE001 - whatever it is, it is told and the next check runs
        return f"{type(fault).__name__}: {fault}".splitlines()[0]
    finally:
        centre.kill()
    return ""


def main(wanted):
    """Run what is *wanted*, everything when empty."""
    quiet = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=quiet)
    passed, failed, missing = {}, {}, {}
    for library in (one for one in LIBRARIES if wanted in one.name):
        if why := library.prepare() if library.prepare else "":
            missing[library.name] = why
            continue
        faults = {}
        for name in checks_of(library):
            fault = check(library, name)
            print(f"{library.name}: {name}: {fault or 'passed'}", file=sys.stderr)
            if fault:
                faults[name] = fault
        passed[library.name] = len(checks_of(library)) - len(faults)
        failed |= {library.name: faults} if faults else {}
    found = {"interop": "smpp", "passed": passed, "failed": failed, "missing": missing}
    print(json.dumps(found, ensure_ascii=False), flush=True)
    raise SystemExit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
