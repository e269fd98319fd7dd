import pytest

from wrenlite.errors import ConfigError
from wrenlite.gallery.fractals.listing import parse
from wrenlite.gallery.fractals.lsystems import Fractal

HEADER = "name,iterations,size\n"
DRAGON = Fractal("dragon", 8, 200)


@pytest.mark.parametrize(
    "text",
    [
        HEADER + "dragon,8,200\n",
        HEADER + "dragon,8,200",
        "name,iterations,size\r\ndragon,8,200\r\n",
        "\ufeff" + HEADER + "dragon,8,200\n",
        "\n" + HEADER + "\n  \n,,\ndragon,8,200\n\n",
        "size,name,iterations\n200,dragon,8\n",
        "name, iterations , size\n dragon , 8 , 200\n",
        'name,iterations,size\n"dragon","8","200"\n',
    ],
)
def test_the_format_of_a_list_may_vary(text):
    assert parse(text.encode(), "list.csv") == [DRAGON]


def test_a_list_keeps_its_order():
    text = HEADER + "dragon,8,200\nlevy_c,10,64\ndragon,8,200\n"
    assert parse(text.encode(), "list.csv") == [DRAGON, Fractal("levy_c", 10, 64), DRAGON]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("dragon,8,200", "list.csv begins with 'dragon,8,200'; its first line must be name,iterations,size"),
        ("name;iterations;size", "begins with 'name;iterations;size'"),
        ("name,size", "list.csv has no column iterations;"),
        ("name", "has no column iterations or size"),
        ("name,iterations,size,hue,", "has more columns than it may: hue, ;"),
        ("name,iterations,size,size", "has more columns than it may: name, iterations, size, size"),
    ],
)
def test_a_wrong_header_is_refused(header, message):
    with pytest.raises(ConfigError, match=message):
        parse(f"{header}\ndragon,8,200\n".encode(), "list.csv")


@pytest.mark.parametrize("text", ["", "\n\n", HEADER])
def test_an_empty_list_is_refused(text):
    with pytest.raises(ConfigError, match="no fractals; it needs the header name,iterations,size"):
        parse(text.encode(), "list.csv")


def test_the_message_names_every_bad_row_by_its_line():
    text = HEADER + (
        "dragon,8,200\n"
        "dragoon,8,200\n"
        "\n"
        "dragon,eight,200\n"
        "dragon,8\n"
        "dragon,8,200,blue\n"
        "dragon,-1,200\n"
        "dragon,8,2\n"
        "dragon,8,99999999999999999999\n"
        "dragon,²,200\n"
    )
    with pytest.raises(ConfigError) as caught:
        parse(text.encode(), "list.csv")
    assert str(caught.value).splitlines() == [
        "list.csv has 8 bad rows:",
        "    line 3: no fractal is called 'dragoon': did you mean dragon or ter_dragon or twin_dragon?",
        "    line 5: iterations must be a whole number, not 'eight'",
        "    line 6: 2 cells instead of 3",
        "    line 7: 4 cells instead of 3",
        "    line 8: iterations must be a whole number from 0 to 64, not -1",
        "    line 9: size must be a whole number from 16 to 8192, not 2",
        "    line 10: size must be a whole number, not '99999999999999999999'",
        "    line 11: iterations must be a whole number, not '²'",
    ]


def test_a_name_like_no_other_gets_all_names():
    with pytest.raises(ConfigError, match="line 2: no fractal is called 'foo': there are board, box, cross"):
        parse((HEADER + "foo,8,200\n").encode(), "list.csv")


def test_the_message_lists_at_most_twenty_rows():
    with pytest.raises(ConfigError) as caught:
        parse((HEADER + "dragon,x,200\n" * 1000).encode(), "list.csv")
    lines = str(caught.value).splitlines()
    assert lines[0] == "list.csv has 1,000 bad rows:"
    assert lines[20].startswith("    line 21: ")
    assert lines[21:] == ["    and 980 more"]


def test_a_quote_that_is_not_closed_is_refused():
    with pytest.raises(ConfigError, match="has 1 bad row:\n    line 3: unexpected end of data"):
        parse((HEADER + 'dragon,8,200\n"dragon,8,200\n').encode(), "list.csv")


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (HEADER.encode() + "é,8,200".encode("latin-1"), "byte 21, in line 2, is 0xe9"),
        (b"\xef\xbb\xbf" + HEADER.encode() + b"\xff", "byte 24, in line 2, is 0xff"),
        ((HEADER + "dragon,8,200").encode("utf-16"), "byte 0, in line 1, is 0xff"),
    ],
)
def test_an_encoding_other_than_utf_8_is_refused(data, place):
    with pytest.raises(ConfigError, match=f"list.csv is not UTF-8: {place}"):
        parse(data, "list.csv")
