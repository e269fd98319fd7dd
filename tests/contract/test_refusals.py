"""What wrenlite refuses: the traceback ends at the caller's line, on every public method."""

import inspect
import os
import pickle
import re
import threading
import traceback
from pathlib import Path

import pytest

import wrenlite
from wrenlite.interop.concurrent import ConcurrentExecutor
from wrenlite.lazy_map import LazyValues

PUBLIC = (
    wrenlite.Executor,
    wrenlite.Job,
    wrenlite.OpenJob,
    wrenlite.Future,
    wrenlite.Ref,
    LazyValues,
    ConcurrentExecutor,
)
FUNCTIONS = (wrenlite.wait, wrenlite.as_completed, wrenlite.get_all_results, wrenlite.default_executor)


def same(x):
    return x


def closure_over_a_lock():
    lock = threading.Lock()
    return lambda x: lock


def frames(error):
    """The names of the functions in a traceback, and in those of the exceptions that it comes from."""
    names = []
    while error is not None:
        names += [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return names


def public_methods():
    for owner in PUBLIC:
        for base in owner.__mro__:
            if base.__module__.startswith("wrenlite"):
                for name, member in vars(base).items():
                    if not name.startswith("_") and callable(getattr(member, "__func__", member)):
                        yield owner, name


@pytest.fixture
def things():
    with wrenlite.Executor.inline() as executor:
        job = executor.map(same, [1])
        yield {
            wrenlite.Executor: executor,
            wrenlite.Job: job,
            wrenlite.OpenJob: executor.stream(same),
            wrenlite.Future: job[0],
            wrenlite.Ref: executor.put(1),
            LazyValues: executor.map(same, [1], buffersize=1),
            ConcurrentExecutor: executor.as_concurrent(),
        }


@pytest.mark.parametrize(("owner", "name"), sorted(set(public_methods()), key=str))
def test_a_wrong_call_of_a_public_method_shows_no_frame_of_wrenlite(things, owner, name):
    method = getattr(things[owner], name)
    with pytest.raises((TypeError, ValueError)) as caught:
        method(*[object()] * 20)  # which none of them takes
    assert frames(caught.value) == [inspect.currentframe().f_code.co_name]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_wrong_call_of_a_public_function_shows_no_frame_of_wrenlite(function):
    with pytest.raises(TypeError) as caught:
        function(*[object()] * 20)
    assert frames(caught.value) == [inspect.currentframe().f_code.co_name]


REFUSALS = {
    "data": lambda executor: executor.map(same, 5),
    "a lock": lambda executor: executor.map(closure_over_a_lock(), [1]),
    "an item": lambda executor: executor.map(same, [threading.Lock()]),
    "an option": lambda executor: executor.map(same, [1], retries=-1),
    "an unknown option": lambda executor: executor.map(same, [1], bogus=1),
    "read later": lambda executor: executor.map(same, 5, buffersize=3),
    "no function": lambda executor: executor.submit(5),
    "a setting": lambda executor: wrenlite.Executor.local("many"),
    "a backend": lambda executor: wrenlite.Executor(5),
    "put": lambda executor: executor.put(threading.Lock()),
    "a timeout": lambda executor: executor.map(same, [1]).results(timeout="soon"),
    "no such task": lambda executor: executor.map(same, [1])[7],
    "no number": lambda executor: executor.map(same, [1]).cancel_tasks(["first"]),
    "no numbers": lambda executor: executor.map(same, [1]).cancel_tasks(5),
    "no attribute": lambda executor: executor.map(same, [1]).gather,
    "a future's state": lambda executor: executor.map(same, [1])[0].set_result(1),
    "as_concurrent": lambda executor: executor.as_concurrent().map(pow, [1], 5),
    "PyWren": lambda executor: wrenlite.wait(5),
    "PyWren's return_when": lambda executor: wrenlite.wait([], return_when="some"),
    "closed": lambda executor: executor.stream(same).__exit__(None, None, None) or closed(executor).submit(1),
}


def closed(executor):
    job = executor.stream(same)
    job.close()
    return job


@pytest.mark.parametrize("what", REFUSALS)
def test_a_refusal_shows_the_callers_line_alone(what):
    with wrenlite.Executor.inline() as executor, pytest.raises(Exception) as caught:  # noqa: PT011
        REFUSALS[what](executor)
    assert frames(caught.value)[0] == inspect.currentframe().f_code.co_name
    assert set(frames(caught.value)[1:]) == {"<lambda>"}


def test_an_executor_that_was_shut_down_and_a_timeout_show_the_callers_line_alone(pool, tmp_path):
    os.mkfifo(tmp_path / "never")
    job = pool.map(Path.read_text, [tmp_path / "never"])
    for ask in (
        job.results,
        job[0].result,
        lambda timeout: next(job.values(timeout=timeout)),
        lambda timeout: next(job.as_completed(timeout)),
        lambda timeout: next(wrenlite.as_completed([job], timeout)),
    ):
        with pytest.raises(TimeoutError) as caught:
            ask(timeout=0.01)
        assert set(frames(caught.value)) <= {inspect.currentframe().f_code.co_name, "<lambda>"}
    job.cancel()
    pool.shutdown()
    with pytest.raises(wrenlite.ExecutorClosed) as closed:
        pool.map(same, [1])
    assert frames(closed.value) == [inspect.currentframe().f_code.co_name]


CANCELLED = """\
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance(colors="nocolor")
for cell in (
    "import pickle, threading, time, wrenlite; executor = wrenlite.Executor.local(1, progress=False)",
    "def sleeps(s): time.sleep(s)",
    "job = executor.map(sleeps, [600, 600])",
    "threading.Timer(0.2, job.cancel).start(); job.results()",  # as the panel's button does
    "job[1].result()",
    "pickle.loads(pickle.dumps(job.results(return_exceptions=True)));",
    "executor.shutdown()",
):
    shell.run_cell(cell, store_history=True)
"""


def test_a_cancelled_job_is_one_line_in_ipython(script, tmp_path):
    home = {**os.environ, "IPYTHONDIR": str(tmp_path / "ipython"), "HOME": str(tmp_path)}
    ended = script(CANCELLED, env=home)
    assert ended.returncode == 0, ended.stderr
    assert re.fullmatch(
        r"task 0 of sleeps-\w+ was cancelled\ntask 1 of sleeps-\w+ was cancelled\n", ended.stdout
    )


def test_the_users_own_frames_stay(executor):
    def data():
        yield 1
        raise KeyError("mine")

    class Stubborn:
        def __reduce__(self):
            raise ValueError("no")

    with pytest.raises(KeyError) as caught:
        executor.map(same, data())
    assert frames(caught.value) == [inspect.currentframe().f_code.co_name, "data"]
    with pytest.raises(wrenlite.ItemNotPicklable) as refused:
        executor.map(same, [Stubborn()])
    assert frames(refused.value) == [inspect.currentframe().f_code.co_name, "__reduce__"]


def test_an_error_that_nobody_foresaw_keeps_its_frames_for_the_report(monkeypatch):
    with wrenlite.Executor.inline() as executor:
        monkeypatch.setattr("wrenlite.submission.read_items", None)  # stands for a mistake of wrenlite's own
        with pytest.raises(TypeError) as caught:
            executor.map(same, [1], buffersize=1)
    assert "run_or_read" in frames(caught.value)


def test_a_job_that_is_pickled_says_what_to_pass(executor):
    with pytest.raises(TypeError, match="pass its results") as caught:
        pickle.dumps(executor.map(same, [1]))
    assert frames(caught.value) == [inspect.currentframe().f_code.co_name]


@pytest.mark.parametrize("data", [5, None, 2.5])
def test_what_cannot_be_iterated_over_is_named(executor, data):
    with pytest.raises(wrenlite.ArgumentError, match=rf"^data={data}: must be an iterable") as caught:
        executor.map(same, data)
    assert caught.value.__cause__ is None
    with pytest.raises(wrenlite.ArgumentError, match=rf"^iterables\[1\]={data}: must be an iterable"):
        executor.as_concurrent().map(pow, [1], data)


def test_a_wrong_number_of_a_task_leaves_the_job_and_the_executor_alone(executor):
    job = executor.map(same, range(3))
    with pytest.raises(wrenlite.ArgumentError, match="'a' is not the number of a task"):
        job.cancel_tasks(["a"])
    with pytest.raises(IndexError, match="there is no task 3"):
        job.cancel_tasks([3])
    assert job.results() == [0, 1, 2]
    assert executor.map(same, [1]).results() == [1]
