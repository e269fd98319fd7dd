"""Connections to Lambda that fail: what is said, and how long a lost reply is searched."""

import errno
import queue
import time
from itertools import pairwise

import pytest

from wrenlite.backends.aws import payload
from wrenlite.backends.aws.invoker import LambdaInvoker, time_since_boot
from wrenlite.backends.aws.lost_reply import REPLY_TIMEOUTS, ReplyTimeouts, Seen, first_look_s, next_look_s
from wrenlite.backends.aws.reply_copy import RUNS
from wrenlite.backends.aws.responses import Target
from wrenlite.backends.aws.transport import RequestNotSent, ResponseLost
from wrenlite.errors import AccessDenied, NotFound, StoreError
from wrenlite.protocol import Ended, Limits, Lost, Outcome, Packed, Request, Usage

REQUEST = Request("job", "i", "0" * 64, None, [0], [], {}, Limits())
LOST = ResponseLost("gone")
OUTCOME = Outcome(0, True, Packed(b"N."), 0.0, 0.0, 0.0, "")
NOTHING = NotFound("nothing")
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
    """Has a reply from the given look on, and something else before."""

    def __init__(self, there_at, before=NOTHING):
        self.looks = 0
        self.there_at = there_at
        self.before = before

    def get(self, key):
        self.looks += 1
        if self.looks >= self.there_at:
            return REPLY
        if isinstance(self.before, Exception):
            raise self.before
        return payload.add_mac(REQUEST, self.before)


def end_of(store, happens=lambda: None, clock=time_since_boot, error=LOST):
    """Return the end of a request that fails with an error."""
    target = Target("wrenlite", "wrenlite:1", "us-east-1", "arn", 512, 20.0)
    location = payload.StoreLocation("bucket", "wrenlite", None)
    timeouts = ReplyTimeouts(first_pause_s=0.001, longest_pause_s=0.001)
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

    unreachable = StoreError("cannot reach s3://bucket")
    assert end_of(LateStore(5, unreachable), sleep, clock).cause is None
    assert isinstance(end_of(LateStore(1_000, unreachable), sleep, clock).cause, Lost)


def ticking():
    """Return a clock that goes on by a second with each look at it."""
    now = 0.0

    def clock():
        nonlocal now
        now += 1.0
        return now

    return clock


def test_a_batch_that_left_nothing_in_the_store_runs_again_soon():
    store = LateStore(1_000)
    ended = end_of(store, clock=ticking())
    assert isinstance(ended.cause, Lost)
    assert store.looks == 29
    assert ended.usage == Usage(requests=1, unanswered=1, uncertain_gb_s=0.5 * 20.0, store_gets=29)


def test_a_batch_that_runs_is_searched_until_its_time_limit_has_passed():
    store = LateStore(1_000, RUNS)
    ended = end_of(store, clock=ticking())
    assert isinstance(ended.cause, Lost)
    assert store.looks == 20 + 30 - 1
    assert end_of(LateStore(40, RUNS), clock=ticking()).cause is None


def test_a_program_that_may_not_read_the_store_learns_nothing_from_waiting():
    store = LateStore(1_000, AccessDenied("s3:GetObject"))
    assert isinstance(end_of(store, clock=ticking()).cause, Lost)
    assert store.looks == 29


def looks(seen, limit_s, lost_s=3.0):
    """Return the times of all looks for a reply that does not come."""
    now, times = lost_s, []
    wait_s = first_look_s(now, 10.0, REPLY_TIMEOUTS)
    while wait_s is not None:
        now += wait_s
        times.append(now)
        wait_s = next_look_s(seen, now, lost_s, limit_s, REPLY_TIMEOUTS)
    return times


def test_looks_for_a_reply_are_few_and_none_comes_much_too_late():
    times = looks(Seen.RUNS, 900.0)
    assert times[0] == 10.0, "before, no batch leaves anything in the store"
    assert times[-1] == 930.0
    assert len(times) <= 60
    assert all(later - time <= max(1.0, 0.1 * time + 1e-9) for time, later in pairwise(times))
    assert len(looks(Seen.NOTHING, 900.0)) <= 14


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
