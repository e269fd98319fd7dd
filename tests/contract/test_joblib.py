"""joblib's backend ``wrenlite``: what users of ``joblib.Parallel`` see."""

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config

import wrenlite
import wrenlite.interop.joblib


@pytest.fixture(scope="module")
def two(servers):
    with wrenlite.Executor.local(2, progress=False) as made:
        made.warm(2)
        servers |= set(made.map(slow_pid, range(8), chunksize=1).results())  # they serve the whole module
        yield made


@pytest.fixture
def on_two(two):
    with parallel_config("wrenlite", executor=two):
        yield two


def slow_pid(_):
    time.sleep(0.05)
    return os.getpid()


def square(x):
    return x * x


def looked_at(array):
    return float(np.sum(array)), array.flags.writeable


def test_tasks_run_on_workers_and_their_values_come_in_order(on_two):
    assert Parallel()(delayed(square)(x) for x in range(200)) == [x * x for x in range(200)]
    assert os.getpid() not in Parallel()(delayed(os.getpid)() for _ in range(4))


def test_functions_of_a_notebook_and_keyword_arguments(on_two):
    assert Parallel()(delayed(lambda x, y: x - y)(x, y=1) for x in range(3)) == [-1, 0, 1]


def test_a_call_with_one_job_runs_here(on_two):
    assert Parallel(n_jobs=1)(delayed(os.getpid)() for _ in range(2)) == [os.getpid()] * 2


def test_an_inline_executor_runs_tasks_here():
    with wrenlite.Executor.inline() as executor, parallel_config("wrenlite", executor=executor):
        assert Parallel()(delayed(os.getpid)() for _ in range(2)) == [os.getpid()] * 2
        assert joblib.effective_n_jobs(-1) == 1


def test_an_executor_with_one_worker_is_used():
    with wrenlite.Executor.local(1, progress=False) as one, parallel_config("wrenlite", executor=one):
        assert os.getpid() not in Parallel()(delayed(os.getpid)() for _ in range(3))


@pytest.mark.parametrize(("n_jobs", "expected"), [(-1, 2), (-2, 1), (-9, 1), (2, 2), (5, 5), (1, 1)])
def test_the_number_of_jobs(on_two, n_jobs, expected):
    assert joblib.effective_n_jobs(n_jobs) == expected


def test_no_jobs_at_all(on_two):
    with pytest.raises(ValueError, match="n_jobs == 0"):
        Parallel(n_jobs=0)(delayed(square)(x) for x in range(3))


def test_at_most_n_jobs_tasks_run_at_once(two, tmp_path, servers):
    with (
        wrenlite.Executor.local(3, progress=False) as executor,
        parallel_config("wrenlite", executor=executor, n_jobs=2),
    ):
        most = max(Parallel(batch_size=1)(delayed(count_running)(tmp_path, number) for number in range(12)))
    assert most == 2


def count_running(folder, number):
    """Return how many tasks run at the end of this one, which lasts for 50 ms."""
    mark = Path(folder, str(number))
    mark.touch()
    time.sleep(0.05)
    running = len(os.listdir(folder))
    mark.unlink()
    return running


@pytest.mark.parametrize("return_as", ["generator", "generator_unordered"])
def test_a_generator_gives_values_before_all_tasks_have_ended(on_two, tmp_path, return_as):
    values = Parallel(return_as=return_as, pre_dispatch=2)(
        delayed(wait_for)(None if number == 0 else tmp_path / "go", number) for number in range(4)
    )
    assert next(values) == 0
    (tmp_path / "go").touch()
    assert sorted(values) == [1, 2, 3]


def wait_for(mark, value):
    while mark is not None and not mark.exists():
        time.sleep(0.01)
    return value


def test_a_generator_in_order_is_in_order(on_two):
    assert list(Parallel(return_as="generator")(delayed(square)(x) for x in range(50))) == [
        x * x for x in range(50)
    ]


