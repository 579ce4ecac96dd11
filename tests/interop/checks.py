"""What our SMPP client must do with every centre, whoever wrote its library; see ``centres`` for what these do."""

import asyncio
import ssl
import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from services.messaging.gateways import GatewayEnded
from services.messaging.gateways.smpp_pair import SmppPair
from services.messaging.gateways.stream_session import Timers
from services.messaging.gateways.tls import encrypted
from tests.drivers import driver
from tests.interop.centres import PASSWORD, Centre
from tests.listening import message, until

NUMBER = "8613800{:02}{}"


def to(ending, text="您的理财产品明日到期。", token=1, **more):
    """Return a message to a number with this ending."""
    return message(token, text, dest=NUMBER.format(token, ending), **more)


async def hand_over(centre, *messages, receipts=True, **settings):
    """Send *messages* through a driver of its own, part politely, and return its core and what the centre took."""
    core = driver(centre.port, password=PASSWORD, **settings)
    await core.hand_over(*messages)
    await until(lambda: core.told.total() == len(messages))
    if receipts:
        await until(lambda: len(core.receipts) == len(messages))
    await core.gateway.stop(1)
    return core, centre.told("submit")


async def a_text_in_ucs2_arrives(centre):
    """A transceiver binds, sends Chinese with an emoji, and parts by an unbind that the centre sees."""
    one = to("1000", "尊敬的客户😀，您好")
    core, [taken] = await hand_over(centre, one)
    await until(lambda: centre.told("unbind"))
    [bound] = centre.told("bind")

    assert core.verdicts == {"accepted": 1}
    assert (taken["number"], taken["source"]) == (one.dest, one.source)
    assert (taken["text"], taken["way"], taken["udh"]) == (one.text, "short", "")
    assert (taken["reference"], taken["receipt"]) == (1, True)
    assert core.results[0].gateway_id == taken["id"]
    if "kind" not in centre.library.cannot:
        assert bound["kind"] == "transceiver"


async def a_text_in_the_default_alphabet_arrives(centre):
    """Every letter of the alphabet, and those behind the escape."""
    text = "@£$¥èéùìòÇØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ {[€]}~|^\\ Hello ÄÖÑÜ§¿äöñüà"
    _, [taken] = await hand_over(centre, to("1000", text, encoding="gsm7"))

    assert (taken["text"], taken["udh"]) == (text, "")


async def _long(centre, text, encoding, kind):
    one = to("1000", text, encoding=encoding)
    core, taken = await hand_over(centre, one, long_messages=kind)
    [result], [receipt] = core.results, core.receipts
    taken.sort(key=lambda part: part["udh"])  # some take several at once
    await until(lambda: len(centre.told("acked")) == 1)

    assert "".join(part["text"] for part in taken) == text
    assert result.verdict == "accepted"
    assert receipt.gateway_id == result.gateway_id == taken[-1]["id"]
    return taken


async def a_long_text_in_parts_arrives_with_an_emoji_at_the_edge(centre):
    """66 characters and an emoji: the pair moves on whole, every part says which one it is, one receipt comes."""
    text = "银" * 66 + "😀" + "行" * 150
    taken = await _long(centre, text, "ucs2", "parts")
    heads = [bytes.fromhex(part["udh"]) for part in taken]

    assert [part["text"] for part in taken][:2] == ["银" * 66, "😀" + "行" * 65]
    assert [(*head[:2], *head[3:]) for head in heads] == [
        (0, 3, 4, number) for number in (1, 2, 3, 4)
    ]
    assert len({head[2] for head in heads}) == 1


async def a_long_text_in_the_default_alphabet_arrives_with_an_escape_at_the_edge(
    centre,
):
    """152 letters and a euro sign: the escape moves on with its letter."""
    text = "a" * 152 + "€" + "b" * 100
    taken = await _long(centre, text, "gsm7", "parts")

    assert [part["text"] for part in taken] == ["a" * 152, "€" + "b" * 100]


async def a_long_text_arrives_as_payload(centre):
    """One PDU with message_payload, and nothing in the short message."""
    text = "银" * 66 + "😀" + "行" * 150
    [taken] = await _long(centre, text, "ucs2", "payload")

    assert (taken["way"], taken["udh"]) == ("payload", "")


