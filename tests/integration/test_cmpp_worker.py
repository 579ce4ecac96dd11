"""A worker in a process of its own that sends a batch over CMPP, as the settings tell it."""

import asyncio
import json
import os
import sys
from collections import Counter
from pathlib import Path

import pytest
import pytest_asyncio
from guanhu.messaging.v1 import batch_pb2 as pb

from deploy.localpg import free_port
from tests import messages
from tests.cmpp_centre import CmppCentre
from tests.messages import a_group, approved, confirm, counts, get, plan, recipients

ROOT = Path(__file__).parents[2]
NUMBERS = [f"{number:02}" for number in range(1, 9)]
LONG = messages.BODY + "请携带本人有效身份证件和存单，于营业时间内前来办理。" * 5


@pytest_asyncio.fixture(loop_scope="session")
async def town(bank):
    """Eight customers of a teller."""
    running = await messages.with_tokens(bank, await messages.start(bank, NUMBERS))
    yield running
    await messages.stop(running)


def environment(town, centre, protocol, state):
    """Return the environment of a worker that sends through *centre*."""
    frame = town.messaging.frame
    secrets = frame.settings.shared.secrets_dir
    (secrets / "cmpp-secret").write_text("trial")
    gateway = {
        "name": "demo",
        "protocol": protocol,
        "address": f"127.0.0.1:{centre.port}",
        "system_id": "901234",
        "password_file": "cmpp-secret",
        "service_id": "MBANK",
        "source": "10690999",
        "window": 4,
    }
    told = {key: value for key, value in os.environ.items() if "GUANHU" not in key}
    return {
        **told,
        "PYTHONPATH": ".:protos",
        "GUANHU_STATE": str(state),
        "GUANHU_SECRETS_DIR": str(secrets),
        "GUANHU_DEMONSTRATION": "true",
        "GUANHU_MESSAGING_DRAIN_SECONDS": "0",
        "GUANHU_MESSAGING_DSN": frame.settings.own.dsn,
        "GUANHU_MESSAGING_BULK_DSN": frame.settings.own.bulk_dsn,
        "GUANHU_MESSAGING_GATEWAYS": json.dumps([gateway]),
        "GUANHU_ALLOCATION_ADDRESS": town.allocation.address,
        "GUANHU_CUSTOMER_ADDRESS": town.customer.address,
        "GUANHU_ENGAGEMENT_ADDRESS": f"127.0.0.1:{free_port()}",
    }


async def delivered(town, batch, centre):
    """Report each message that the centre takes, until the batch knows that all have arrived."""
    reported = 0
    async with asyncio.timeout(60):
        while (now := await get(town, batch)).delivered_count < len(NUMBERS):
            for one in centre.taken[reported:]:
                centre.report(one.number)
                reported += 1
            await asyncio.sleep(0.1)
    return now


@pytest.mark.parametrize("version", [2, 3])
async def test_a_batch_of_long_messages_goes_out_over_cmpp(town, tmp_path, version):
    """Each text arrives whole at its number, once; one receipt a message settles it, though each part has its own."""
    centre = await CmppCentre(version << 4).open()
    template = await approved(town, name="到期通知", body=LONG)
    batch = await confirm(
        town, await plan(town, template, await a_group(town, *NUMBERS))
    )
    with (tmp_path / "worker.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.messaging", "work"),
            cwd=ROOT,
            env=environment(town, centre, f"cmpp{version}", tmp_path / "state"),
            stdout=log,
            stderr=log,
        )
        try:
            done = await delivered(town, batch, centre)
        finally:
            process.terminate()
            await process.wait()
            await centre.close()
    people = (await recipients(town, batch)).recipients
    texts = Counter(one.text for one in centre.taken)

    assert {one.state for one in people} == {pb.RECIPIENT_STATE_DELIVERED}
    assert counts(done) == (0, 0, 0, len(NUMBERS), 0, 0, 0, 0)
    assert Counter(one.number for one in centre.taken) == Counter(
        messages.mobile_of(number) for number in NUMBERS
    )
    assert texts == {done.samples[0].text: len(NUMBERS)}
    assert {len(one.ids) for one in centre.taken} == {3}
    assert len(centre.acked) == 3 * len(NUMBERS)
    assert {one.source[:8] for one in centre.taken} == {"10690999"}
    assert {one["Service_Id"].rstrip(b"\0") for one in centre.submits} == {b"MBANK"}
    assert centre.most_frames <= 4
