"""
Runs one measurement by its name: ``python -m tests.measure bench ingest``.

The last line is one JSON object. What cannot run says why in it, and the status is not zero.
"""

import json
import runpy
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
KINDS = ("bench", "fault")


def known(kind):
    """Return the names of the measurements of this kind: modules that can be run."""
    return sorted(
        path.stem
        for path in (FOLDER / kind).glob("*.py")
        if 'if __name__ == "__main__"' in path.read_text() and path.stem != "served"
    )


def main(kind, name):
    """Run it; where it stops, say why as the last line."""
    names = known(kind)
    why = ""
    if name not in names:
        why = f"there is no {kind} {name!r}; there are: {', '.join(names)}"
    else:
        try:
            sys.argv[1:] = []
            runpy.run_module(f"tests.{kind}.{name}", run_name="__main__")
        except SystemExit as stopped:
            why = str(stopped.code or "")
        except Exception as error:  # noqa: BLE001 - whatever stops it is told
            why = f"{type(error).__name__}: {error}"
    if why:
        print(json.dumps({kind: name, "cannot_run": why}, ensure_ascii=False))
        raise SystemExit(2)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
