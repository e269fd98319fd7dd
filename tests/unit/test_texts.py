"""Counted things, and foreign text in messages."""

import pytest

from wrenlite.cost import Cost
from wrenlite.errors import ConfigError
from wrenlite.gallery.fractals.listing import parse
from wrenlite.texts import counted, printable


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 tasks"), (1, "1 task"), (2_000, "2,000 tasks"), (1.0, "1 task"), (0.5, "0.5 tasks")],
)
def test_one_is_singular(number, text):
    assert counted(number, "task") == text


def test_messages_count_in_words():
    assert str(Cost(dollars=0.5, requests=1, gb_s=2)) == "about $0.500000 (1 request, 2.00 GB-s)"
    with pytest.raises(ConfigError, match="line 2: 1 cell instead of 3"):
        parse(b"name,iterations,size\ndragon\n", "list.csv")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m and \x9b4mline\x9b0m", "red and line"),
        ("\x1b]0;a title\x07here \x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\", "here link"),
        ("\x1b[2J\x1b[Hcleared\x1b(B\x1bc", "cleared"),
        ("10 %\r20 %\r\nend\n\ttab", "10 %\n20 %\nend\n\ttab"),
        ("bell\x07 nul\0 cut off\x1b", "bell\\x07 nul\\x00 cut off\\x1b"),
        ("abc\u202egnp.exe", "abc\\u202egnp.exe"),
        ("é 植 👩‍🔬\xa0…", "é 植 👩‍🔬\xa0…"),
    ],
)
def test_foreign_text_cannot_drive_a_terminal(text, shown):
    assert printable(text) == shown
