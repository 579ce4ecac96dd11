"""The demonstration's centre as a client sees it that is not ours: smpplib's."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
import smpplib.client
import smpplib.consts
import smpplib.exceptions

ROOT = Path(__file__).parents[2]
SENDER, CUSTOMER = "9559901", "8613800001000"


@pytest.fixture
def port(tmp_path):
    """A running centre."""
    (tmp_path / "smsc-password").write_text("trial")
    process = subprocess.Popen(
        [sys.executable, "deploy/smsc.py", "--print-port", "--delay=0", "--port=0"],
        cwd=ROOT,
        env={**os.environ, "GUANHU_SECRETS_DIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    yield int(process.stdout.readline())
    process.terminate()
    process.stdout.close()
    process.wait(10)


def a_client(port):
    """Return smpplib's client, told to bear what it does not know, as the specification wants."""
    return smpplib.client.Client("127.0.0.1", port, allow_unknown_opt_params=True)


def visit(port):
    """Bind, send, listen until the receipt is there, ask whether the centre is there, part; return what was heard."""
    heard, answers = [], []
    client = a_client(port)
    client.set_message_received_handler(lambda pdu, **_: heard.append(pdu) or 0)
    client.set_message_sent_handler(lambda pdu, **_: answers.append(pdu))
    client.connect()
    client.bind_transceiver(system_id="guanhu", password="trial")
    client.send_message(
        source_addr=SENDER,
        destination_addr=CUSTOMER,
        data_coding=smpplib.consts.SMPP_ENCODING_ISO10646,
        short_message="您好".encode("utf-16-be"),
        registered_delivery=True,
        user_message_reference=513,
    )
    while not (heard and answers):
        client.read_once()
    client.send_pdu(smpplib.smpp.make_pdu("enquire_link", client=client))
    asked = client.read_pdu()
    client.unbind()
    client.disconnect()
    return answers[0], heard[0], asked


async def test_a_client_that_is_not_ours_sends_and_hears(port):
    """Its message is answered with a number, and the receipt names that number and echoes the reference."""
    answer, receipt, asked = await asyncio.to_thread(visit, port)

    assert answer.message_id
    assert (receipt.source_addr, receipt.destination_addr) == (
        CUSTOMER.encode(),
        SENDER.encode(),
    )
    assert receipt.esm_class == 4
    assert receipt.receipted_message_id == answer.message_id
    assert receipt.user_message_reference == 513
    assert b"stat:DELIVRD" in receipt.short_message
    assert (asked.command, asked.status) == ("enquire_link_resp", 0)


async def test_a_client_that_is_not_ours_is_refused_by_its_password(port):
    """The refusal is the one that the specification has for it."""

    def knock():
        client = a_client(port)
        client.connect()
        try:
            client.bind_transceiver(system_id="guanhu", password="wrong")
        finally:
            client.disconnect()

    with pytest.raises(smpplib.exceptions.PDUError) as refused:
        await asyncio.to_thread(knock)

    assert refused.value.args[1] == smpplib.consts.SMPP_ESME_RINVPASWD