async def the_time_until_delivery_is_understood(centre):
    """The validity is read as the same moment, in the library's own form of it."""
    until_when = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
    _, [taken] = await hand_over(centre, to("1000", valid_until=until_when))
    forms = {
        until_when.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        until_when.strftime("%y%m%d%H%M%S000+"),
    }

    assert taken["until"] in forms


async def receipts_say_what_happened(centre):
    """Delivered, not reached, expired; each names its message and echoes our reference."""
    sent = [to("1000", token=1), to("0000", token=2), to("0001", token=3)]
    core, _ = await hand_over(centre, *sent)
    ids = {one.token: one.gateway_id for one in core.results}

    assert {(one.gateway_id, one.state, one.code) for one in core.receipts} == {
        (ids[1], "delivered", "000"),
        (ids[2], "failed", "069"),
        (ids[3], "expired", "070"),
    }
    assert {(one.dest, one.client_ref) for one in core.receipts} == {
        (one.dest, one.client_ref) for one in sent
    }


async def nothing_is_acknowledged_before_the_core_says_so(centre):
    """The centre hears of a receipt's acknowledgement after ``ack``, and not before."""
    core = driver(centre.port, password=PASSWORD)
    core.acks = False
    await core.hand_over(to("1000"))
    await until(lambda: core.receipts)
    await asyncio.sleep(0.2)
    early = centre.told("acked")
    core.gateway.ack([core.receipts[0].ack])
    await until(lambda: centre.told("acked"))
    await core.gateway.stop(1)

    assert early == []
    assert centre.told("acked") == [{"event": "acked", "status": 0}]


async def customers_are_heard(centre):
    """A short answer in UCS-2, one in the default alphabet, and a long one whose parts come in the wrong order."""
    endings = {"0002": "退订", "0006": "no [€] thanks", "0005": "长" * 67 + "短信"}
    sent = [to(ending, token=n) for n, ending in enumerate(endings)]
    core = driver(centre.port, password=PASSWORD)
    await core.hand_over(*sent)
    await until(lambda: len(core.messages) == 3)
    await core.gateway.stop(1)

    assert {(one.source, one.text) for one in core.messages} == {
        (one.dest, endings[one.dest[-4:]]) for one in sent
    }
    assert {one.dest for one in core.messages} == {sent[0].source}
    assert all(one.whole for one in core.messages)


async def enquiries_are_answered_both_ways(centre):
    """The link holds while only enquiries pass, and the centre's own enquiry was answered."""
    patience = Timers(connect=5, answer=1, enquire=0.1, tick=0.02)
    core = driver(centre.port, password=PASSWORD, timers=patience)
    await core.hand_over(to("1000"))
    await asyncio.sleep(1.5)
    held = [*core.states]
    await core.gateway.stop(1)

    assert held == [("bound", "")]
    if "enquired" not in centre.library.cannot:
        assert len(centre.told("enquired")) == 1
        assert len(centre.told("enquire")) >= 5


async def a_pair_sends_on_one_and_hears_on_the_other(centre):
    """A transmitter and a receiver: answers come on the one, receipts and customers on the other."""
    core, taken = await hand_over(
        centre, to("0002", token=1), to("0000", token=2), kind=SmppPair
    )
    kinds = {event["kind"] for event in centre.told("bind")}
    await until(lambda: len(centre.told("unbind")) == 2)

    assert core.verdicts == {"accepted": 2}
    assert {one.state for one in core.receipts} == {"delivered", "failed"}
    assert [one.text for one in core.messages] == ["退订"]
    assert len(taken) == 2
    if "kind" not in centre.library.cannot:
        assert kinds == {"transmitter", "receiver"}


async def what_is_refused_for_speed_is_told_and_can_be_sent_again(centre):
    """Throttled is no acceptance; the same message is taken the second time."""
    core = driver(centre.port, password=PASSWORD)
    await core.hand_over(to("0003"))
    await until(lambda: core.results)
    core.gateway.submit([to("0003", token=1)])
    await until(lambda: len(core.results) == 2)
    await core.gateway.stop(1)

    assert [one.verdict for one in core.results] == ["throttled", "accepted"]
    assert len(centre.told("submit")) == 1


async def a_wrong_password_is_an_alarm(centre):
    """The refusal is understood, and not tried again."""
    core = driver(centre.port, password="wrong")
    await core.gateway.start(core)
    with pytest.raises(GatewayEnded, match="ESME_RINVPASWD"):
        await core.gateway.wait_room()
    await core.gateway.stop(0)

    assert core.states[0] == ("refused", "bind refused: ESME_RINVPASWD")
    assert centre.told("bind") == []


