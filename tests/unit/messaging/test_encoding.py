"""Alphabets, segments and headers, against plain counting in octets and against smpplib's tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from smpplib import gsm

from services.messaging.gateways import encoding

ESC = 0x1B
BASIC = "".join(char for char in encoding.BASIC if char != "\x1b")
EXTENSION = "\f^{}\\[~]|€"


def texts(chars):
    """Return texts of runs of the same character, long enough for several segments."""
    runs = st.lists(st.tuples(chars, st.integers(1, 90)), max_size=12)
    return runs.map(lambda found: "".join(char * times for char, times in found))


TEXTS = texts(st.characters(codec="utf-8") | st.sampled_from("银行客户a€{😀𠮷🇨"))
LATIN = texts(st.sampled_from(BASIC + EXTENSION * 5))


def cut_octets(data, most, together):
    """Cut *data* greedily into pieces of *most* octets; *together* says that one before a place belongs to the next."""
    pieces = []
    while data:
        end = min(most, len(data))
        while end < len(data) and together(data, end):
            end -= 1
        pieces.append(data[:end])
        data = data[end:]
    return pieces or [b""]


def splits_pair(data, end):
    """Say whether UTF-16 *data* cut at *end* leaves half a character behind."""
    return end % 2 == 1 or 0xD8 <= data[end - 2] <= 0xDB


def splits_escape(data, end):
    """Say whether septets cut at *end* leave a lone escape behind."""
    return data[end - 1] == ESC


class TestTheBill:
    @pytest.mark.parametrize(
        ("text", "segments"),
        [
            ("", 1),
            ("银" * 70, 1),
            ("银" * 71, 2),
            ("银" * 134, 2),
            ("银" * 135, 3),
            ("a" * 70, 1),
            ("a" * 100, 2),
            ("a" * 160, 3),
            ("银" * 68 + "😀", 1),
            ("银" * 69 + "😀", 2),
            ("银" * 66 + "😀" + "银" * 66, 3),
            ("😀" * 66, 2),
            ("😀" * 67, 3),
        ],
    )
    def test_seventy_characters_are_one_and_beyond_it_each_67_are_one(
        self, text, segments
    ):
        """Latin letters count like Chinese ones; an emoji counts two, and one that does not fit moves on whole."""
        assert encoding.billed_segments(text) == segments

    @given(TEXTS)
    def test_any_text_is_billed_as_its_octets_say(self, text):
        """The bill equals a greedy cut of the UTF-16 octets into pieces of 134 that leaves no half character."""
        data = text.encode("utf-16-be")
        pieces = [data] if len(data) <= 140 else cut_octets(data, 134, splits_pair)

        assert encoding.billed_segments(text) == len(pieces)

    def test_half_a_pair_has_no_bill(self):
        """A lone surrogate cannot be sent, so it is an error and no number."""
        with pytest.raises(UnicodeEncodeError):
            encoding.billed_segments("\ud83d")


class TestTheAir:
    @given(LATIN)
    def test_the_default_alphabet_is_smpplibs(self, text):
        """Octets equal smpplib's table, except for the paragraph sign, which smpplib does not have."""
        plain = text.replace("§", "").replace("\f", "")

        assert encoding.encode(plain, "gsm7") == gsm.gsm_encode(plain)

    def test_two_signs_that_smpplib_lacks_are_where_the_specification_has_them(self):
        """The paragraph sign is 0x5F; the form feed is 0x0A behind the escape."""
        assert encoding.encode("§\f", "gsm7") == b"\x5f\x1b\x0a"

    @given(LATIN)
    def test_septets_read_back_as_the_text(self, text):
        """Encoding and decoding the default alphabet gives the text back."""
        assert encoding.decode_gsm7(encoding.encode(text, "gsm7")) == text

    @given(LATIN)
    def test_latin_text_counts_septets(self, text):
        """160 septets are one message, beyond it 153 each, and no escape is parted from its character."""
        data = gsm.gsm_encode(text.replace("§", "x").replace("\f", "^"))
        pieces = [data] if len(data) <= 160 else cut_octets(data, 153, splits_escape)

        assert encoding.count(text) == ("gsm7", len(data), len(pieces))

    @given(TEXTS.filter(lambda text: not set(text) <= set(BASIC + EXTENSION)))
    def test_one_foreign_character_makes_the_whole_text_ucs2(self, text):
        """A text beyond the default alphabet counts in 16-bit units, and as the bill does."""
        units = len(text.encode("utf-16-be")) // 2

        assert encoding.count(text) == ("ucs2", units, encoding.billed_segments(text))

    @given(
        st.one_of(TEXTS.map(lambda t: (t, "ucs2")), LATIN.map(lambda t: (t, "gsm7")))
    )
    def test_parts_carry_the_text_whole_and_fit_the_air(self, sample):
        """Each part fits 140 octets of air, can be read alone, is numbered from 1, and together they are the text."""
        text, kind = sample
        parts = encoding.joined_parts(text, kind, reference=7)
        read = [encoding.read_header(part) for part in parts]
        coding = {"gsm7": 0, "ucs2": 8}[kind]
        texts = [encoding.decode(data, coding) for _, data in read]

        assert [place for place, _ in read] == [
            (7, len(parts), number) for number in range(1, len(parts) + 1)
        ]
        assert all(len(data) <= (153 if kind == "gsm7" else 134) for _, data in read)
        assert [encoding.encode(each, kind) for each in texts] == [
            data for _, data in read
        ]
        assert "".join(texts) == text

    def test_255_parts_are_the_most(self):
        """A text of 255 full parts can be sent, one character more cannot."""
        text = "银" * (255 * 67)

        assert len(encoding.joined_parts(text, "ucs2", reference=0)) == 255
        with pytest.raises(ValueError, match="255"):
            encoding.joined_parts(text + "行", "ucs2", reference=0)

    def test_chinese_does_not_fit_the_default_alphabet(self):
        """A character outside the alphabet is an error, and not a question mark on the customer's screen."""
        with pytest.raises(ValueError, match="outside"):
            encoding.encode("银", "gsm7")

    @pytest.mark.parametrize(
        ("text", "kind", "long"),
        [
            ("银" * 70, "ucs2", False),
            ("银" * 71, "ucs2", True),
            ("a" * 160, "gsm7", False),
            ("a" * 159 + "€", "gsm7", True),
        ],
    )
    def test_a_text_is_long_when_it_does_not_stand_alone(self, text, kind, long):
        """70 units of UCS-2 or 160 septets stand alone."""
        assert encoding.is_long(encoding.encode(text, kind), kind) is long


