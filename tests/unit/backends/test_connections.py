"""Connections to Lambda that fail: what is said, and how long a lost reply is searched."""

import errno
import queue
import time

import pytest

from wrenlite.backends.aws import payload
from wrenlite.backends.aws.invoker import LambdaInvoker, ReplyTimeouts, time_since_boot
from wrenlite.backends.aws.responses import Target
from wrenlite.backends.aws.transport import RequestNotSent, ResponseLost
from wrenlite.errors import NotFound
from wrenlite.protocol import Ended, Limits, Lost, Outcome, Packed, Request, Usage

REQUEST = Request("job", "i", "0" * 64, None, [0], [], {}, Limits())
LOST = ResponseLost("gone")
OUTCOME = Outcome(0, True, Packed(b"N."), 0.0, 0.0, 0.0, "")
REPLY = payload.add_mac(REQUEST, payload.encode_body([OUTCOME], Ended(None, Usage(), ())))


class BrokenTransport:
    """Fails with the same error for every request, after something has happened."""

    def __init__(self, happens, error):
        self.happens = happens
        self.error = error

    def post(self, *_):
        self.happens()
        raise self.error from self.error.__cause__

    def close(self):
        pass


class LateStore:
    """Has a reply from the given look on."""

    def __init__(self, there_at):
        self.looks = 0
        self.there_at = there_at

    def get(self, key):
        self.looks += 1
        if self.looks < self.there_at:
            raise NotFound(key)
        return REPLY


def end_of(store, happens=lambda: None, clock=time_since_boot, error=LOST):
    """Return the end of a request that fails with an error."""
    target = Target("wrenlite", "us-east-1", "arn", 512, 20.0)
    location = payload.StoreLocation("bucket", "wrenlite", None)
    timeouts = ReplyTimeouts(search_s=15.0, search_interval_s=0.001)
    transport = BrokenTransport(happens, error)
    invoker = LambdaInvoker(transport, None, store, location, target, 1, timeouts, clock)
    ends = queue.SimpleQueue()
    invoker.start(REQUEST, lambda outcomes, ended=None: ended and ends.put(ended))
    ended = ends.get(timeout=30)
    invoker.close()
    return ended


def test_a_wall_clock_that_is_set_does_not_end_the_search(monkeypatch):
    wall = time.time

    def set_clock():
        monkeypatch.setattr(time, "time", lambda: wall() + 10_000)

    assert end_of(LateStore(there_at=5), set_clock).cause is None


def test_after_a_sleep_the_reply_is_searched_until_the_network_is_back():
    now = 0.0

    def clock():
        nonlocal now
        now += 0.1
        return now

    def sleep():
        nonlocal now
        now += 10_000

    assert end_of(LateStore(there_at=5), sleep, clock).cause is None
    assert isinstance(end_of(LateStore(there_at=1_000), sleep, clock).cause, Lost)


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="only Linux has this clock")
def test_the_clock_of_remote_work_counts_sleep():
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= time_since_boot() <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_a_program_without_free_descriptors_is_told_so():
    error = RequestNotSent("[Errno 24] Too many open files")
    error.__cause__ = OSError(errno.EMFILE, "Too many open files")
    cause = end_of(LateStore(there_at=1), error=error).cause
    assert "has as many files and connections open as it may" in str(cause.error)
    assert "online" not in str(cause.error)
