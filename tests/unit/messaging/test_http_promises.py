"""Both dialects keep every promise of the package, with one message a call and with many."""

import pytest_asyncio

from tests.aggregator import AliyunCentre, TencentCentre
from tests.http_rig import HttpRig
from tests.unit.messaging.promises import Reports, Sends, Waits


async def _rig(kind, *, references):
    return HttpRig(await kind().start(), references=references)


class TestAliyun(Sends, Waits, Reports):
    """One SendSms a message."""

    @pytest_asyncio.fixture
    async def rig(self):
        """An aggregator of Alibaba Cloud's shape."""
        made = await _rig(AliyunCentre, references=True)
        yield made
        await made.close()


class TestAliyunTogether(Sends, Waits, Reports):
    """Many messages a SendBatchSms."""

    @pytest_asyncio.fixture
    async def rig(self):
        """An aggregator of Alibaba Cloud's shape."""
        made = await _rig(AliyunCentre, references=False)
        yield made
        await made.close()


class TestTencent(Sends, Waits, Reports):
    """One SendSms a message."""

    @pytest_asyncio.fixture
    async def rig(self):
        """An aggregator of Tencent Cloud's shape."""
        made = await _rig(TencentCentre, references=True)
        yield made
        await made.close()


class TestTencentTogether(Sends, Waits, Reports):
    """Equal texts in one SendSms."""

    @pytest_asyncio.fixture
    async def rig(self):
        """An aggregator of Tencent Cloud's shape."""
        made = await _rig(TencentCentre, references=False)
        yield made
        await made.close()
