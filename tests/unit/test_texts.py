"""Counted things in messages."""

import pytest

from wrenlite.cost import Cost
from wrenlite.errors import ConfigError
from wrenlite.gallery.fractals.listing import parse
from wrenlite.texts import counted


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
