"""PDUs as two other implementations read and write them: smpplib and smpp34."""

from collections import Counter
from datetime import UTC, datetime, timedelta, timezone

import pytest
import smpp34
import smpplib.command
import smpplib.consts
import smpplib.smpp
from hypothesis import given
from hypothesis import strategies as st

from services.messaging.gateways import Outgoing
from services.messaging.gateways import smpp_codec as codec
from services.messaging.gateways.parts import Whole
from services.messaging.gateways.smpp_writer import SmppSettings, Writer, in_words

NUMBERS = st.text("0123456789", min_size=1, max_size=20)
MOMENTS = st.datetimes(
    datetime(2000, 1, 1),  # noqa: DTZ001 - Hypothesis adds the zone
    datetime(2099, 1, 1),  # noqa: DTZ001 - the same
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=8))]),
)


def texts(chars):
    """Return texts of runs of the same character, long enough for several segments."""
    runs = st.lists(st.tuples(st.sampled_from(chars), st.integers(1, 90)), max_size=9)
    return runs.map(lambda found: "".join(char * times for char, times in found))


TEXTS = st.one_of(
    st.tuples(texts("abc{€}"), st.just("gsm7")),
    st.tuples(texts("银行a😀"), st.just("ucs2")),
)


class Sequence:
    """What smpplib asks a client for."""

    sequence = 1

    def next_sequence(self):
        """Return the only number."""
        return self.sequence


def outgoing(text="您好", encoding="ucs2", **more):
    """Return a message."""
    told = {
        "token": 1,
        "dest": "8613800138000",
        "source": "9559901",
        "client_ref": b"\x01\x02rest",
    }
    return Outgoing(text=text, encoding=encoding, **{**told, **more})


def settings(**more):
    """Return settings of a centre."""
    return SmppSettings(
        host="127.0.0.1", port=1, system_id="bank", password="secret", **more
    )


def as_smpplib_reads(command, body):
    """Return the PDU as smpplib reads it."""
    data = codec.pdu(command, 7, body)
    found = smpplib.smpp.parse_pdu(
        data, client=Sequence(), allow_unknown_opt_params=True
    )
    assert found.sequence == 7
    return found


def as_smpp34_reads(body):
    """Return a submit_sm as smpp34 reads it."""
    return smpp34.decode(codec.pdu(codec.SUBMIT, 7, body))


def tags_of(pdu):
    """Return the optional parameters of a PDU that smpp34 read."""
    return {each.tag: each.value for each in pdu.tlvs}


