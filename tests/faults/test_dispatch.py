"""The dispatcher with an invoker whose invocations end in random ways and in random order."""

import contextlib
import queue
import random
import threading
from collections import Counter
from concurrent.futures import CancelledError
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wrenlite
from wrenlite.backends.base import Backend, BatchingPolicy
from wrenlite.errors import (
    ConnectionLost,
    IntegrityError,
    NotFound,
    ServiceUnavailable,
    WorkerDied,
    WorkerStartError,
)
from wrenlite.job import Job
from wrenlite.protocol import Died, Ended, Lost, Missing, Outcome, Packed, Refused, Throttled, Usage
from wrenlite.scheduler.dispatcher import Dispatcher
from wrenlite.scheduler.options import JobOptions
from wrenlite.scheduler.pending import PendingJob
from wrenlite.scheduler.retry import RetryRule
from wrenlite.serialize.class_table import ClassTable
from wrenlite.serialize.exceptions import pack_failure
from wrenlite.serialize.pickling import Packer
from wrenlite.storage.uploads import JobCode, Upload

WHOLE_FAILURES = {
    "throttle": Throttled(ServiceUnavailable("too many"), concurrency=True),
    "busy": Throttled(ServiceUnavailable("too often")),
    "down": Throttled(ServiceUnavailable("down"), waits_without_limit=False),
    "missing": Missing("code/code"),
    "damaged": Missing("code/code", damaged=True),
    "no items": Missing("args/job-1/abc"),
    "lost": Lost(ConnectionLost("gone")),
    "crash": Died(WorkerDied("the sandbox ended")),
}
"""The ways in which a request may fail as a whole."""
PACK = Packer(ClassTable(grows=False), snapshot=False)
STORED = JobCode("code")


FINAL = (
    ValueError,
    wrenlite.WorkerDied,
    WorkerStartError,
    ConnectionLost,
    NotFound,
    IntegrityError,
    ServiceUnavailable,
)
"""The errors with which a task may end."""


@dataclass
class Invocation:
    """An invocation whose progress the test decides."""

    request: object
    emit: object
    position: int = 0
    cancelled: bool = False

    def cancel(self):
        self.cancelled = True
        return True

    def abandon(self, tasks):
        pass

    def running(self):
        return ()

    def output(self):
        return None

    def play(self, move, runs):
        """Make one move, such as the end of a task; return whether the invocation has ended."""
        tasks = self.request.tasks
        if self.cancelled:
            self.emit((), Ended(Died(WorkerDied("killed")), Usage(), tasks[self.position + 1 :]))
            return True
        if self.position == len(tasks):
            self.emit((), Ended(None, Usage(busy_s=1e-4), ()))
            return True
        if move == "stop" and self.position:
            self.emit((), Ended(None, Usage(busy_s=1e-4), tasks[self.position :]))
            return True
        if move == "refuse":
            self.emit((), Ended(Refused(WorkerStartError("no")), Usage(), tasks[self.position :]))
            return True
        if move in WHOLE_FAILURES and not self.position:  # no task ran, or it is unknown which
            if move == "crash" and len(tasks) == 1:
                runs[tasks[0]] += 1
            self.emit((), Ended(WHOLE_FAILURES[move], Usage(), () if move in ("lost", "crash") else tasks))
            return True
        runs[tasks[self.position]] += 1
        if move == "die":
            self.emit((), Ended(Died(WorkerDied("boom")), Usage(), tasks[self.position + 1 :]))
            return True
        ok = move != "fail"
        value = PACK.pack(tasks[self.position]) if ok else pack_failure(ValueError("bad"), PACK, ())
        self.emit((Outcome(tasks[self.position], ok, value, 1.0, 1e-6, 1e-6, ""),))
        self.position += 1
        return False


@dataclass
class Invoker:
    """An invoker that hands every request to the test."""

    slots: int
    started: queue.SimpleQueue = field(default_factory=queue.SimpleQueue)
    closed: bool = False

    def open(self, tasks):
        pass

    def take(self, count):
        return [self.started.get(timeout=60) for _ in range(count)]

    def start(self, request, emit):
        invocation = Invocation(request, emit)
        self.started.put(invocation)
        return invocation

    def close(self):
        self.closed = True


def running_invocations(invoker, job, invocations):
    """Add the newly started invocations to the given ones; return none only when the job has ended."""
    for _ in range(1000):
        while not invoker.started.empty():
            invocations.append(invoker.started.get())
        if invocations or job.wait(0):
            return invocations
        with contextlib.suppress(queue.Empty):
            invocations.append(invoker.started.get(timeout=0.01))
    raise AssertionError(f"nothing is in flight, yet {job!r}")


MOVES = ["ok"] * 8 + ["fail", "die", "stop", *WHOLE_FAILURES]


