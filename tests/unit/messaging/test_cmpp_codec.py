"""Octets of CMPP: worked out by hand from the protocol's tables, and as pycmpp, another implementation, reads them."""

import hashlib
import struct
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycmpp.request import ConnectRequestInstance, SubmitRequestInstance
from pycmpp.response import ConnectResponseInstance, SubmitResponseInstance

from services.messaging.gateways import Outgoing
from services.messaging.gateways import cmpp_codec as codec
from services.messaging.gateways.cmpp_writer import CmppSettings, Writer, in_words
from tests.cmpp_centre import read_submit

DIGITS = st.text("0123456789", min_size=1, max_size=20)
CHINA = timezone(timedelta(hours=8))
NOON = datetime(2026, 11, 23, 4, 5, 6, tzinfo=UTC)
FORMS = {0x20: codec.CMPP2, 0x30: codec.CMPP3}
TEXTS = st.lists(
    st.tuples(st.sampled_from("银行a😀。"), st.integers(1, 90)), max_size=9
).map(lambda runs: "".join(char * times for char, times in runs))


def writer(version=0x20, **more):
    """Return what writes for a gateway."""
    told = {"host": "h", "port": 1, "sp_id": "901234", "secret": "s", **more}
    return Writer(CmppSettings(form=FORMS[version], **told))


def outgoing(text="您好", encoding="ucs2", **more):
    """Return a message."""
    told = {"token": 1, "dest": "8613800138000", "source": "9559901"}
    return Outgoing(
        text=text, encoding=encoding, client_ref=b"\1\2", **{**told, **more}
    )


def as_pycmpp_reads(body):
    """Return what pycmpp makes of a SUBMIT."""
    return SubmitRequestInstance().resolve(codec.pdu(codec.SUBMIT, 7, body))


def zeros(text, size):
    """Return a field as the tables want it: left aligned, filled up with zeros."""
    return text.encode() + b"\0" * (size - len(text))


class TestASubmissionByHand:
    """Every octet of SUBMIT, field by field in the order of the tables."""

    START = (
        bytes.fromhex("0000000000000000")  # Msg_Id, filled in by the gateway
        + bytes.fromhex("01010100")  # Pk_total, Pk_number, Registered_Delivery, level
        + zeros("MBANK", 10)  # Service_Id
        + b"\x02"  # Fee_UserType: the sender pays
    )
    MIDDLE = (
        bytes.fromhex("000008")  # TP_pId, TP_udhi, Msg_Fmt UCS2
        + b"901234"  # Msg_src
        + b"01"  # FeeType: free
        + b"000000"  # FeeCode
        + b"261123120506032+\0"  # Valid_Time: five past noon in China
        + bytes(17)  # At_Time: at once
        + zeros("9559901", 21)  # Src_Id
        + b"\x01"  # DestUsr_tl
    )
    TEXT = bytes.fromhex("04 60a8 597d")  # Msg_Length, Msg_Content

    def test_version_2(self):
        """Numbers take 21 octets, and Reserve 8."""
        [(token, body)] = writer(service_id="MBANK").entries(outgoing(valid_until=NOON))

        assert token == 1
        assert body == (
            self.START
            + bytes(21)
            + self.MIDDLE
            + zeros("13800138000", 21)
            + self.TEXT
            + bytes(8)
        )

    def test_version_3(self):
        """Numbers take 32 octets and have a kind behind them, and LinkID takes 20."""
        written = writer(0x30, service_id="MBANK", country_code=True)
        [(_, body)] = written.entries(outgoing(valid_until=NOON))

        assert body == (
            self.START
            + bytes(32)
            + b"\0"
            + self.MIDDLE
            + zeros("8613800138000", 32)
            + b"\0"
            + self.TEXT
            + bytes(20)
        )