class TestWhatWeWrite:
    @given(TEXTS, NUMBERS, NUMBERS, st.none() | MOMENTS, st.booleans())
    def test_both_read_a_submission_as_it_was_meant(
        self, text, source, dest, until, receipt
    ):
        """Addresses, coding, validity, receipt, reference and the text's octets arrive, short or as payload."""
        message = outgoing(
            *text, source=source, dest=dest, valid_until=until, want_receipt=receipt
        )
        [(_, body)] = Writer(settings()).entries(message)
        theirs, ours = as_smpplib_reads(codec.SUBMIT, body), as_smpp34_reads(body)
        units = len(text[0].encode("utf-16-be")) // 2
        septets = len(text[0]) + sum(map(text[0].count, "{€}"))
        long = units > 70 if text[1] == "ucs2" else septets > 160
        payload = tags_of(ours).get(0x0424) if long else ours.short_message
        theirs_payload = theirs.message_payload if long else theirs.short_message
        moment = until and until.astimezone(UTC).strftime("%y%m%d%H%M%S000+")

        assert (ours.source_addr, ours.destination_addr) == (source, dest)
        assert (theirs.source_addr, theirs.destination_addr) == (
            source.encode(),
            dest.encode(),
        )
        assert (ours.data_coding, ours.esm_class) == (
            0 if text[1] == "gsm7" else 8,
            0,
        )
        assert ours.validity_period == (moment or "")
        assert ours.registered_delivery == theirs.registered_delivery == receipt
        assert tags_of(ours)[0x0204] == b"\x01\x02"
        assert theirs.user_message_reference == 0x0102
        assert payload == (theirs_payload or b"")
        if text[1] == "ucs2":
            assert payload.decode("utf-16-be") == text[0]
        else:
            assert len(payload) == septets

    def test_the_kinds_of_number_are_those_of_the_centre(self):
        """The access number is network specific and the customer's international, unless the centre differs."""
        plain = Writer(settings()).entries(outgoing())[0][1]
        other = settings(source_kind=codec.Address(5, 0), dest_kind=codec.Address(2, 1))
        changed = Writer(other).entries(outgoing())[0][1]

        assert [
            (
                one.source_addr_ton,
                one.source_addr_npi,
                one.dest_addr_ton,
                one.dest_addr_npi,
            )
            for one in map(as_smpp34_reads, (plain, changed))
        ] == [(3, 0, 1, 1), (5, 0, 2, 1)]

    def test_a_message_in_parts_is_joined_by_headers_and_asks_for_one_receipt(self):
        """Where the centre wants parts, each is a PDU with UDHI, and only the last one asks for a receipt."""
        text = "银" * 66 + "😀" + "行" * 80
        entries = Writer(settings(long_messages="parts")).entries(outgoing(text))
        read = [as_smpp34_reads(body) for _, body in entries]
        headers = [each.short_message[:6] for each in read]
        pieces = [each.short_message[6:].decode("utf-16-be") for each in read]

        assert "".join(pieces) == text
        assert [(h[:3], h[4], h[5]) for h in headers] == [
            (b"\x05\x00\x03", 3, n) for n in (1, 2, 3)
        ]
        assert len({header[3] for header in headers}) == 1
        assert [each.esm_class for each in read] == [0x40] * 3
        assert [each.registered_delivery for each in read] == [0, 0, 1]
        assert [part.last for part, _ in entries] == [False, False, True]

    def test_two_messages_in_parts_do_not_share_a_reference(self):
        """Consecutive references differ over a whole round of 256."""
        writer = Writer(settings(long_messages="parts"))
        references = [
            as_smpp34_reads(writer.entries(outgoing("银" * 71))[0][1]).short_message[3]
            for _ in range(256)
        ]

        assert Counter(references) == Counter(range(256))

    def test_a_short_message_travels_alone_even_where_the_centre_wants_parts(self):
        """70 characters need no header."""
        [(token, body)] = Writer(settings(long_messages="parts")).entries(
            outgoing("银" * 70)
        )

        assert token == 1
        assert as_smpp34_reads(body).esm_class == 0

    @pytest.mark.parametrize(
        "faulty",
        [
            {"text": "银" * 32768},
            {"text": "\ud83d"},
            {"text": "银", "encoding": "gsm7"},
            {"dest": "1" * 21},
            {"source": "9559９"},
            {"source": "1\x002"},
        ],
    )
    def test_what_cannot_be_written_is_an_error_and_no_pdu(self, faulty):
        """Too long, not encodable, or an address that no field holds."""
        with pytest.raises(ValueError, match=r".+"):
            Writer(settings()).entries(outgoing(**faulty))

    @pytest.mark.parametrize("kind", ["receiver", "transmitter", "transceiver"])
    def test_smpplib_reads_our_binds(self, kind):
        """System, password, type and version arrive for each of the three binds."""
        body = codec.bind_body("bank", "secret", "sms")
        read = as_smpplib_reads(codec.BINDS[kind], body)

        assert read.command == f"bind_{kind}"
        assert (read.system_id, read.password, read.system_type) == (
            b"bank",
            b"secret",
            b"sms",
        )
        assert read.interface_version == 0x34

    @pytest.mark.parametrize(
        ("command", "name"),
        [
            (codec.ENQUIRE, "enquire_link"),
            (codec.ENQUIRE_RESP, "enquire_link_resp"),
            (codec.UNBIND, "unbind"),
            (codec.UNBIND_RESP, "unbind_resp"),
            (codec.NACK, "generic_nack"),
        ],
    )
    def test_smpplib_reads_our_empty_pdus(self, command, name):
        """Commands without a body are what their number says."""
        assert as_smpplib_reads(command, b"").command == name

    def test_the_numbers_are_smpplibs(self):
        """Every status name, and the classes by them, stand at smpplib's numbers."""
        theirs = {
            name.replace("SMPP_", ""): value
            for name, value in vars(smpplib.consts).items()
            if name.startswith("SMPP_ESME_")
        }

        assert {name: theirs.get(name) for name in codec.STATUS.values()} == {
            name: code for code, name in codec.STATUS.items()
        }


