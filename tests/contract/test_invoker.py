"""The behaviour of every invoker. A new implementation is added as a parameter of the fixture ``backend``."""

import queue
import zlib

import numpy as np
import pytest

from wrenlite.backends import local
from wrenlite.backends.aws.connect import connect
from wrenlite.config import Config
from wrenlite.protocol import Ended, Limits, Missing, Request, Style, code_key
from wrenlite.serialize.class_table import ClassTable
from wrenlite.serialize.exceptions import unpack_failure
from wrenlite.serialize.pickling import (
    Call,
    pack_call,
    pack_items,
    unpack,
)
from wrenlite.storage.base import digest
from wrenlite.storage.results import fetch_value


@pytest.fixture(params=["inline", "process", "lambda"])
def backend(request):
    if request.param == "lambda":
        request.getfixturevalue("bed")
        made = connect(Config.load(backend="aws", max_concurrency=2))
    else:
        made = local.connect_inline() if request.param == "inline" else local.connect(workers=2)
    made.invoker.open()
    yield made
    made.invoker.close()


class Invocations:
    """Invocations on a backend, with queues of what they emit."""

    def __init__(self, backend):
        self.backend = backend
        self.names = ClassTable(grows=True)
        self.count = 0

    def start(self, function, items, *, env=None, limits=None, style=Style.ITEM):
        items = pack_items(items, self.names)
        blob = pack_call(Call(function, (), {}, style), self.names)
        self.backend.store.put(code_key(digest(blob)), blob, if_absent=True)
        tasks = range(len(items))
        self.count += 1  # every request belongs to a job of its own
        request = Request(
            f"job-{self.count}",
            "i",
            digest(blob),
            None,
            tasks,
            items,
            env or {},
            limits or self.backend.limits,
        )
        emitted = queue.SimpleQueue()
        invocation = self.backend.invoker.start(
            request, lambda outcomes, ended=None: emitted.put((outcomes, ended))
        )
        return invocation, emitted

    def run(self, function, items, **options):
        _, emitted = self.start(function, items, **options)
        return self.collect(emitted)

    def send(self, request):
        emitted = queue.SimpleQueue()
        self.backend.invoker.start(request, lambda outcomes, ended=None: emitted.put((outcomes, ended)))
        return self.collect(emitted)

    @staticmethod
    def collect(emitted):
        outcomes, ended = [], None
        while ended is None:
            more, ended = emitted.get(timeout=30)
            outcomes += more
        assert emitted.empty(), "something came after Ended"
        return outcomes, ended


@pytest.fixture
def invocations(backend):
    return Invocations(backend)


def test_outcomes_come_in_order_and_then_one_end(invocations):
    outcomes, ended = invocations.run(lambda x: x + 1, range(50))
    assert [outcome.task for outcome in outcomes] == list(range(50))
    assert [unpack(outcome.packed, ()) for outcome in outcomes] == list(range(1, 51))
    assert all(outcome.ok for outcome in outcomes)
    assert isinstance(ended, Ended)
    assert ended.cause is None
    assert list(ended.not_started) == []


def test_outcomes_are_emitted_while_the_rest_still_runs(backend, invocations, tmp_path):
    if backend.runs_in_caller:
        pytest.skip("the calling thread is busy until the end")
    if backend.prices is not None:
        pytest.skip("on Lambda outcomes come with the reply")
    flag = tmp_path / "flag"

    def wait_for_flag(n, flag=str(flag)):
        import os
        import time

        while n and not os.path.exists(flag):
            time.sleep(0.01)
        return n

    _, emitted = invocations.start(wait_for_flag, [0, 1])
    first, ended = emitted.get(timeout=30)
    assert [outcome.task for outcome in first] == [0]
    assert ended is None
    flag.touch()
    outcomes, _ = invocations.collect(emitted)
    assert [outcome.task for outcome in outcomes] == [1]