class TestWhatWeWrite:
    @settings(deadline=None)
    @given(TEXTS, DIGITS, st.booleans(), st.sampled_from([0x20, 0x30]))
    def test_a_text_is_read_as_it_was_meant(self, text, source, receipt, version):
        """By the judge, which accounts for every octet; parts are numbered, joined and never longer than a message."""
        message = outgoing(text, source=source, want_receipt=receipt)
        read = [
            read_submit(version, body) for _, body in writer(version).entries(message)
        ]
        units = len(text.encode("utf-16-be")) // 2
        contents = [one["Msg_Content"] for one in read]
        if units > 70:
            heads = [one[:6] for one in contents]
            contents = [one[6:] for one in contents]

            assert {one[:3] for one in heads} == {b"\5\0\3"}
            assert len({one[3] for one in heads}) == 1
            assert [(one[4], one[5]) for one in heads] == [
                (len(read), place) for place in range(1, len(read) + 1)
            ]
        else:
            assert len(read) == 1
        assert "".join(one.decode("utf-16-be") for one in contents) == text
        assert [
            (one["Pk_total"], one["Pk_number"], one["TP_udhi"]) for one in read
        ] == [(len(read), place, units > 70) for place in range(1, len(read) + 1)]
        assert {
            (
                one["Src_Id"].rstrip(b"\0").decode(),
                one["Registered_Delivery"],
                one["Msg_Fmt"],
                *one["Dest_terminal_Id"],
            )
            for one in read
        } == {(source, receipt, 8, "13800138000")}

    @settings(deadline=None)
    @given(TEXTS, DIGITS)
    def test_pycmpp_reads_what_we_write(self, text, source):
        """All fields of 2.0, parts included."""
        entries = writer(service_id="MBANK").entries(
            outgoing(text, source=source, valid_until=NOON)
        )
        read = [as_pycmpp_reads(body) for _, body in entries]

        assert "".join(one["msg_content"] for one in read) == text
        assert {
            tuple(
                one[name].rstrip("\0") if isinstance(one[name], str) else one[name]
                for name in (
                    *("msg_id", "register_delivery", "service_id", "fee_usertype"),
                    *("fee_terminal_id", "tp_pid", "msg_fmt", "msg_src", "fee_type"),
                    *("fee_code", "valid_time", "at_time", "src_id", "destusr_tl"),
                    *("dest_terminal_id", "reserve"),
                )
            )
            for one in read
        } == {
            (
                *(0, 1, "MBANK", 2, "", 0, 8, "901234", "01", "000000"),
                *("261123120506032+", "", source, 1, "13800138000", ""),
            )
        }
        assert [(one["pk_total"], one["pk_number"]) for one in read] == [
            (len(read), place) for place in range(1, len(read) + 1)
        ]

    def test_what_pycmpp_writes_is_what_we_write(self):
        """The same message, octet by octet; it leaves level, payer and fee as we do."""
        theirs = SubmitRequestInstance().create(
            "901234", "您好", ["13800138000"], src_id="9559901", registered_delivery=1
        )
        [(_, ours)] = writer().entries(outgoing())

        assert theirs[12:] == ours

    def test_the_judge_reads_what_pycmpp_writes(self):
        """A short message and a part of a long one, to two numbers."""
        head = bytes((5, 0, 3, 9, 2, 1))
        short, part = (
            read_submit(
                0x20,
                SubmitRequestInstance().create(
                    "901234", text, ["13800138000", "13800138001"], **more
                )[12:],
            )
            for text, more in (
                ("您好", {}),
                ("银" * 64, {"msg_head": head, "pk_total": 2, "tp_udhi": 1}),
            )
        )

        assert short["Msg_Content"].decode("utf-16-be") == "您好"
        assert part["Msg_Content"] == head + ("银" * 64).encode("utf-16-be")
        assert part["Dest_terminal_Id"] == ["13800138000", "13800138001"]

    @pytest.mark.parametrize(
        ("text", "msg_fmt", "content"),
        [
            ("Hi @5", 0, b"Hi @5"),
            ("a" * 160, 0, b"a" * 160),
            ("Hi €5", 8, "Hi €5".encode("utf-16-be")),
        ],
    )
    def test_the_default_alphabet_travels_as_ascii_or_in_ucs2(
        self, text, msg_fmt, content
    ):
        """Msg_Fmt 0 is ASCII here, so what is not ASCII takes the other way."""
        [(_, body)] = writer().entries(outgoing(text, "gsm7"))
        read = read_submit(0x20, body)

        assert (read["Msg_Fmt"], read["Msg_Content"]) == (msg_fmt, content)

    def test_a_long_latin_text_travels_in_ucs2(self):
        """A header and ASCII do not go together, so parts are in UCS-2 whatever the message asks for."""
        read = [
            read_submit(0x20, body)
            for _, body in writer().entries(outgoing("a" * 161, "gsm7"))
        ]

        assert [one["Msg_Fmt"] for one in read] == [8, 8, 8]

    def test_two_messages_in_parts_do_not_share_a_reference(self):
        """Consecutive references differ over a whole round of 256."""
        made = writer()
        references = [
            read_submit(0x20, made.entries(outgoing("银" * 71))[0][1])["Msg_Content"][3]
            for _ in range(256)
        ]

        assert Counter(references) == Counter(range(256))

    @pytest.mark.parametrize(
        "more",
        [
            {"text": "银", "encoding": "gsm7"},
            {"source": "9" * 22},
            {"dest": "1" * 22},
            {"dest": "１３８"},
            {"dest": "138\0"},
            {"text": "银" * 67 * 256},
        ],
    )
    def test_what_does_not_fit_is_refused(self, more):
        """Neither cut short nor written wrongly."""
        with pytest.raises(ValueError, match=r"field|alphabet|ascii|parts"):
            writer().entries(outgoing(**more))

    @pytest.mark.parametrize("more", [{"sp_id": "9012345"}, {"service_id": "x" * 11}])
    def test_names_that_do_not_fit_are_refused_at_the_start(self, more):
        """A driver that could never connect is not made."""
        with pytest.raises(ValueError, match="a field of more than"):
            writer(**more)

    def test_numbers_are_written_as_the_gateway_wants_them(self):
        """Without 86 before a mobile of the mainland; another country's stays as it is."""
        wanted = {"8613800138000": "13800138000", "85251234567": "85251234567"}

        assert {one: codec.national(one) for one in wanted} == wanted
        assert [
            codec.international(one)
            for one in (
                *("13800138000", "8613800138000", "+8613800138000"),
                *("008613800138000", "85251234567", "95599"),
            )
        ] == ["8613800138000"] * 4 + ["85251234567", "95599"]

    def test_no_time_is_no_time(self):
        """All zeros leave it to the gateway."""
        [(_, body)] = writer().entries(outgoing(valid_until=None))

        assert read_submit(0x20, body)["Valid_Time"] == bytes(17)