class TestWhatWeRead:
    @given(
        NUMBERS,
        NUMBERS,
        st.binary(max_size=254),
        st.integers(0, 255),
        st.integers(0, 255),
        st.dictionaries(st.integers(0x1400, 0x3FFF), st.binary(max_size=99)),
    )
    def test_a_delivery_that_smpp34_wrote_is_read_whole(
        self, source, dest, payload, esm_class, coding, tags
    ):
        """Addresses, class, coding, octets and optional parameters come out as they went in."""
        written = smpp34.DeliverSm(
            source,
            dest,
            payload,
            esm_class=esm_class,
            data_coding=coding,
            service_type="abc",
            tlvs=[smpp34.Tlv(number, value) for number, value in tags.items()],
        ).encode()

        assert codec.read_deliver(written[16:]) == (
            source,
            dest,
            esm_class,
            coding,
            payload,
            tags,
        )

    def test_a_delivery_that_smpplib_wrote_is_read(self):
        """A receipt with optional parameters as smpplib writes them."""
        pdu = smpplib.smpp.make_pdu(
            "deliver_sm",
            client=Sequence(),
            source_addr="86138",
            destination_addr="95599",
            esm_class=4,
            receipted_message_id="m-1",
            message_state=2,
            short_message=b"id:other stat:UNDELIV",
        )
        read = codec.read_deliver(pdu.generate()[16:])

        assert (read.source, read.dest, read.esm_class) == ("86138", "95599", 4)
        assert codec.read_report(read) == ("m-1", None, "delivered", "")

    def test_a_long_delivery_comes_as_payload(self):
        """An empty short message gives way to message_payload."""
        tag = smpp34.Tlv(smpp34.TLV_MESSAGE_PAYLOAD, b"x" * 300)
        written = smpp34.DeliverSm("1", "2", b"", tlvs=[tag]).encode()

        assert codec.read_deliver(written[16:]).payload == b"x" * 300

    @given(st.integers(0, 60))
    def test_a_delivery_that_is_cut_off_is_malformed_and_nothing_else(self, length):
        """Whatever is missing, the one error says so."""
        tag = smpp34.Tlv(0x1400, b"value")
        body = smpp34.DeliverSm("86138", "95599", b"hello", tlvs=[tag]).encode()[16:]
        whole = len(body) - len("TTLLvalue")
        if length < len(body) and length != whole:
            with pytest.raises(codec.MalformedPdu):
                codec.read_deliver(body[:length])
        else:
            assert codec.read_deliver(body[:length]).payload == b"hello"

    @given(st.binary(max_size=80))
    def test_any_octets_are_a_delivery_or_malformed(self, body):
        """A lying centre costs one exception of one kind."""
        try:
            read = codec.read_deliver(body)
        except codec.MalformedPdu:
            return

        assert codec.read_report(read).state in {
            "delivered",
            "failed",
            "expired",
            "unknown",
            "enroute",
        }


def deliver(esm_class=4, payload=b"", **tags):
    """Return a delivery with optional parameters by their names in the codec."""
    found = {getattr(codec, name): value for name, value in tags.items()}
    return codec.Deliver("86138", "95599", esm_class, 0, payload, found)


