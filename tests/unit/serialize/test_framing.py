"""Frames of messages on a real pipe."""

import os
import pickle
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrenlite.protocol import Packed
from wrenlite.serialize import framing


def sent_through_a_pipe(messages):
    """Send messages through a real pipe from another thread; return the received ones."""
    read_end, write_end = os.pipe()

    def write():
        for message in messages:
            framing.write(write_end, framing.frame(message))
        os.close(write_end)

    writer = threading.Thread(target=write)
    writer.start()
    reader, received = framing.Reader(read_end), []
    while len(received) < len(messages):
        received += reader.read()
    with pytest.raises(EOFError):
        reader.read()
    writer.join()
    os.close(read_end)
    return received


@given(st.lists(st.lists(st.integers(0, 300_000), max_size=4), max_size=4))
def test_messages_of_any_size_arrive_in_order(sizes):
    messages = [
        (number, [pickle.PickleBuffer(bytes([number]) * size) for size in each])
        for number, each in enumerate(sizes)
    ]
    for (number, buffers), each in zip(sent_through_a_pipe(messages), sizes, strict=True):
        assert [bytes(buffer) for buffer in buffers] == [bytes([number]) * size for size in each]


def test_large_buffers_stay_outside_the_pickle():
    packed = Packed(b"x" * 1_000_000, (bytearray(2_000_000), b"small"))
    head, *buffers = framing.frame(framing.to_wire(packed))
    assert len(head) < 1000
    assert [buffer.nbytes for buffer in buffers] == [1_000_000, 2_000_000, 5]
    assert Packed(*sent_through_a_pipe([framing.to_wire(packed)])[0]).size == packed.size


def test_a_small_frame_equals_a_frame():
    message = (1, "two", [3.0])
    assert framing.small_frame(message) == bytes(framing.frame(message)[0])


def test_a_message_may_have_more_buffers_than_one_system_call_takes():
    (received,) = sent_through_a_pipe([[pickle.PickleBuffer(b"ab") for _ in range(5000)]])
    assert b"".join(map(bytes, received)) == b"ab" * 5000
