"""Our SMPP client against centres on other libraries that pip brings; ``make interop`` runs the others too."""

import pytest

from tests.interop.centres import LIBRARIES, Centre
from tests.interop.checks import CHECKS, checks_of

PAIRS = [
    pytest.param(library, check, id=f"{library.name}-{check}".replace(" ", "-"))
    for library in LIBRARIES
    if library.name.startswith("pypi")
    for check in checks_of(library)
]


@pytest.mark.parametrize(("library", "check"), PAIRS)
async def test_a_centre_on_another_library_and_our_client_agree(library, check):
    """What the check's own sentence says holds with this library at the other end."""
    centre = Centre(library).start()
    try:
        await CHECKS[check](centre)
    finally:
        centre.kill()