def test_a_call_inside_a_task_runs_in_threads_of_its_worker(on_two):
    outer = Parallel()(delayed(inner_call)() for _ in range(2))
    for process, backend, inner in outer:
        assert process != os.getpid()
        assert backend == "ThreadingBackend"
        assert {pid for pid, _ in inner} == {process}
        assert {name for _, name in inner} == {"SequentialBackend"}


def inner_call():
    return os.getpid(), active(), Parallel(n_jobs=2)(delayed(pid_and_active)() for _ in range(3))


def pid_and_active():
    return os.getpid(), active()


def active():
    return type(joblib.parallel.get_active_backend()[0]).__name__


def test_a_call_that_names_the_backend_inside_a_task_runs_in_that_task(on_two):
    for process, inner in Parallel()(delayed(named_inner_call)() for _ in range(2)):
        assert set(inner) == {process}


def named_inner_call():
    return os.getpid(), Parallel(n_jobs=2, backend="wrenlite")(delayed(os.getpid)() for _ in range(3))


def test_a_failure_is_raised_as_it_is_and_cancels_the_other_tasks(pool, tmp_path):
    started = time.monotonic()
    with (
        parallel_config("wrenlite", executor=pool),
        pytest.raises(ValueError, match="invalid literal") as info,
    ):
        Parallel(batch_size=1)(delayed(fail_or_wait)(number) for number in range(50))
    assert 'int("one")' in str(info.value.__cause__)  # as with joblib's other backends
    assert time.monotonic() - started < 60, "the others sleep that long"
    with parallel_config("wrenlite", executor=pool):  # it goes on
        assert Parallel()(delayed(square)(x) for x in range(4)) == [0, 1, 4, 9]


def fail_or_wait(number):
    if number == 1:
        int("one")
    time.sleep(60)


def test_a_call_that_takes_too_long_is_cancelled(pool):
    with parallel_config("wrenlite", executor=pool), pytest.raises(multiprocessing.TimeoutError):
        Parallel(timeout=0.2)(delayed(time.sleep)(60) for _ in range(5))


def test_an_interrupt_cancels_what_runs_and_what_is_queued(pool, tmp_path):
    mark = tmp_path / "runs"

    def interrupt():
        while not mark.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with parallel_config("wrenlite", executor=pool), pytest.raises(KeyboardInterrupt):
        Parallel()(delayed(touch_and_wait)(mark) for _ in range(5))
    thread.join()


def touch_and_wait(mark):
    mark.touch()
    time.sleep(60)


def test_an_abandoned_generator_cancels_its_tasks(pool):
    with parallel_config("wrenlite", executor=pool):
        values = Parallel(return_as="generator", batch_size=1)(
            delayed(time.sleep)(60 * (number > 0)) for number in range(4)
        )
        assert next(values) is None
        with pytest.warns(UserWarning, match="have been cancelled"):
            values.close()


def test_what_cannot_be_pickled_is_said(pool):
    def arguments(at):
        for number in range(50):
            yield threading.Lock() if number == at else number

    for at in (30, 0):
        with (
            parallel_config("wrenlite", executor=pool),
            pytest.raises(wrenlite.ItemNotPicklable, match="lock"),
        ):
            Parallel(batch_size=1)(delayed(id)(each) for each in arguments(at))


def test_a_large_array_is_stored_once_and_freed_after_the_call(on_two, monkeypatch):
    store, stored = on_two.backend.store, []
    put = type(store).put
    monkeypatch.setattr(
        type(store),
        "put",
        lambda self, key, *rest, **more: stored.append(key) or put(self, key, *rest, **more),
    )
    array = np.arange(400_000.0)
    expected = (float(array.sum()), False)
    assert Parallel()(delayed(looked_at)(array) for _ in range(12)) == [expected] * 12
    assert list(store.list("results/")) == []
    assert len([key for key in stored if key.startswith("results/put")]) == 1
    frames = [{"nested": [array]} for _ in range(6)]
    assert Parallel()(delayed(look_inside)(frame) for frame in frames) == [expected] * 6
    assert list(store.list("results/")) == []