@settings(max_examples=150)
@given(
    total=st.integers(1, 40),
    slots=st.integers(1, 5),
    retries=st.integers(0, 3),
    chunksize=st.none() | st.integers(1, 9),
    first_wave=st.none() | st.integers(1, 4),
    refuse_at=st.none() | st.integers(0, 60),
    cancel_at=st.dictionaries(st.integers(0, 60), st.integers(0, 39), max_size=4),
    seed=st.integers(),
)
def test_every_task_ends_once_within_its_attempts(
    total, slots, retries, chunksize, first_wave, refuse_at, cancel_at, seed
):
    invoker = Invoker(slots)
    batching = BatchingPolicy(
        0.02, 0.001, 2**20, first_wave=first_wave, first_wave_wait_s=0.001, backoff_s=1e-5
    )
    backend = Backend("test", None, invoker, batching)
    dispatcher = Dispatcher(backend)
    job = Job("job-1", "job", backend, total, (), dispatcher)
    restored = []
    settled = Counter()
    for future in job:
        future.add_done_callback(lambda future: settled.update([future.index]))
    items = [Packed(b"x")] * total
    options = JobOptions(STORED, {}, chunksize, RetryRule(retries), None)
    dispatcher.submit(PendingJob(job, items, options, restore=restored.append))

    runs, step, moves = Counter(), 0, Counter()
    rng = random.Random(seed)  # hypothesis cannot draw them: how many are needed depends on threads
    invocations = running_invocations(invoker, job, [])
    while invocations:
        assert len(invocations) <= slots
        step += 1
        if step in cancel_at and cancel_at[step] < total:
            job[cancel_at[step]].cancel()
        invocation = rng.choice(invocations)
        move = "refuse" if step == refuse_at else rng.choice(MOVES)
        moves[move] += 1
        if invocation.play(move, runs):
            invocations.remove(invocation)
        invocations = running_invocations(invoker, job, invocations)
    dispatcher.close("the test is over")
    dispatcher.join()

    assert invoker.closed
    assert settled == Counter(range(total)), "each future is settled exactly once"
    gone = moves["missing"] + moves["damaged"]
    refused = (refuse_at is not None and refuse_at <= step) or gone > 3 or moves["down"] >= 10
    refused = refused or moves["no items"] > 3
    assert len(restored) <= gone
    # A task that runs in the batch of a cancelled one is killed with it, and runs again for free.
    most = retries + 1 + len(cancel_at)
    for index, stats in enumerate(job.stats()):
        assert runs[index] <= most
        if stats.state == "done":
            assert job[index].result() == index
        elif stats.state == "failed":
            error = job[index].exception()
            assert isinstance(error, FINAL)
            if isinstance(error, ConnectionLost):
                assert moves["lost"] >= 3
            else:
                assert refused or retries + 1 <= runs[index] <= most
        else:
            assert stats.state == "cancelled"
            assert index in cancel_at.values()
            assert isinstance(job.results(return_exceptions=True)[index], CancelledError)


def submitted(dispatcher, backend, total, restore=lambda _: None, code=STORED):
    """Submit a job with batches of one task."""
    job = Job("job-1", "job", backend, total, (), dispatcher)
    options = JobOptions(code, {}, 1, RetryRule(0), None)
    dispatcher.submit(PendingJob(job, [Packed(b"x")] * total, options, restore=restore))
    return job


class HeldUpload:
    """An upload that ends when the test says so, with an error or without one."""

    def __init__(self, *errors):
        self.end = threading.Event()
        self.begun = threading.Event()
        self._errors = errors
        self.upload = Upload(self._put)
        self.upload.start()

    def _put(self):
        self.begun.set()
        assert self.end.wait(60)
        for error in self._errors:
            raise error

    def code(self, *carried):
        return JobCode("code", None, carried, (self.upload,))


@pytest.fixture
def dispatched():
    """An invoker that hands every request to the test, its backend, and a dispatcher."""
    invoker = Invoker(10)
    backend = Backend("test", None, invoker, BatchingPolicy(0.02, 0.001, 2**20))
    dispatcher = Dispatcher(backend)
    yield invoker, backend, dispatcher
    dispatcher.cancel_all()
    dispatcher.close("the test has ended")
    assert dispatcher.join(10)


def test_code_that_many_requests_miss_at_once_is_put_there_once(dispatched):
    invoker, backend, dispatcher = dispatched
    restored = []
    job = submitted(dispatcher, backend, 10, restored.append)
    for count in (1, 2, 3):
        for invocation in invoker.take(10):
            invocation.play("missing", Counter())
        requests = invoker.take(10)
        assert len(restored) == count
        for invocation in requests:
            invoker.started.put(invocation)
    for invocation in invoker.take(10):
        invocation.play("ok", Counter())
        invocation.play("ok", Counter())
    assert job.results(timeout=60) == list(range(10))
    assert [stats.attempts for stats in job.stats()] == [1] * 10


