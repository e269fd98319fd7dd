"""``map`` with ``buffersize=``: the data is read while the values are, on every backend."""

import itertools
import threading

import pytest

import wrenlite


def square(x):
    return x * x


def test_an_endless_iterable_is_mapped(executor):
    values = executor.map(square, itertools.count(), buffersize=8)
    assert list(itertools.islice(values, 50)) == [number * number for number in range(50)]
    values.close()
    assert values.job.wait(10)
    assert list(values) == []


def test_at_most_buffersize_items_are_read_ahead(executor):
    def data(read):
        for number in range(60):
            read.append(number)
            yield number

    for size in (1, 2, 7, 100):
        read, handed_out = [], 0
        values = executor.map(square, data(read), buffersize=size)
        for place, value in enumerate(values):
            assert value == place * place
            assert len(read) - handed_out <= size
            handed_out += 1
        assert handed_out == 60


def test_starmap_and_options(executor):
    values = executor.starmap(pow, [(2, 3), (3, 2)], buffersize=4, retries=1)
    assert list(values) == [8, 9]
    assert [value for value in executor.map(pow, [2, 3], args=(2,), buffersize=1)] == [4, 9]  # noqa: C416
    assert list(executor.map(square, [], buffersize=3)) == []
    seeded = executor.map(lambda x, rng: rng.random(), range(5), seed=3, buffersize=2)
    assert list(seeded) == executor.map(lambda x, rng: rng.random(), range(5), seed=3).results()


def test_an_error_of_the_data_comes_in_its_turn(executor):
    def data():
        yield from range(5)
        raise KeyError("no more")

    values = executor.map(square, data(), buffersize=10)
    assert [next(values) for _ in range(5)] == [0, 1, 4, 9, 16]
    with pytest.raises(KeyError, match="no more"):
        next(values)
    with pytest.raises(StopIteration):
        next(values)


def test_an_item_that_cannot_be_pickled_is_named_in_its_turn(executor):
    values = executor.map(lambda x: x, [1, 2, threading.Lock(), 4], buffersize=10)
    assert [next(values), next(values)] == [1, 2]
    with pytest.raises(wrenlite.ItemNotPicklable, match="item 2"):
        next(values)


def test_an_error_of_a_task_comes_in_its_turn_and_cancels_the_rest(executor):
    values = executor.map(lambda x: 12 // (3 - x), itertools.count(), buffersize=6)
    assert [next(values) for _ in range(3)] == [4, 6, 12]
    with pytest.raises(ZeroDivisionError) as caught:
        next(values)
    assert any("task 3 of " in note for note in caught.value.__notes__)
    assert values.job.wait(10)


def test_numbers_of_tasks_go_on_where_tasks_are_forgotten(executor):
    count = 2500
    values = executor.map(lambda x: 1 // (count - x), itertools.count(), buffersize=200)
    assert sum(itertools.islice(values, count)) == 1
    with pytest.raises(ZeroDivisionError) as caught:
        next(values)
    assert any(f"task {count} of " in note for note in caught.value.__notes__)
    now = values.job.snapshot()
    assert now.done >= count
    assert now.failed >= 1


def test_dropping_the_iterator_cancels(executor):
    closed = threading.Event()

    def data():
        try:
            yield from itertools.count()
        finally:
            closed.set()

    values = executor.map(square, data(), buffersize=5)
    assert next(values) == 0
    job = values.job
    del values
    assert job.wait(10)
    assert closed.is_set()


def test_what_cannot_be_a_buffersize(executor):
    for wrong in (0, -1, 1.5, "10", True):
        with pytest.raises(wrenlite.ConfigError, match="must be a whole number from 1, or None"):
            executor.map(square, [1], buffersize=wrong)


def test_shutdown_finishes_what_was_read(executor):
    values = executor.map(square, itertools.count(), buffersize=5)
    assert next(values) == 0
    executor.shutdown()
    rest = []
    with pytest.raises(wrenlite.JobClosed, match="was closed before its data was read to the end"):
        rest.extend(values)
    assert rest == [number * number for number in range(1, len(rest) + 1)]
    assert len(rest) <= 6


def test_items_that_do_not_fit_into_memory_are_refused(executor, monkeypatch):
    monkeypatch.setattr("wrenlite.memory.available_bytes", lambda: 200 << 20)
    read = []

    def data():
        while True:
            read.append(1)
            yield bytes(40 << 20)

    with pytest.raises(
        wrenlite.ConfigError, match=r"the first 6 items of data are 0\.2 GB pickled, which is half"
    ):
        executor.map(len, data())
    assert len(read) == 6


def test_a_job_that_is_closed_early_does_not_look_complete(executor):
    values = executor.map(square, range(1000), buffersize=10)
    assert next(values) == 0
    values.job.close()
    with pytest.raises(wrenlite.JobClosed):
        list(values)


def test_an_interrupt_of_the_first_reading_cancels(executor):
    def data():
        yield 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        executor.map(square, data(), buffersize=4)
    assert executor._submission.dispatcher.unfinished_jobs() == []


def test_stats_leave_out_tasks_that_are_forgotten(executor):
    values = executor.map(square, range(3000), buffersize=100)
    assert sum(1 for _ in values) == 3000
    stats = values.job.stats()
    assert 0 < len(stats) < 3000
    assert stats[-1].task == 2999
    assert min(each.queued for each in stats) > 1e9
