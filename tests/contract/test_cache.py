"""``map`` with ``cache=True``: what was computed before does not run again, on every backend."""

import dataclasses
import enum
import os
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import wrenlite
from wrenlite.errors import ConfigError, IntegrityError
from wrenlite.memo import remembered


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The folder of kept values."""
    # The function of the bed has packages of this machine, and no record of their versions.
    monkeypatch.setattr(remembered, "versions_where_tasks_run", lambda backend: None)
    monkeypatch.setenv("WRENLITE_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept"


@pytest.fixture(params=["process", "aws"])
def executor(request):
    """An executor on each backend that keeps values."""
    if request.param == "aws":
        request.getfixturevalue("bed")
    makers = {
        "process": lambda: wrenlite.Executor.local(2, progress=False),
        "aws": lambda: wrenlite.Executor.aws(max_concurrency=4, progress=False),
    }
    made = makers[request.param]()
    yield made
    made.shutdown(cancel_futures=True)  # a task of a test that failed may never end


class Point:
    def __init__(self, x):
        self.x = x


class Odd(Point):
    pass


def work(n, path):
    with open(path, "a") as file:
        file.write(f"{n}\n")
    return Odd(n) if n % 2 else Point(n)


def array(n, path):
    with open(path, "a") as file:
        file.write(f"{n}\n")
    return np.full(5_000, n)


def test_only_new_items_run(executor, runs):
    first = executor.map(work, range(4), args=(runs.path,), cache=True)
    assert [(type(value), value.x) for value in first.results()] == [
        (Point, 0),
        (Odd, 1),
        (Point, 2),
        (Odd, 3),
    ]
    assert first.cached == 0
    job = executor.map(work, [5, 3, 2, 1, 0, 4], args=(runs.path,), cache=True)
    assert [(type(value), value.x) for value in job.results()] == [
        *((Odd, 5), (Odd, 3), (Point, 2)),
        *((Odd, 1), (Point, 0), (Point, 4)),
    ]
    assert job.cached == 4
    assert job.snapshot().cached == 4
    assert "6 of 6 finished, 4 cached" in repr(job)
    assert runs() == Counter("012345")
    ran, kept = job.stats()[0], job.stats()[1]
    assert (ran.cached, ran.attempts, ran.seconds is None) == (False, 1, False)
    assert (kept.cached, kept.state, kept.attempts) == (True, "done", 0)
    assert (kept.started, kept.seconds, kept.finished, kept.worker) == (None, None, None, None)
    assert "kept by an earlier job" in repr(kept)
    assert sorted(future.index for future in job.as_completed()) == list(range(6))
    assert [value.x for value in job.values()] == [5, 3, 2, 1, 0, 4]


def test_a_job_of_kept_values_sends_nothing(executor, runs):
    executor.map(work, range(3), args=(runs.path,), cache=True).results()
    requests = executor.cost.requests
    job = executor.map(work, range(3), args=(runs.path,), cache=True)
    assert job.wait(0)
    assert job[1].done()
    assert (job.cost.requests, job.cost.dollars) == (0, 0)
    assert executor.cost.requests == requests
    called = []
    job.add_done_callback(called.append)
    assert called == [job]
    assert [value.x for value in job.results()] == [0, 1, 2]


def test_values_of_a_map_reduce_are_kept_and_changed_ones_are_computed_again(executor, runs, cache):
    def add(values):
        return sum(int(value.sum()) for value in values)

    first = executor.map_reduce(array, range(4), add, args=(runs.path,), cache=True)
    assert first.result() == 30_000
    again = executor.map_reduce(array, range(4), add, args=(runs.path,), cache=True)
    assert again.result() == 30_000
    assert again.job.cached == 4
    assert runs() == Counter("0123")
    job = executor.map(array, range(4), args=(runs.path,), cache=True)
    assert job.cached == 4
    for change in _values_of(first.job, executor, cache):
        change()
    assert [int(value[0]) for value in job.results()] == [0, 1, 2, 3]
    assert sum(runs().values()) == 6, "one was changed, one is gone"
    job = executor.map(array, range(4), args=(runs.path,), cache=True)
    assert [int(value[0]) for value in job.results()] == [0, 1, 2, 3]
    assert job.cached == 4
    assert sum(runs().values()) == 6


def _values_of(job, executor, cache):
    """Return what changes one large value of a job, and what deletes another one, where they are stored."""
    store = executor.backend.store
    if executor.backend.own_store:
        first, second, *_ = sorted((cache / "values").glob("*/*"))
        blob = bytearray(first.read_bytes())
        blob[-9] ^= 1
        return lambda: first.write_bytes(blob), second.unlink
    first, second, *_ = (entry.key for entry in store.list(f"results/{job.id}/") if entry.size > 40_000)
    return lambda: store.put(first, store.get(second)), lambda: store.delete([second])


def test_kept_values_go_on_to_other_tasks(executor, runs):
    options = {"args": (runs.path,), "cache": True}
    executor.map(work, [1, 2], **options).results()
    executor.map(array, range(3), **options).results()
    points = executor.map(work, [2, 4, 1], **options)
    assert executor.map(lambda point: (type(point).__name__, point.x), points).results() == [
        ("Point", 2),
        ("Point", 4),
        ("Odd", 1),
    ]
    arrays = executor.map(array, range(3), keep=True, **options)
    assert arrays.cached == 3
    assert executor.map(lambda value: int(value[-1]), arrays.refs()).results() == [0, 1, 2]


def test_values_are_instances_of_the_classes_that_the_caller_has(executor):
    class Colour(enum.Enum):
        RED = 1
        BLUE = 2

    @dataclasses.dataclass(frozen=True)
    class Cell:
        colour: Colour

    class Other:
        pass

    def colour(item):
        return item if isinstance(item, Other) else Cell(Colour(item))

    executor.map(colour, [1, 2], cache=True).results()
    other = Other()  # comes first in the class table now
    job = executor.map(colour, [other, 2, 1], cache=True)
    values = job.results()
    assert job.cached == 2
    assert [type(value) for value in values] == [Other, Cell, Cell]
    assert values[1:] == [Cell(Colour.BLUE), Cell(Colour.RED)]
    assert values[1].colour is Colour.BLUE
    kinds = executor.map_reduce(
        colour, [other, 2], lambda values: [type(each).__name__ for each in values], cache=True
    )
    assert kinds.result() == ["Other", "Cell"]
    assert kinds.job.cached == 2


def test_items_that_are_read_one_by_one_have_their_values(executor, runs):
    def values(count):
        lazy = executor.map(work, range(count), args=(runs.path,), cache=True, buffersize=2)
        return lazy.job, [(type(value), value.x) for value in lazy]

    pairs = [(Point, 0), (Odd, 1), (Point, 2), (Odd, 3), (Point, 4), (Odd, 5)]
    assert values(4)[1] == pairs[:4]
    job, found = values(6)
    assert (job.cached, found) == (4, pairs)
    assert runs() == Counter("012345")
    assert executor.map(work, range(6), args=(runs.path,), cache=True).cached == 6
    assert executor.submit(work, 5, runs.path, cache=True).result().x == 5
    assert executor.submit(work, 5, runs.path, cache=True).job.cached == 1


def test_what_has_no_digest_runs_each_time_and_is_named(pool):
    def double(value):
        return 2 * value

    for cached in (0, 1):
        with pytest.warns(UserWarning, match="item 1.*a job or a future as data is not kept") as caught:
            job = pool.map(double, [3, pool.submit(abs, -4)], cache=True)
        assert caught[0].filename == __file__
        assert (job.cached, job.results()) == (cached, [6, 8])
    with open(os.devnull) as file, pytest.warns(UserWarning, match="values of <lambda> are not kept: "):
        assert pool.map(lambda n: file and n, [1], cache=True).cached == 0


def test_an_executor_that_runs_tasks_in_this_program_keeps_nothing(pool):
    assert pool.map(abs, [-3], cache=True).results() == [3]
    with wrenlite.Executor.inline() as executor:
        with pytest.warns(UserWarning, match=r"Executor.local\(1\) keeps values") as caught:
            job = executor.map(abs, [-3], cache=True)
        assert (job.results(), job.cached) == ([3], 0)
        assert [each.filename for each in caught] == [__file__]


def test_workers_keep_the_environment_that_they_began_with(monkeypatch):
    def read(name):
        return os.environ[name]

    def run(executor):
        job = executor.map(read, ["MODE_OF_TEST"], cache=True)
        return job.results(), job.cached

    for mode, cached in (("1", 0), ("2", 0), ("2", 1)):
        monkeypatch.setenv("MODE_OF_TEST", mode)
        with wrenlite.Executor.local(1, progress=False) as executor:
            assert run(executor) == ([mode], cached)
            monkeypatch.setenv("MODE_OF_TEST", "3")
            assert run(executor)[0] == [mode]


def test_the_generators_of_a_seed_depend_on_the_place(pool):
    def draw(n, rng):
        return n, rng.random()

    first = pool.map(draw, [1, 2, 3], seed=7, cache=True).results()
    job = pool.map(draw, [1, 2, 3], seed=7, cache=True)
    assert (job.cached, job.results()) == (3, first)
    job = pool.map(draw, [0, 2, 2], seed=7, cache=True)
    assert job.cached == 1
    assert job.results() == pool.map(draw, [0, 2, 2], seed=7).results()
    assert pool.map(draw, [1, 2, 3], seed=8, cache=True).cached == 0


def test_a_function_that_changes_while_items_are_pickled_leaves_nothing(pool):
    factors = [1]

    def scaled(n):
        return n * factors[0]

    class One:
        def __reduce__(self):
            factors[0] = 2
            return int, (1,)

    with pytest.warns(UserWarning, match="not kept, since its code has changed while the items were read"):
        assert pool.map(scaled, [One()], cache=True).results() == [2]
    factors[0] = 1
    job = pool.map(scaled, [1], cache=True)
    assert (job.results(), job.cached) == ([1], 0)


def test_failed_tasks_leave_nothing_and_their_second_run_does(pool, runs):
    def fail(n, path):
        with open(path, "a") as file:
            file.write(f"{n}\n")
        if n == 1 and not os.path.exists(f"{path}.mended"):
            raise ValueError(n)
        return n

    job = pool.map(fail, range(3), args=(runs.path,), cache=True)
    assert isinstance(job.results(return_exceptions=True)[1], ValueError)
    Path(f"{runs.path}.mended").touch()
    job = pool.map(fail, range(4), args=(runs.path,), cache=True)
    assert (job.cached, job.results()) == (2, [0, 1, 2, 3])
    job = pool.map(fail, range(4), args=(runs.path,), cache=True)
    assert (job.cached, job.results()) == (4, [0, 1, 2, 3])
    assert runs() == Counter("01213")


def test_it_is_refused_where_it_cannot_be(pool):
    with pytest.raises(ConfigError, match="a detached job has no kept values"):
        pool.map(abs, [1], cache=True, detach=True)
    with pytest.raises(ConfigError, match="cache='yes'"):
        pool.map(abs, [1], cache="yes")


def test_a_value_that_is_gone_after_the_shutdown_is_named(cache, runs):
    def keep():
        with wrenlite.Executor.local(1, progress=False) as executor:
            return executor.map(array, range(2), args=(runs.path,), cache=True)

    keep().results()
    job = keep()
    for path in (cache / "values").glob("*/*"):
        path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(IntegrityError, match="computed again when its item is mapped again"):
        job[0].result()
    assert [int(value[0]) for value in keep().results()] == [0, 1]


_KILLED = """
    import sys
    import time
    import wrenlite

    def work(n):
        if n > 4:
            time.sleep(60)
        return n

    if __name__ == "__main__":
        executor = wrenlite.Executor.local(1, progress=False)
        job = executor.map(work, range(int(sys.argv[1])), cache=True)
        print(job.cached, flush=True)
        for _, value in zip(range(5), job.values()):
            print(value, flush=True)
"""


def test_a_killed_program_has_kept_what_had_ended(tmp_path):
    script = tmp_path / "program.py"
    script.write_text(textwrap.dedent(_KILLED))
    command = [sys.executable, str(script)]
    with subprocess.Popen([*command, "8"], stdout=subprocess.PIPE, text=True) as process:
        assert [process.stdout.readline() for _ in range(6)] == ["0\n", "0\n", "1\n", "2\n", "3\n", "4\n"]
        process.send_signal(signal.SIGKILL)
    result = subprocess.run([*command, "5"], capture_output=True, text=True, timeout=60)
    assert result.stdout == "5\n0\n1\n2\n3\n4\n"


MODEL = 0


def load(model):
    global MODEL
    MODEL = model


def use(n):
    return n * MODEL


def test_an_initializer_is_part_of_what_values_depend_on():
    def run(model):
        with wrenlite.Executor.local(1, progress=False, initializer=load, initargs=(model,)) as executor:
            job = executor.map(use, range(3), cache=True)
            return job.cached, job.results()

    assert run(2) == (0, [0, 2, 4])
    assert run(2) == (3, [0, 2, 4])
    assert run(3) == (0, [0, 3, 6])
