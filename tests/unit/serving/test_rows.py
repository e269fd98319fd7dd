"""Rows of CSV files, and the events that have them."""

import contextlib
import pickle
from dataclasses import dataclass
from typing import Literal, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrenlite import BadInput, NotFound
from wrenlite.serving.events import Rejected, object_event, read_rows


@dataclass
class Order:
    name: str
    radius: float = 1.0
    palette: Literal["Hippi", "Vivid"] = "Hippi"
    step: int | None = None

    def __post_init__(self):
        if self.radius <= 0:
            raise ValueError(f"radius is {self.radius}: it must be above 0")


def refused(data, of=None):
    with pytest.raises(BadInput) as caught:
        read_rows(data, of, "l.csv")
    return caught.value.line, str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"name,radius\na,1\nb,2\n",
        b"\xef\xbb\xbfname,radius\r\na,1\r\nb,2",
        b"\n\nname, radius\n\na, 1\n  ,  \nb, 2\n\n",
        b"name;radius\na;1\nb;2\n",
        b"name\tradius\na\t1\nb\t2\n",
        b'"name","radius"\n"a","1"\n"b","2"\n',
    ],
)
def test_rows_are_dicts_of_texts(data):
    found = read_rows(data, None, "l.csv")
    assert found == [{"name": "a", "radius": "1"}, {"name": "b", "radius": "2"}]
    assert found.rejected == []


def test_cells_may_have_separators_quotes_and_lines():
    data = 'name,note\n"a,b","""é""\n2"\nc,d;e\n'.encode()
    assert read_rows(data, None, "x") == [{"name": "a,b", "note": '"é"\n2'}, {"name": "c", "note": "d;e"}]


def test_rows_become_what_is_asked_for_and_bad_ones_are_left_out():
    data = (
        b"name,radius,palette,step\n"
        b"a,0.5,Vivid,3\n"
        b"b,,,\n"
        b"c,wide,,\n"
        b"d,-1,,\n"
        b"e,1\n"
        b'"f\ng",1,Vivd,\n'
        b",1,,\n"
        b"h,1,,1e3\n"
    )
    found = read_rows(data, Order, "l.csv")
    assert found == [Order("a", 0.5, "Vivid", 3), Order("b")]
    assert found.rejected == [
        Rejected(4, "radius", "radius must be a number such as 0.5, not 'wide'"),
        Rejected(5, "radius", "radius is -1.0: it must be above 0"),
        Rejected(6, None, "it has 2 cells, and the first line has 4"),
        Rejected(7, "palette", 'palette must be one of "Hippi", "Vivid", not \'Vivd\''),
        Rejected(9, "name", "name is missing"),
        Rejected(10, "step", "step must be a whole number, not '1e3'"),
    ]


def test_rows_become_named_tuples_or_what_a_function_returns():
    class Pair(NamedTuple):
        a: int
        b: str | None

    def doubled(a: int, b: float = 1):
        return a * 2 * b

    assert read_rows(b"b,a\nx,1\n,2\n", Pair, "x") == [Pair(1, "x"), Pair(2, None)]
    assert read_rows(b"a\n1\n2\n", Pair, "x") == [Pair(1, None), Pair(2, None)]
    assert read_rows(b"a\n1\n2\n", doubled, "x") == [2, 4]


@pytest.mark.parametrize(
    ("data", "of", "line", "text"),
    [
        (b"", None, 1, "l.csv is empty; its first line must have the names of columns"),
        (b"\n \n", None, 1, "l.csv is empty; its first line must have the names of columns"),
        (b"a,b\n", None, None, "l.csv has no rows below the names of columns"),
        (
            b"a,b\n1\n",
            None,
            None,
            "l.csv has no row that can be used; the first, in line 2: it has 1 cell, "
            "and the first line has 2",
        ),
        (b"\na,,b\n1,2,3\n", None, 2, "l.csv: line 2: column 2 has no name"),
        (b"a,b,a\n1,2,3\n", None, 1, "l.csv: line 1: two columns have the name 'a'"),
        (b"a,b\n1,2\n\xe9,3\n", None, 3, "l.csv is not UTF-8: byte 8, in line 3, is 0xe9; save it as UTF-8"),
        (
            "a,b\n1,2\n".encode("utf-16"),
            None,
            1,
            "l.csv is not UTF-8: byte 0, in line 1, is 0xff; save it as UTF-8",
        ),
        (b'a,b\n1,2\n3,"4\n5,6\n', None, 3, "l.csv: line 3: unexpected end of data"),
        (b'a,b\n1,"2"x\n', None, 2, "l.csv: line 2: ',' expected after '\"'"),
        (b"a,b\n1," + b"x" * 200_000, None, 2, "l.csv: line 2: field larger than field limit (131072)"),
        (
            b"name,raduis\na,1\n",
            Order,
            1,
            "l.csv: line 1: there can be no column 'raduis': did you mean radius?",
        ),
        (b"radius\n1\n", Order, 1, "l.csv: line 1: there is no column 'name'"),
        (
            b"name,radius\na,x\n",
            Order,
            None,
            "l.csv has no row that can be used; the first, in line 2: radius must "
            "be a number such as 0.5, not 'x'",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(data, of, line, text):
    assert refused(data, of) == (line, text)


@given(st.binary(max_size=300))
def test_any_file_has_rows_or_is_bad_input(data):
    for of in (None, Order):
        with contextlib.suppress(BadInput):
            assert len(read_rows(data, of, "l.csv")) > 0


@pytest.fixture
def event(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "list.csv").write_text("name,radius\na,1\nb,x\n")
    return object_event({"bucket": str(tmp_path), "key": "in/list.csv", "etag": "0" * 64, "size": 20})


def test_an_event_opens_the_file_that_it_is_about(event, tmp_path):
    assert (event.bucket, event.key, event.version, event.size) == (str(tmp_path), "in/list.csv", None, 20)
    assert event.read() == b"name,radius\na,1\nb,x\n"
    with event.open() as file:
        assert file.readline() == b"name,radius\n"
    with event.open("r") as file:
        assert list(file) == ["name,radius\n", "a,1\n", "b,x\n"]
    assert "list.csv" in repr(event)


def test_an_event_keeps_the_rows_that_were_left_out(event):
    rows = event.rows(of=Order)
    assert rows == [Order("a", 1.0)]
    assert (
        event.rejected
        == rows.rejected
        == [Rejected(3, "radius", "radius must be a number such as 0.5, not 'x'")]
    )
    event.rows(of=Order)
    assert len(event.rejected) == 1


def test_an_event_and_its_rows_can_be_sent_to_tasks(event):
    assert pickle.loads(pickle.dumps(event)).read() == event.read()
    rows = pickle.loads(pickle.dumps(event.rows(of=Order)))
    assert (rows, len(rows.rejected)) == ([Order("a", 1.0)], 1)


def test_a_file_that_is_gone_is_not_found(event, tmp_path):
    (tmp_path / "in" / "list.csv").unlink()
    with pytest.raises(NotFound):
        event.rows()