class TestReceipts:
    TEXT = (
        b"id:8a-1 sub:001 dlvrd:000 submit date:2611231200 done date:2611231201 "
        b"stat:UNDELIV err:069 text:id:no stat:DELIVRD"
    )

    def test_a_receipt_in_text_is_read_from_its_first_fields(self):
        """The customer's own words behind "text:" cannot change what became of the message."""
        assert codec.read_report(deliver(payload=self.TEXT)) == (
            "8a-1",
            None,
            "failed",
            "069",
        )

    def test_optional_parameters_have_the_last_word(self):
        """Identifier, state, network's code and our reference come from tags where there are any."""
        told = deliver(
            payload=self.TEXT,
            RECEIPTED_MESSAGE_ID=b"9b\0",
            MESSAGE_STATE=b"\x03",
            NETWORK_ERROR_CODE=b"\x03\x00\x45",
            USER_MESSAGE_REFERENCE=b"\x01\x02",
        )

        assert codec.read_report(told) == ("9b", b"\x01\x02", "expired", "030045")

    @pytest.mark.parametrize(
        ("word", "state"),
        [
            (b"DELIVRD", "delivered"),
            (b"delivrd", "delivered"),
            (b"EXPIRED", "expired"),
            (b"DELETED", "failed"),
            (b"UNDELIV", "failed"),
            (b"UNDELIVERABLE", "failed"),
            (b"REJECTD", "failed"),
            (b"ACCEPTD", "enroute"),
            (b"ENROUTE", "enroute"),
            (b"UNKNOWN", "unknown"),
            (b"MK:0001", "unknown"),
            (b"", "unknown"),
        ],
    )
    def test_states_in_words(self, word, state):
        """The seven letters of the specification, in either case; a carrier's own word is unknown."""
        told = deliver(payload=b"id:1 stat:" + word + b" err:0")

        assert codec.read_report(told).state == state

    def test_a_receipt_that_names_nobody_has_no_number(self):
        """Without identifier it belongs to no message."""
        assert codec.read_report(deliver(payload=b"hello")).message_id is None

    def test_an_intermediate_notice_settles_nothing(self):
        """Whatever state it tells, more is to come."""
        told = deliver(esm_class=0x20, MESSAGE_STATE=b"\x02")

        assert codec.read_report(told).state == "enroute"

    @pytest.mark.parametrize(
        ("esm_class", "receipt"),
        [(0, False), (4, True), (0x20, True), (0x44, True), (0x40, False), (8, False)],
    )
    def test_the_class_tells_receipts_from_customers(self, esm_class, receipt):
        """Header bits do not matter; a customer's own acknowledgement is a customer's."""
        assert codec.is_receipt(deliver(esm_class=esm_class)) is receipt

    @pytest.mark.parametrize(
        ("body", "number"),
        [
            (b"8a-1\0", "8a-1"),
            (b"8a-1\0\x14\x01\0\0", "8a-1"),
            (b"\0", None),
            (b"", None),
        ],
    )
    def test_the_answer_to_a_submission_names_the_message(self, body, number):
        """Up to the first zero; nothing where there is nothing."""
        assert codec.message_id_of(body) == number


class TestMessagesInParts:
    @pytest.mark.parametrize(
        ("faults", "verdict", "code", "taken"),
        [
            ([("throttled", 0x58)] * 3, "throttled", 0x58, 0),
            ([("temporary", 8), ("throttled", 0x58)], "rejected", 8, 1),
            ([("rejected", 0x0B)], "rejected", 0x0B, 2),
            ([("rejected", 0x0B), ("ambiguous", 0)], "ambiguous", 0, 1),
        ],
    )
    def test_some_parts_taken_and_some_not_is_a_failure(
        self, faults, verdict, code, taken
    ):
        """Only when no part was taken may the whole be tried again; a part nobody knows of makes it ambiguous."""
        whole = Whole(5, 3)
        whole.faults += faults
        result = whole.result(in_words)

        assert (result.token, result.verdict, result.code) == (5, verdict, code)
        assert result.gateway_id is None
        assert result.reason.endswith(f": {taken} of 3 parts taken")

    def test_all_parts_taken_is_taken_under_the_last_ones_number(self):
        """The receipt that was asked for names the last part."""
        whole = Whole(5, 3)
        whole.last_id = "m-3"

        assert whole.result(in_words) == (5, "accepted", "m-3", 0, "")
