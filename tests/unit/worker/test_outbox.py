"""The outcomes that a worker gathers: what the parent reads is what was put there, whenever it looks."""

import array
import os

import pytest

from wrenlite.protocol import Limits, Outcome, Packed, Request, Stored
from wrenlite.serialize.replies import outcomes_from_columns
from wrenlite.worker.outbox import Outbox, OutboxReader

VALUES = [1, -(2**70), 2.5, float("inf"), "", "é\ud800", b"", b"x" * 1000, True, False, 3 + 4j, Packed(b"N.")]


@pytest.fixture
def sides():
    reader = OutboxReader()
    outbox = Outbox(os.dup(reader.fileno()))
    reader.expect_request()
    outbox.begin_request()
    yield outbox, reader
    reader.close()


def request(tasks, **limits):
    return Request("job", "invocation", "code", None, tasks, [], {}, Limits(**limits))


def outcome(task, value):
    return Outcome(task, True, value, 1.7e9 + task, 0.001 * task, 0.0005, "")


def test_what_is_put_into_it_is_read_from_both_sides(sides):
    outbox, reader = sides
    tasks = range(5, 5 + len(VALUES))
    put = [outcome(task, value) for task, value in zip(tasks, VALUES, strict=True)]
    assert (reader.read(), outbox.columns(), reader.finished()) == (None, None, 0)
    for number, each in enumerate(put, 1):
        assert outbox.put(each)
        assert reader.finished() == number
        assert outcomes_from_columns(request(tasks), 0, *reader.read()) == put[:number]
    assert reader.read() == outbox.columns()
    kinds = [type(each.packed) for each in outcomes_from_columns(request(tasks), 0, *reader.read())]
    assert kinds == list(map(type, VALUES))


def test_outcomes_that_were_received_before_are_dropped(sides):
    outbox, reader = sides
    put = [outcome(task, task) for task in range(8)]
    outbox.begin(3)
    for each in put[3:]:
        outbox.put(each)
    for received in (3, 4, 7, 8):
        assert outcomes_from_columns(request(range(8)), received, *reader.read()) == put[received:]
    with pytest.raises(ValueError, match="it has the outcomes 3 to 8 of 8 tasks, and 2 have ended"):
        outcomes_from_columns(request(range(8)), 2, *reader.read())


def test_what_is_left_of_an_earlier_request_is_not_taken(sides):
    outbox, reader = sides
    outbox.put(outcome(0, "earlier"))
    reader.expect_request()  # the worker has sent everything, and has not yet emptied its outbox
    assert (reader.read(), reader.finished()) == (None, 0)
    outbox.begin_request()
    assert (reader.read(), reader.finished()) == (None, 0)
    outbox.put(outcome(0, "later"))
    assert outcomes_from_columns(request(range(2)), 0, *reader.read()) == [outcome(0, "later")]


def test_what_it_cannot_hold_is_refused(sides):
    outbox, reader = sides
    fine = outcome(0, 1)
    for other in (
        fine._replace(ok=False, packed=Packed(b"N.")),
        fine._replace(output="printed"),
        fine._replace(records=b"logged"),
        fine._replace(packed=Packed(b"x" * 5000)),
        fine._replace(packed=Packed(b"x", (bytearray(10),))),
        fine._replace(packed=Stored("key", "0" * 64, 1)),
    ):
        assert not outbox.put(other)
    assert reader.read() is None


@pytest.mark.parametrize("value", [7, "x" * 1000])
def test_a_full_one_keeps_what_it_has(sides, value):
    outbox, reader = sides
    count = 0
    while outbox.put(outcome(count, value)):
        count += 1
    found = outcomes_from_columns(request(range(count + 1)), 0, *reader.read())
    assert [each.packed for each in found] == [value] * count
    assert count > 200
    outbox.begin(count)
    assert reader.read() is None
    assert outbox.put(outcome(count, value))
    assert len(outcomes_from_columns(request(range(count + 1)), count, *reader.read())) == 1


ROW = array.array("d", [1.0, 2.0, 3.0, 4.0])


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ((0, ROW.tobytes(), b"garbage"), "another form"),
        ((0, b"123", b"\x80\x03](K\x01e."), "another form"),
        (("0", ROW.tobytes(), b"\x80\x03](K\x01e."), "another form"),
        ((0, ROW.tobytes(), b"\x80\x03](K\x01K\x02e."), "it has the outcomes"),
        ((0, ROW.tobytes(), b"\x80\x03K\x01."), "it has the outcomes"),
        ((5, ROW.tobytes(), b"\x80\x03](K\x01e."), "it has the outcomes"),
        ((0, array.array("d", [float("nan")] * 4).tobytes(), b"\x80\x03](K\x01e."), "no times"),
        ((0, ROW.tobytes(), b"\x80\x03](Ne."), "wrong type"),
        ((0, ROW.tobytes(), b"\x80\x03](K\x01K\x02K\x03\x87e."), "wrong type"),
    ],
)
def test_columns_of_another_form_are_refused(columns, reason):
    with pytest.raises(ValueError, match=reason):
        outcomes_from_columns(request(range(1)), 0, *columns)


def test_columns_with_a_value_that_should_have_been_stored_are_refused():
    columns = 0, 0, ROW.tobytes(), b"\x80\x03](K\x01e."
    assert len(outcomes_from_columns(request(range(1), value_bytes=8), *columns)) == 1
    with pytest.raises(ValueError, match="should have been stored"):
        outcomes_from_columns(request(range(1), value_bytes=7), *columns)