async def a_thousand_arrive_once_within_the_window(centre):
    """Each is answered and reported once, and at most a hundred are unanswered at a time."""
    sent = [message(token, f"第{token}号") for token in range(1000)]
    core, taken = await hand_over(centre, *sent, window=100)

    assert core.told == Counter(range(1000))
    assert core.most <= 100
    assert Counter((one["number"], one["text"]) for one in taken) == Counter(
        (one.dest, one.text) for one in sent
    )
    assert Counter(one.dest for one in core.receipts) == Counter(
        one.dest for one in sent
    )


async def a_link_that_is_cut_is_made_anew(centre):
    """The centre dies within a batch: every message is answered or lost, once, and the rest goes to the new one."""
    core = driver(centre.port, password=PASSWORD, window=50)
    sending = asyncio.create_task(core.hand_over(*map(message, range(2000))))
    await until(lambda: len(core.results) > 200)
    centre.kill()
    await until(lambda: core.lost)
    centre.start()
    await sending
    await until(lambda: core.told.total() == 2000)
    await core.gateway.stop(1)
    arrived = Counter(event["number"] for event in centre.told("submit"))

    assert core.told == Counter(range(2000))
    assert core.verdicts == {"accepted": 2000 - len(core.lost)}
    assert 0 < len(core.lost) <= 50
    assert max(arrived.values()) == 1
    assert {message(one.token).dest for one in core.results} <= set(arrived)


async def the_link_is_encrypted_and_both_sides_show_who_they_are(centre):
    """With our certificate messages pass; without one, or with another authority, nothing is bound."""
    authority, stranger = trustme.CA(), trustme.CA()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        theirs, ours = authority.issue_cert("127.0.0.1"), authority.issue_cert("bank")
        for owner, made in (("centre", theirs), ("bank", ours)):
            made.cert_chain_pems[0].write_to_path(folder / f"{owner}.pem")
            made.private_key_pem.write_to_path(folder / f"{owner}.key")
        authority.cert_pem.write_to_path(folder / "authority.pem")
        trusted = (folder / "authority.pem").read_text()
        files = ("centre.pem", "centre.key", "authority.pem")
        second = Centre(centre.library, *(folder / file for file in files)).start()
        shown = encrypted(
            folder, authority=trusted, certificate="bank.pem", key="bank.key"
        )
        other = stranger.cert_pem.bytes().decode()
        try:
            core, taken = await hand_over(second, to("1000"), tls=shown)
            for context in (
                encrypted(folder, authority=trusted),
                encrypted(folder, authority=other),
            ):
                await _is_turned_away(second, context)
        finally:
            second.kill()

    assert core.verdicts == {"accepted": 1}
    assert len(taken) == 1
    assert len(second.told("bind")) == 1


async def _is_turned_away(centre, context: ssl.SSLContext):
    core = driver(centre.port, password=PASSWORD, tls=context)
    await core.gateway.start(core)
    await until(lambda: len(core.states) >= 2)
    await core.gateway.stop(0)

    assert all(state != "bound" for state, _ in core.states)


CHECKS = {
    "ucs2": a_text_in_ucs2_arrives,
    "gsm7": a_text_in_the_default_alphabet_arrives,
    "parts": a_long_text_in_parts_arrives_with_an_emoji_at_the_edge,
    "parts of gsm7": a_long_text_in_the_default_alphabet_arrives_with_an_escape_at_the_edge,
    "payload": a_long_text_arrives_as_payload,
    "until": the_time_until_delivery_is_understood,
    "receipts": receipts_say_what_happened,
    "acknowledgement": nothing_is_acknowledged_before_the_core_says_so,
    "inbound": customers_are_heard,
    "enquiries": enquiries_are_answered_both_ways,
    "pair": a_pair_sends_on_one_and_hears_on_the_other,
    "throttled": what_is_refused_for_speed_is_told_and_can_be_sent_again,
    "password": a_wrong_password_is_an_alarm,
    "window": a_thousand_arrive_once_within_the_window,
    "cut": a_link_that_is_cut_is_made_anew,
    "tls": the_link_is_encrypted_and_both_sides_show_who_they_are,
}


def checks_of(library):
    """Return the names of the checks that a centre on *library* can be put to."""
    return [name for name in CHECKS if name not in library.cannot]
