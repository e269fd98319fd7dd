"""What every invoker does with a request. New implementations join by a parameter of the fixture."""

import queue

import numpy as np
import pytest

from wrenlite.backends import local
from wrenlite.backends.aws.connect import connect
from wrenlite.config import Config
from wrenlite.errors import IntegrityError
from wrenlite.protocol import Ended, Limits, Missing, Refused, Request, Style, code_key
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


class Flights:
    """Sends requests, and keeps what is emitted."""

    def __init__(self, backend):
        self.backend = backend
        self.names = ClassTable(grows=True)
        self.count = 0

    def start(self, function, items, *, env=None, limits=None, style=Style.ITEM):
        items = pack_items(items, self.names)
        blob = pack_call(Call(function, (), {}, style), self.names)
        self.backend.store.put(code_key(digest(blob)), blob, if_absent=True)
        tasks = range(len(items))
        self.count += 1  # each is a job of its own
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
        news = queue.SimpleQueue()
        flight = self.backend.invoker.start(request, lambda outcomes, ended=None: news.put((outcomes, ended)))
        return flight, news

    def run(self, function, items, **options):
        _, news = self.start(function, items, **options)
        return self.collect(news)

    @staticmethod
    def collect(news):
        outcomes, ended = [], None
        while ended is None:
            more, ended = news.get(timeout=30)
            outcomes += more
        assert news.empty(), "something came after Ended"
        return outcomes, ended


@pytest.fixture
def flights(backend):
    return Flights(backend)


def test_outcomes_come_in_order_and_then_one_end(flights):
    outcomes, ended = flights.run(lambda x: x + 1, range(50))
    assert [outcome.task for outcome in outcomes] == list(range(50))
    assert [unpack(outcome.packed, ()) for outcome in outcomes] == list(range(1, 51))
    assert all(outcome.ok for outcome in outcomes)
    assert isinstance(ended, Ended)
    assert ended.cause is None
    assert list(ended.not_started) == []


def test_outcomes_are_emitted_while_the_rest_still_runs(backend, flights, tmp_path):
    if backend.in_caller:
        pytest.skip("the calling thread cannot look on")
    if backend.prices is not None:
        pytest.skip("on Lambda outcomes come with the reply")
    flag = tmp_path / "flag"

    def wait_for_flag(n, flag=str(flag)):
        import os
        import time

        while n and not os.path.exists(flag):
            time.sleep(0.01)
        return n

    _, news = flights.start(wait_for_flag, [0, 1])
    first, ended = news.get(timeout=30)
    assert [outcome.task for outcome in first] == [0]
    assert ended is None
    flag.touch()
    outcomes, _ = flights.collect(news)
    assert [outcome.task for outcome in outcomes] == [1]


def test_a_failure_is_an_outcome_and_the_rest_runs(flights):
    outcomes, ended = flights.run(lambda x: 10 // x, [1, 0, 2])
    assert [outcome.ok for outcome in outcomes] == [True, False, True]
    assert isinstance(unpack_failure(outcomes[1].packed, ())[0], ZeroDivisionError)
    assert ended.cause is None


def test_past_stop_after_no_task_starts(flights):
    def slow(n):
        import time

        time.sleep(0.2)
        return n

    outcomes, ended = flights.run(slow, range(5), limits=Limits(stop_after_s=0.05))
    assert [outcome.task for outcome in outcomes] == [0]
    assert list(ended.not_started) == [1, 2, 3, 4]
    assert ended.cause is None


def test_the_environment_is_set_before_unpickling_and_put_back(flights):
    class Reads:
        def __reduce__(self):
            import os

            return os.getenv, ("WL_TEST", "unset")

    outcomes, _ = flights.run(lambda x: x, [Reads()], env={"WL_TEST": "set"})
    assert unpack(outcomes[0].packed, ()) == "set"
    outcomes, _ = flights.run(lambda x: x, [Reads()])
    assert unpack(outcomes[0].packed, ()) == "unset"


def test_stats_say_how_long_it_took(flights):
    def work(n):
        import time

        end = time.thread_time() + n
        while time.thread_time() < end:
            pass

    outcomes, ended = flights.run(work, [0.05])
    assert 0.05 <= outcomes[0].cpu_s <= outcomes[0].seconds
    assert ended.usage.busy_s >= 0.05
    assert ended.usage.worker


def test_large_arrays_there_and_back(flights):
    outcomes, _ = flights.run(lambda a: a * 2, [np.ones(1_000_000), np.ones((3, 300_000)).T])
    packed = [fetch_value(flights.backend.store, outcome.packed, "a task") for outcome in outcomes]
    assert [unpack(each, ()).sum() for each in packed] == [2_000_000, 1_800_000]
    assert all(each.buffers for each in packed)


def test_code_that_is_not_what_was_announced_is_not_unpickled(backend, flights):
    _, ended = flights.run(abs, [1])
    assert ended.cause is None
    blob = pack_call(Call(max, (), {}, Style.ITEM), ClassTable(grows=True))
    backend.store.put(code_key(digest(blob)), b"something else")
    outcomes, ended = flights.run(max, [[1]])
    assert outcomes == []
    assert isinstance(ended.cause, Refused)
    assert isinstance(ended.cause.error, IntegrityError)
    assert list(ended.not_started) == [0]


def test_code_that_is_not_there_is_missing_and_no_tasks_fault(backend, flights):
    request = Request(
        "another", "i", "0" * 64, None, [0], pack_items([[1]], ClassTable(grows=True)), {}, Limits()
    )
    news = queue.SimpleQueue()
    backend.invoker.start(request, lambda outcomes, ended=None: news.put((outcomes, ended)))
    outcomes, ended = flights.collect(news)
    assert outcomes == []
    assert ended.cause == Missing(code_key("0" * 64))


def test_a_cancelled_flight_ends(backend, flights):
    if backend.in_caller:
        pytest.skip("it has landed before it can be cancelled")
    if backend.prices is not None:
        pytest.skip("an invocation of Lambda cannot be stopped")

    def forever(_):
        import time

        while True:
            time.sleep(1)

    flight, news = flights.start(forever, [0, 1])
    flight.cancel()
    flight.cancel()
    outcomes, ended = flights.collect(news)
    assert outcomes == []
    assert 1 in ended.not_started
    assert [outcome.ok for outcome in flights.run(abs, [1])[0]] == [True]


def test_closing_twice(backend):
    backend.invoker.close()
    backend.invoker.close()
