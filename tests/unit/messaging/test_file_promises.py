"""The file driver keeps every promise of the package that concerns it."""

import pytest_asyncio

from tests.file_rig import FileRig
from tests.unit.messaging.promises import Reports, Sends


class TestFile(Sends, Reports):
    """A folder of files."""

    @pytest_asyncio.fixture
    async def rig(self, tmp_path):
        """A folder that its owner alone can open."""
        tmp_path.chmod(0o700)
        made = FileRig(tmp_path)
        yield made
        await made.close()