class TestConnecting:
    @pytest.mark.parametrize("version", [0x20, 0x30])
    def test_the_octets_by_hand(self, version):
        """Source_Addr, AuthenticatorSource, Version, Timestamp; the secret itself is nowhere in it."""
        body = codec.connect_body(FORMS[version], "901234", "shared secret", NOON)
        digest = hashlib.md5(b"901234" + b"\0" * 9 + b"shared secret" + b"1123120506")

        assert body == (
            b"901234"
            + digest.digest()
            + bytes((version,))
            + (1_123_120_506).to_bytes(4, "big")
        )

    def test_pycmpp_proves_itself_in_the_same_way(self):
        """The same source, secret and time give the same proof."""
        theirs = ConnectRequestInstance().create("901234", "trial")[12:]
        [stamp] = struct.unpack(">I", theirs[23:])
        then = datetime.strptime(f"2028{stamp:010}+0800", "%Y%m%d%H%M%S%z")
        ours = codec.connect_body(codec.CMPP2, "901234", "trial", then)

        assert theirs[:22] == ours[:22]
        assert theirs[23:] == ours[23:]

    @pytest.mark.parametrize("status", [b"\0", b"\3", b"\0\0\0\0", b"\0\0\0\5"])
    def test_the_answer_of_either_version_is_read(self, status):
        """Its length says how many octets the status has."""
        proof = bytes(range(16))
        found = codec.read_connect_resp(status + proof + b"\x20")

        assert found == (status[-1], status, proof)

    def test_pycmpp_reads_the_answer_alike(self):
        """The form of 2.0, as the other implementation takes it apart."""
        body = b"\3" + bytes(range(16)) + b"\x20"
        theirs = ConnectResponseInstance()
        theirs.resolve(codec.pdu(codec.CONNECT_RESP, 1, body))

        assert codec.read_connect_resp(body) == (
            theirs.status,
            b"\3",
            theirs.authenticator_ISMG,
        )

    def test_the_gateways_proof_covers_its_status_and_our_proof(self):
        """MD5 of Status, AuthenticatorSource and the secret."""
        ours = bytes(range(16))

        assert codec.gateways_proof(b"\0", ours, "trial") == (
            hashlib.md5(b"\0" + ours + b"trial").digest()
        )