class TestReading:
    @pytest.mark.parametrize(
        ("data", "coding", "text"),
        [
            (b"\x00\x1be\x1bA\x80", 0, "@€A\ufffd"),
            (b"R", 1, "R"),
            (b"\xe9", 3, "é"),
            ("退订".encode("utf-16-be"), 8, "退订"),
            ("退订".encode("gbk"), 15, "退订"),
            (b"\x90", 8, "\ufffd"),
            (b"R\x1b", 0, "R"),
        ],
    )
    def test_customers_texts_are_read_in_the_coding_they_come_in(
        self, data, coding, text
    ):
        """Default alphabet, ASCII, Latin-1, UCS-2 and GBK; an unknown escape reads as the plain character."""
        assert encoding.decode(data, coding) == text

    @given(st.binary(max_size=300), st.integers(0, 255))
    def test_nothing_a_customer_sends_is_an_exception(self, data, coding):
        """Any octets in any coding give a text that can be stored."""
        encoding.decode(data, coding).encode("utf-8")

    @given(st.binary(max_size=40))
    def test_any_header_leaves_the_octets_behind_it(self, data):
        """The text's octets are those behind the length that the first octet tells, whatever is in between."""
        place, body = encoding.read_header(data)

        assert body == (data[1 + data[0] :] if data else b"")
        assert place is None or 1 <= place.number <= place.total <= 255

    @pytest.mark.parametrize(
        ("header", "place"),
        [
            (b"\x05\x00\x03\x2a\x02\x01", (42, 2, 1)),
            (b"\x06\x08\x04\x01\x2a\x02\x02", (298, 2, 2)),
            (b"\x0b\x05\x04\x0b\x84\x23\xf0\x00\x03\x2a\x03\x03", (42, 3, 3)),
            (b"\x05\x00\x03\x2a\x02\x03", None),
            (b"\x05\x00\x03\x2a\x00\x00", None),
            (b"\x05\x00\x04\x2a\x02\x01", None),
            (b"\x00", None),
        ],
    )
    def test_headers_are_read_with_references_of_eight_and_sixteen_bits(
        self, header, place
    ):
        """Other elements are passed over; a header that contradicts itself joins nothing."""
        assert encoding.read_header(header + b"text") == (place, b"text")
