"""Costs, references, stats and backends as the last line of a cell: in words."""

import dataclasses

import pytest

import wrenlite
from wrenlite import cost, texts
from wrenlite.protocol import Stored, TaskStats, Usage
from wrenlite.storage.refs import Ref


def test_a_cost():
    prices = cost.prices("eu-west-1", "arm64", memory_mb=1769, limit_s=900)
    known = cost.FREE.plus(Usage(requests=12, gb_s=340.5), prices)
    assert repr(known) == "<Cost: about $0.004542 (12 requests, 340.50 GB-s)>"
    assert repr(cost.FREE) == "<Cost: nothing was charged>"
    lost = cost.FREE.plus(Usage(requests=2, unanswered=2, uncertain_gb_s=100.0), prices)
    assert str(lost.plus(Usage(requests=1, gb_s=50.0), prices)) == (
        "about $0.000667 (3 requests, 50.00 GB-s), and up to $0.001333 more for 2 requests without an answer"
    )
    stored = cost.FREE.plus(Usage(requests=1, store_puts=1000, store_gets=3), prices)
    assert str(stored) == "about $0.005001 (1 request, 0.00 GB-s, 1,000 PUT and 3 GET to S3)"


def test_a_ref():
    def of_size(size):
        return Ref(Stored("refs/c7de3263", "c7de3263" * 8, size))

    assert repr(of_size(24)) == "<Ref to an object of 24 bytes in the store, c7de3263>"
    assert repr(of_size(5 << 20)) == "<Ref to an object of 5.0 MB in the store, c7de3263>"
    assert repr(Ref(7)).endswith(f"bytes, {Ref(7).digest[:8]}>")


def test_stats():
    waiting = TaskStats(task=3, state="queued", attempts=0, queued=1795933257.25)
    assert repr(waiting) == "<TaskStats of task 3: queued, has not run yet>"
    done = waiting._replace(
        state="done", attempts=2, started=1795933258.0, seconds=0.0123, finished=1795933258.1
    )
    done = done._replace(worker="18230", cold=True, peak_bytes=120 << 20, peak_tasks=1)
    assert repr(done) == (
        "<TaskStats of task 3: done, ran for 12.3 ms, on worker 18230, attempt 2, cold start, held up to "
        "120.0 MB>"
    )
    assert repr(done._replace(peak_tasks=8)).endswith("held at most 120.0 MB, in a batch of 8>")
    assert repr(done._replace(peak_tasks=None)).endswith("held at most 120.0 MB>")


def test_a_backend():
    with wrenlite.Executor.inline() as executor:
        backend = executor.backend
    assert repr(dataclasses.replace(backend, memory_bytes=None)) == "<Backend: the calling thread>"
    limited = dataclasses.replace(
        backend, name="Lambda function f", memory_bytes=1 << 30, longest_s=900, budget=2.5
    )
    assert repr(limited) == (
        "<Backend: Lambda function f, 1.0 GB of memory per worker, tasks of up to 900 s, a budget of $2.50>"
    )


def test_lazy_values(pool):
    values = pool.map(abs, range(-9, 0), buffersize=4)
    next(values)
    assert repr(values).startswith("<LazyValues of abs: 1 value given, ")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 µs"),
        (5.9e-6, "5.9 µs"),
        (0.0123, "12.3 ms"),
        (0.9996, "1 s"),
        (42.42, "42.4 s"),
        (1234.5, "1,234 s"),
    ],
)
def test_a_duration(seconds, text):
    assert texts.timed(seconds) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"), [(1, "1 byte"), (1023, "1,023 bytes"), (1536, "1.5 KB"), (3 << 30, "3.0 GB")]
)
def test_a_size(size_bytes, text):
    assert texts.sized(size_bytes) == text
