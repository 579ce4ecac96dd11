"""How figures and days are written, and what charts draw."""

import re
from datetime import timedelta
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from flask_babel import force_locale
from google.protobuf import timestamp_pb2
from google.type import date_pb2, money_pb2

from admin import charts, formats
from admin.fields import plain, read_field, write_field
from admin.icons import STROKES, icon


@pytest.fixture
def chinese(app):
    with app.test_request_context("/"), force_locale("zh_Hans_CN"):
        yield


@pytest.fixture
def english(app):
    with app.test_request_context("/"), force_locale("en"):
        yield


@pytest.mark.parametrize(
    ("cents", "zh", "en"),
    [
        (0, "0.00", "0.00"),
        (1_234_56, "1,234.56", "1.23k"),
        (-99_999_99, "-10.00万", "-100.00k"),
        (3_405_10_00_00, "3,405.10万", "34.05m"),
        (22_247_000_000_00, "222.47亿", "22.25bn"),
    ],
)
def test_money_is_short_in_both_languages(app, cents, zh, en):
    """万 and 亿 in Chinese, k, m and bn in English, two decimals always."""
    with app.test_request_context("/"):
        with force_locale("zh_Hans_CN"):
            chinese = formats.money(cents)
        with force_locale("en"):
            english = formats.money(cents)

    assert (chinese, english) == (zh, en)


def test_unset_money_is_a_dash_and_zero_is_not(chinese):
    """An amount that was never told is not an amount of nothing."""
    sent = money_pb2.Money(currency_code="CNY")

    assert formats.money(money_pb2.Money()) == formats.NONE
    assert formats.money(None) == formats.NONE
    assert formats.money(sent) == "0.00"
    assert formats.cents_of(money_pb2.Money(units=1, nanos=230_000_000)) == 123
    assert formats.amount(1_234_567) == "12,345.67"
    assert formats.count(12345) == "12,345"


@pytest.mark.parametrize(
    ("now", "before", "sign", "word"),
    [
        (110, 100, "▲", "上升"),
        (90, 100, "▼", "下降"),
        (100_00, 100_01, "＝", "持平"),
        (-90, -100, "▲", "上升"),
    ],
)
def test_a_change_has_sign_and_word_beside_its_colour(chinese, now, before, sign, word):
    """Colour is never the only difference."""
    shown = formats.delta(now, before)

    assert sign in shown
    assert word in shown


def test_nothing_to_compare_with_is_a_dash(chinese):
    """There is no per cent of nothing."""
    assert formats.delta(5, 0) == formats.delta(None, 5) == formats.NONE


@pytest.mark.parametrize(
    ("away", "zh", "en"),
    [
        (0, "今天", "today"),
        (-1, "1天前", "1 day ago"),
        (-4, "4天前", "4 days ago"),
        (1, "1天后", "in 1 day"),
        (20, "20天后", "in 20 days"),
    ],
)
def test_days_are_told_by_their_distance(app, away, zh, en):
    """Words for how far away, in the person's language."""
    shown = []
    for locale in ("zh_Hans_CN", "en"):
        with app.test_request_context("/"), force_locale(locale):
            shown.append(formats.day(formats.today() + timedelta(days=away)))

    assert zh in shown[0]
    assert en in shown[1]


def test_a_day_to_be_kept_is_late_as_soon_as_it_is_past(chinese):
    """A plan of yesterday is late, a contact of yesterday is not; one of 61 days ago is."""
    yesterday = formats.today() - timedelta(days=1)
    long_ago = formats.today() - timedelta(days=61)

    assert "late" in formats.day(yesterday, due=True)
    assert "late" not in formats.day(yesterday)
    assert "late" in formats.day(long_ago)
    assert formats.day(date_pb2.Date()) == formats.NONE


def test_moments_are_told_in_the_portals_zone(chinese):
    """Midnight of the epoch is eight in the morning in Shanghai."""
    assert formats.moment(timestamp_pb2.Timestamp(seconds=86400)) == "1970-01-02 08:00"
    assert formats.moment(timestamp_pb2.Timestamp()) == formats.NONE


def test_chips_escape_and_refuse_unknown_tones(chinese):
    """A chip shows text, never markup."""
    assert "&lt;b&gt;" in formats.chip("<b>", "warn")
    assert "钻石" in formats.tier(4)
    assert formats.tier(0) == formats.NONE
    with pytest.raises(ValueError, match="no tone"):
        formats.chip("x", "loud")


def test_posts_have_names(chinese):
    """A post is shown by its name; an unknown one as it is."""
    assert formats.role("BRANCH_MANAGER") == "网点负责人"
    assert formats.role("NEW") == "NEW"


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (3, 3), (0, 0), (-7, 950), (21250, 22311)]
)
def test_marks_of_an_axis_are_even_and_cover_the_figures(low, high):
    """Ascending, equally far apart, around the figures, few enough to read."""
    marks = charts.ticks(low, high)
    steps = {round(after - before, 6) for before, after in pairwise(marks)}

    assert marks[0] <= low <= high <= marks[-1]
    assert len(steps) == 1
    assert 2 <= len(marks) <= 7


def test_charts_are_well_formed_and_escape_their_words():
    """Every drawing parses as XML, has words for those who do not see it, and shows names as text."""
    drawn = [
        charts.area([1, 5, 3], ["<a>", "b", "c"], title="T", write=lambda v: f"<{v}>"),
        charts.columns(["<x>", "y"], [5, 0], [3, 9], title="T"),
        charts.spark([3, 3, 3]),
        charts.bar(3, 0),
        charts.bar(30, 10, low=True),
        *map(icon, STROKES),
    ]
    trees = [ET.fromstring(str(picture)) for picture in drawn]

    assert trees[0].get("aria-label") == "T: <a> <1>, c <3>"
    assert trees[4].findall("rect")[1].get("width") == "100.0"
    assert all("nan" not in str(picture) for picture in drawn)
    assert not re.search(r"style=|<script", "".join(map(str, drawn)))
    assert charts.spark([1]) == ""


def test_fields_travel_between_forms_and_messages():
    """Days, lists, numbers and texts come back as they went; empty unsets."""
    request = date_pb2.Date()
    write_field(request, "year", "2026")
    written = request.year
    write_field(request, "year", "")

    assert (written, request.year) == (2026, 0)
    assert read_field(request, "month") == 0
    assert plain(None) == plain("") == plain(0) == plain([]) == ""
    assert plain([1, "a"]) == [1, "a"]
