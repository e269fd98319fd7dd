"""Cutting objects at newlines, and patterns of keys."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wrenlite.data_objects.cutting import literal_start, matcher, spans, whole_lines

LINES = st.lists(
    st.tuples(st.binary(max_size=12), st.sampled_from([b"\n", b"\r\n", b"\r", b""])), max_size=12
)


def parts_of(data, chunk_bytes):
    def read(span):
        assert 0 <= span.start < span.start + span.length <= len(data)  # no request for nothing
        return data[span.start : span.start + span.length]

    return [whole_lines(read, span, len(data)) for span in spans(len(data), chunk_bytes)]


@given(LINES, st.integers(1, 40))
def test_parts_are_disjoint_and_complete(lines, chunk_bytes):
    data = b"".join(part for line in lines for part in line)
    parts = parts_of(data, chunk_bytes)
    assert b"".join(parts) == data
    assert all(part.endswith(b"\n") for part in parts[:-1] if part and not data.endswith(part))
    assert [line for part in parts for line in re.findall(rb"[^\n]*\n|[^\n]+\Z", part)] == re.findall(
        rb"[^\n]*\n|[^\n]+\Z", data
    )


@given(st.integers(0, 300), st.integers(1, 50))
def test_a_line_longer_than_its_chunk_is_in_one_part(length, chunk_bytes):
    data = b"a\n" + b"x" * length + b"\nb"
    parts = parts_of(data, chunk_bytes)
    assert b"".join(parts) == data
    assert sum(b"x" in part for part in parts) == (length > 0)


def test_a_long_line_is_read_in_growing_steps():
    data = b"x" * 3_000_000 + b"\n"
    sizes = []

    def read(span):
        sizes.append(span.length)
        return data[span.start : span.start + span.length]

    [first, *_] = spans(len(data), 1000)
    assert whole_lines(read, first, len(data)) == data
    assert len(sizes) < 9


def test_an_object_that_became_shorter_ends_where_it_ends():
    data = b"one\ntwo"
    assert whole_lines(lambda span: data[span.start :][: span.length], next(spans(99, 6)), 99) == data


def test_an_empty_object_has_no_parts():
    assert list(spans(0, 10)) == []


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("a/*.csv", ["a/b.csv", "a/.csv"], ["a/b/c.csv", "b.csv", "a/b.csvx"]),
        ("a/**/*.csv", ["a/b.csv", "a/b/c/d.csv"], ["ab.csv", "a/b/c"]),
        ("a/**", ["a/b", "a/b/c"], ["a", "ab"]),
        ("part-?[0-3].txt", ["part-x2.txt"], ["part-x4.txt", "part-/2.txt"]),
        ("[!a]b", ["cb"], ["ab", "/b"]),
        ("[]x]", ["]", "x"], ["[", "y"]),
        ("[[]a", ["[a"], ["a"]),
        ("a.b", ["a.b", "a.b/c"], ["axb", "a.bc"]),
        ("folder/", ["folder/x", "folder/x/y"], ["folderx"]),
        ("", ["x", "x/y"], []),
        ("a[b", ["a[b"], ["ab"]),
        ("[a^]", ["^", "a"], ["b"]),
        ("[b-a]x", [], ["ax", "bx"]),
        ("[!b-a]", ["a", "-"], ["/", "ab"]),
        ("[]", [], ["a"]),
        ("[!]", ["!"], ["a"]),
        ("[a-]", ["a", "-"], ["b"]),
    ],
)
def test_patterns(pattern, yes, no):
    matches = matcher(pattern)
    assert [key for key in yes if not matches(key)] == []
    assert [key for key in no if matches(key)] == []
    assert all(key.startswith(literal_start(pattern.rstrip("/"))) for key in yes)


@settings(max_examples=1000)
@given(st.text(alphabet="a*?[]!/^-\\.&|~", max_size=12))
def test_every_pattern_can_be_used(pattern):
    matcher(pattern)("a/b")