class TestWhatWeRead:
    @settings(deadline=None)
    @given(st.binary(min_size=8, max_size=8), st.integers(0, 255))
    def test_an_answer_to_a_submission(self, msg_id, result):
        """Number and result, for both versions; pycmpp reads 2.0 alike."""
        theirs = SubmitResponseInstance()
        body = msg_id + bytes((result,))
        theirs.resolve(codec.pdu(codec.SUBMIT_RESP, 1, body))

        assert codec.result_of(body) == theirs.status
        assert codec.message_id_of(body) == f"{theirs.msg_id:016x}"
        assert codec.result_of(msg_id + bytes((0, 0, 0, result))) == result

    def test_a_status_report_by_hand(self):
        """Msg_Id, Stat, Submit_time, Done_time, Dest_terminal_Id, SMSC_sequence: 60 octets in 2.0, 71 in 3.0."""
        start = bytes.fromhex("b6ab123400020005") + b"DELIVRD2611231205" + b"2611231206"
        for form, size, whole in ((codec.CMPP2, 21, 60), (codec.CMPP3, 32, 71)):
            content = start + zeros("13800138000", size) + b"\0\0\0\7"

            assert len(content) == whole
            assert codec.read_report(form, content) == (
                "b6ab123400020005",
                "delivered",
                "DELIVRD",
                "13800138000",
            )
            with pytest.raises(codec.MalformedPdu):
                codec.read_report(form, content[: 34 + size])

    @pytest.mark.parametrize("version", [0x20, 0x30])
    def test_a_delivery_by_hand(self, version):
        """Each field of DELIVER; cut short anywhere before its text ends it is malformed."""
        size, kind = (21, b"") if version == 0x20 else (32, b"\0")
        body = (
            bytes(range(8))  # Msg_Id
            + zeros("9559917", 21)  # Dest_Id
            + zeros("MBANK", 10)  # Service_Id
            + bytes((0, 1, 8))  # TP_pId, TP_udhi, Msg_Fmt
            + zeros("13800138000", size)  # Src_terminal_Id, and its kind
            + kind
            + bytes((0, 3))  # Registered_Delivery, Msg_Length
            + b"abc"
        )
        found = codec.read_deliver(FORMS[version], body + bytes(8))

        assert found == (
            bytes(range(8)),
            "13800138000",
            "9559917",
            True,
            8,
            False,
            b"abc",
        )
        for length in range(len(body)):
            with pytest.raises(codec.MalformedPdu):
                codec.read_deliver(FORMS[version], body[:length])

    @pytest.mark.parametrize(
        ("stat", "state"),
        [
            ("DELIVRD", "delivered"),
            ("EXPIRED", "expired"),
            ("DELETED", "failed"),
            ("UNDELIV", "failed"),
            ("ACCEPTD", "enroute"),
            ("UNKNOWN", "unknown"),
            ("REJECTD", "failed"),
            ("delivrd", "delivered"),
            ("MA:0001", "unknown"),
            ("MB:0069", "failed"),
            ("IA:0001", "unknown"),
            ("IC:0001", "unknown"),
            ("ID:0076", "failed"),
            ("MK:0012", "failed"),
            ("CB:0005", "failed"),
            ("", "unknown"),
            ("SOMETHG", "unknown"),
        ],
    )
    def test_the_words_of_a_status_report(self, stat, state):
        """What an element of the network refused has failed; what it did not answer may have arrived."""
        assert codec.state_of(stat) == state

    @pytest.mark.parametrize("length", [0, 8, 10, 11, 13, 21])
    def test_an_answer_of_no_version_is_malformed(self, length):
        """Neither form has this length."""
        with pytest.raises(codec.MalformedPdu):
            codec.result_of(bytes(length))
        with pytest.raises(codec.MalformedPdu):
            codec.read_connect_resp(bytes(length + 9))

    def test_results_are_told_in_words(self):
        """Those of the tables, and others by their number."""
        assert in_words(8) == "too fast"
        assert in_words(77) == "result 77"