def test_code_that_is_found_in_between_may_go_missing_many_times(dispatched):
    invoker, backend, dispatcher = dispatched
    invoker.slots = 1
    restored = []
    job = submitted(dispatcher, backend, 10, restored.append)
    for _ in job:
        for move in ("missing", "damaged", "ok"):
            (invocation,) = invoker.take(1)
            invocation.play(move, Counter())
        invocation.play("ok", Counter())
    assert job.results(timeout=60) == list(range(10))
    assert len(restored) == 20


@pytest.mark.parametrize(("move", "error"), [("missing", NotFound), ("damaged", IntegrityError)])
def test_code_that_is_missing_after_each_upload_fails_the_job(dispatched, move, error):
    invoker, backend, dispatcher = dispatched
    job = submitted(dispatcher, backend, 1)
    for _ in range(4):
        invoker.take(1)[0].play(move, Counter())
    with pytest.raises(error, match=r"code/code was .* again after 3 further uploads\. Does .*program"):
        job.results(timeout=60)


def test_an_upload_does_not_hold_up_other_jobs_and_its_end_is_known(dispatched):
    invoker, backend, dispatcher = dispatched
    uploads, go_on = queue.SimpleQueue(), threading.Event()

    def restore(missing):
        uploads.put(missing.key)
        assert go_on.wait(60)
        raise wrenlite.StoreError("the disk is full")

    jobs = [submitted(dispatcher, backend, 2, restore) for _ in range(2)]
    for invocation in invoker.take(4):
        invocation.play("missing", Counter())
    assert [uploads.get(timeout=60) for _ in jobs] == ["code/code"] * 2
    other = submitted(dispatcher, backend, 2)
    invoker.take(2)[0].play("ok", Counter())
    assert other.cancel() == 1, "while both uploads go on"
    assert invoker.started.empty(), "nothing of the two jobs is sent meanwhile"
    assert jobs[0].cancel() == 2
    go_on.set()
    with pytest.raises(wrenlite.StoreError, match="task 0 of job-1: the disk is full"):
        jobs[1].results(timeout=60)


def play_all(invoker, count):
    for invocation in invoker.take(count):
        invocation.play("ok", Counter())
        invocation.play("ok", Counter())


@pytest.mark.parametrize("carried", [(), (b"1234567890",)])
def test_requests_beyond_the_limit_wait_for_the_upload_and_carry_nothing(dispatched, carried):
    invoker, backend, _ = dispatched
    limited = replace(backend, carried_bytes=25)
    dispatcher = Dispatcher(limited)
    held = HeldUpload()
    job = submitted(dispatcher, limited, 5, code=held.code(*carried))
    first = invoker.take(2 if carried else 0)
    assert [invocation.request.carried for invocation in first] == [carried] * len(first)
    other = submitted(dispatcher, limited, 1)
    (invocation,) = invoker.take(1)
    assert invocation.request.carried == (), "of the other job, which has no upload"
    assert invoker.started.empty(), "while the upload goes on"
    held.end.set()
    rest = invoker.take(5 - len(first))
    assert {invocation.request.carried for invocation in rest} == {()}
    for each in (*first, invocation, *rest):
        each.play("ok", Counter())
        each.play("ok", Counter())
    assert job.results(timeout=60) == list(range(5))
    assert other.results(timeout=60) == [0]
    dispatcher.close("the test has ended")
    assert dispatcher.join(10)


@pytest.mark.parametrize("complete", [True, False])
def test_an_upload_that_fails_fails_only_jobs_that_need_it(dispatched, complete):
    invoker, backend, dispatcher = dispatched
    held = HeldUpload(wrenlite.StoreError("the disk is full"))
    code = held.code(b"12345")
    job = submitted(dispatcher, backend, 2, code=code if complete else code._replace(modules="zip"))
    held.end.set()
    if complete:
        play_all(invoker, 2)
        assert job.results(timeout=60) == [0, 1]
    else:
        with pytest.raises(wrenlite.StoreError, match="task 0 of job-1: the disk is full"):
            job.results(timeout=60)
        assert invoker.started.empty()


def test_the_end_waits_for_uploads_of_jobs_that_have_ended(dispatched):
    invoker, backend, dispatcher = dispatched
    held = HeldUpload()
    job = submitted(dispatcher, backend, 1, code=held.code(b"12345"))
    assert held.begun.wait(60)
    play_all(invoker, 1)
    assert job.results(timeout=60) == [0]
    cancelled = submitted(dispatcher, backend, 1, code=held.code(b"12345"))
    cancelled.cancel()
    dispatcher.close("the test is over")
    assert not dispatcher.join(0.1)
    held.end.set()
    assert dispatcher.join(10)
    assert invoker.closed