def test_a_failure_is_an_outcome_and_the_rest_runs(invocations):
    outcomes, ended = invocations.run(lambda x: 10 // x, [1, 0, 2])
    assert [outcome.ok for outcome in outcomes] == [True, False, True]
    assert isinstance(unpack_failure(outcomes[1].packed, ())[0], ZeroDivisionError)
    assert ended.cause is None


def test_no_task_starts_after_stop_after_s(invocations):
    def slow(n):
        import time

        time.sleep(0.2)
        return n

    outcomes, ended = invocations.run(slow, range(5), limits=Limits(stop_after_s=0.05))
    assert [outcome.task for outcome in outcomes] == [0]
    assert list(ended.not_started) == [1, 2, 3, 4]
    assert ended.cause is None


def test_the_first_task_runs_however_late_it_begins(invocations):
    outcomes, ended = invocations.run(lambda n: n, range(3), limits=Limits(stop_after_s=1e-9))
    assert [(outcome.task, outcome.ok) for outcome in outcomes] == [(0, True)]
    assert list(ended.not_started) == [1, 2]
    assert ended.cause is None


def test_the_environment_is_set_before_unpickling_and_restored(invocations):
    class Reads:
        def __reduce__(self):
            import os

            return os.getenv, ("WL_TEST", "unset")

    outcomes, _ = invocations.run(lambda x: x, [Reads()], env={"WL_TEST": "set"})
    assert unpack(outcomes[0].packed, ()) == "set"
    outcomes, _ = invocations.run(lambda x: x, [Reads()])
    assert unpack(outcomes[0].packed, ()) == "unset"


def test_outcomes_and_usage_have_the_times_of_a_task(invocations):
    def work(n):
        import time

        end = time.thread_time() + n
        while time.thread_time() < end:
            pass

    outcomes, ended = invocations.run(work, [0.05])
    assert 0.05 <= outcomes[0].cpu_s <= outcomes[0].seconds
    assert ended.usage.busy_s >= 0.05
    assert ended.usage.cpu_s >= 0.05
    assert ended.usage.worker


def test_no_task_used_the_processor_for_longer_than_it_took(invocations):
    outcomes, _ = invocations.run(abs, range(1_000))
    assert all(0 <= each.cpu_s <= each.seconds for each in outcomes)


def test_large_arrays_travel_both_ways(invocations):
    outcomes, _ = invocations.run(lambda a: a * 2, [np.ones(1_000_000), np.ones((3, 300_000)).T])
    packed = [fetch_value(invocations.backend.store, outcome.packed, "a task") for outcome in outcomes]
    assert [unpack(each, ()).sum() for each in packed] == [2_000_000, 1_800_000]
    assert all(each.buffers for each in packed)


def test_code_that_does_not_match_its_digest_is_not_unpickled(backend, invocations):
    _, ended = invocations.run(abs, [1])
    assert ended.cause is None
    blob = pack_call(Call(max, (), {}, Style.ITEM), ClassTable(grows=True))
    backend.store.put(code_key(digest(blob)), b"something else")
    outcomes, ended = invocations.run(max, [[1]])
    assert outcomes == []
    assert ended.cause == Missing(code_key(digest(blob)), damaged=True)
    assert list(ended.not_started) == [0]


def test_code_that_travels_along_is_not_fetched_and_is_kept(backend, invocations):
    names = ClassTable(grows=True)
    blobs = [pack_call(Call(function, (), {}, Style.ITEM), names) for function in (max, min)]
    carried = [zlib.compress(blob) for blob in blobs]

    def request(blob, *carried):
        items = pack_items([[1, 2]], names)
        return Request("j", "i", digest(blob), None, [0], items, {}, Limits(), carried=carried)

    outcomes, ended = invocations.send(request(blobs[0], *reversed(carried)))
    assert [outcome.packed for outcome in outcomes] == [2]
    assert ended.cause is None
    outcomes, ended = invocations.send(request(blobs[0])._replace(job="another"))
    assert [outcome.packed for outcome in outcomes] == [2], "with the code of the request before"
    outcomes, ended = invocations.send(request(blobs[1], carried[0]))
    assert ended.cause == Missing(code_key(digest(blobs[1]))), "code with another digest is no code"


def test_code_that_is_not_stored_is_reported_missing_and_fails_no_task(backend, invocations):
    request = Request(
        "another", "i", "0" * 64, None, [0], pack_items([[1]], ClassTable(grows=True)), {}, Limits()
    )
    outcomes, ended = invocations.send(request)
    assert outcomes == []
    assert ended.cause == Missing(code_key("0" * 64))


def test_a_cancelled_invocation_ends(backend, invocations):
    if backend.runs_in_caller:
        pytest.skip("it has ended before it can be cancelled")
    if backend.prices is not None:
        pytest.skip("an invocation of Lambda cannot be stopped")

    def forever(_):
        import time

        while True:
            time.sleep(1)

    invocation, emitted = invocations.start(forever, [0, 1])
    invocation.cancel()
    invocation.cancel()
    outcomes, ended = invocations.collect(emitted)
    assert outcomes == []
    assert 1 in ended.not_started
    assert [outcome.ok for outcome in invocations.run(abs, [1])[0]] == [True]


def test_an_invoker_may_be_closed_twice(backend):
    backend.invoker.close()
    backend.invoker.close()
