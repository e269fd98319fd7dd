"""An executor, or a pool, in what is mapped: it becomes the executor of the task."""

import concurrent.futures

import pytest

import wrenlite

INLINE = "<Executor on the calling thread>"


def use(holder, n):
    inner = holder["executor"] if isinstance(holder, dict) else holder
    with inner:
        return inner.map(abs, range(-n, 0)).results(), inner.workers, inner.cost.dollars


class Tool:
    def __init__(self, executor):
        self.executor = executor

    def run(self, n):
        return self.executor.submit(pow, n, 2).result()


def test_it_runs_tasks_in_the_task_and_stays_open(executor):
    def outer(n):
        assert isinstance(executor, wrenlite.Executor)
        return use(executor, n)

    expected = [([1], 1, 0), ([2, 1], 1, 0), ([3, 2, 1], 1, 0)]
    assert executor.map(outer, [1, 2, 3]).results() == expected
    assert executor.starmap(use, [(executor, 1), ({"executor": executor}, 2)]).results() == expected[:2]
    assert executor.map(lambda n, inner: use(inner, n), [1], args=(executor,)).results() == expected[:1]
    assert executor.submit(Tool(executor).run, 5).result() == 25
    assert executor.submit(use, executor.put({"executor": executor}), 1).result() == expected[0]
    assert executor.submit(abs, -1).result() == 1


def test_what_is_on_top_of_an_executor_travels_too(executor):
    standard, calls = executor.as_concurrent(), wrenlite.Pool(executor=executor)

    def outer(n):
        with standard, calls:
            assert isinstance(standard, concurrent.futures.Executor)
            values = (
                list(standard.map(pow, [n], [2])),
                calls.map(abs, [-n]),
                list(calls.imap("math.sqrt", [n])),
            )
        return values

    assert executor.map(outer, [1, 4], chunksize=2).results() == [([1], [1], [1]), ([16], [4], [2])]
    assert executor.submit(lambda inner: inner.apply(abs, (-3,)), calls).result() == 3


def test_errors_of_inner_tasks_are_those_of_the_task(executor):
    def outer(n):
        job = executor.map(lambda x: 1 // x, [n, 0])
        return job.results(return_exceptions=True)[0], job.results()

    with pytest.raises(ZeroDivisionError):
        executor.map(outer, [1]).results()


def test_it_is_no_value_and_no_argument_of_an_initializer(pool):
    with pytest.raises(wrenlite.ResultNotPicklable, match="an executor cannot be sent"):
        pool.map(lambda _: pool, [1]).results()
    with pytest.raises(wrenlite.FunctionNotPicklable, match="an executor cannot be sent"):
        wrenlite.Executor.local(1, initializer=print, initargs=(pool,))


def test_a_nested_map_as_libraries_write_it(pool):
    def level(depth, executor):
        if not depth:
            return 1
        return sum(executor.map(level, [depth - 1] * 2, args=(executor,)).results())

    assert pool.submit(level, 3, pool).result() == 8