def look_inside(frame):
    return looked_at(frame["nested"][0])


def test_an_array_of_one_task_is_not_stored(on_two, monkeypatch):
    monkeypatch.setattr(type(on_two.backend.store), "put", None)
    arrays = [np.full(400_000, float(number)) for number in range(6)]
    assert Parallel()(delayed(looked_at)(array) for array in arrays) == [
        (400_000.0 * number, False) for number in range(6)
    ]


def test_arrays_of_any_kind_are_read_only_in_all_tasks(on_two, tmp_path):
    square = np.arange(1e6).reshape(1000, 1000)
    np.save(tmp_path / "saved.npy", square)
    for array in (
        square.T,
        square[:, ::2],
        np.load(tmp_path / "saved.npy", mmap_mode="r"),
        square.astype(">f4"),
    ):
        seen = Parallel(batch_size=1)(delayed(described)(array) for _ in range(3))
        assert seen == [("ndarray", False, array.dtype, array.flags.f_contiguous, array.tobytes())] * 3


def described(array):
    return type(array).__name__, array.flags.writeable, array.dtype, array.flags.f_contiguous, array.tobytes()


def test_large_arrays_in_other_objects(on_two):
    import pandas as pd  # here: workers import this module

    table = pd.DataFrame(np.ones((1000, 1000)))
    assert Parallel()(delayed(lambda table: float(table.values.sum()))(table) for _ in range(4)) == [1e6] * 4


def test_threads_of_numeric_libraries_inside_tasks(two):
    with parallel_config("wrenlite", executor=two, inner_max_num_threads=3):
        found = Parallel()(delayed(os.getenv)("OMP_NUM_THREADS") for _ in range(2))
    assert found == ["3", "3"]


def test_arrays_that_tasks_may_change(on_two):
    array = np.zeros(400_000)
    kinds = Parallel(mmap_mode="c")(delayed(looked_at)(array) for _ in range(4))
    kinds += Parallel(max_nbytes=None)(delayed(looked_at)(array) for _ in range(4))
    assert kinds == [(0.0, True)] * 8
    with pytest.raises(wrenlite.ConfigError, match="mmap_mode='w\\+': workers cannot write"):
        Parallel(mmap_mode="w+")(delayed(looked_at)(array) for _ in range(4))


def test_options_that_do_not_exist():
    with pytest.raises(
        wrenlite.ArgumentError,
        match=r"has no option 'workers', which is one of executors: .* it has executor, env",
    ):
        parallel_config("wrenlite", workers=4)
    with pytest.raises(wrenlite.ArgumentError, match="has no option 'retry'"):
        Parallel(backend="wrenlite", retry=4)(delayed(square)(x) for x in range(3))
    with pytest.raises(wrenlite.ConfigError, match="executor=4: must be an Executor"):
        parallel_config("wrenlite", executor=4)


def test_options_of_the_job(two, tmp_path):
    with parallel_config("wrenlite", executor=two, retries=1, env={"COLOUR": "blue"}):
        colours = Parallel(batch_size=1)(delayed(fail_once)(tmp_path / str(number)) for number in range(2))
    assert colours == ["blue", "blue"]


def fail_once(mark):
    if not mark.exists():
        mark.touch()
        raise OSError("the first attempt")
    return os.environ["COLOUR"]


def test_an_executor_that_is_passed_to_parallel(two):
    call = Parallel(n_jobs=2, backend="wrenlite", executor=two)
    assert call(delayed(square)(x) for x in range(4)) == [0, 1, 4, 9]


def test_several_calls_in_a_with_block(on_two):
    with Parallel() as parallel:
        for count in (3, 0, 5):
            assert parallel(delayed(square)(x) for x in range(count)) == [x * x for x in range(count)]
