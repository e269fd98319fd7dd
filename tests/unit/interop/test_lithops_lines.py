"""Objects of Lithops' kind that are divided at the ends of lines."""

import io

import hypothesis
from hypothesis import strategies as st

from wrenlite.interop.lithops_objects import DataObject, lines_between
from wrenlite.storage.base import Span


@hypothesis.given(
    st.lists(st.binary(max_size=6).filter(lambda line: b"\n" not in line), max_size=12),
    st.integers(1, 20),
    st.booleans(),
)
def test_each_line_is_in_one_part(lines, size, ends):
    text = b"\n".join(lines) + (b"\n" if ends else b"")
    whole = DataObject(None, len(text), key="k")
    parts = whole.divided(size, None, "\n")

    def read(span: Span):
        assert span.start + span.length <= len(text)
        return text[span.start : span.start + span.length]

    cut = [
        lines_between(read, first, last + 1, len(text)) if (part.data_byte_range) else text
        for part in parts
        for first, last in [part.data_byte_range or (0, 0)]
    ]
    assert b"".join(cut) == text
    assert [line for part in cut for line in io.BytesIO(part)] == list(io.BytesIO(text))
