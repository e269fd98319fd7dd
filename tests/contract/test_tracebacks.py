"""The tracebacks and notes of tasks' exceptions, on every backend."""

import asyncio
import concurrent.futures
import copy
import gc
import inspect
import os
import pickle
import re
import sys
import threading
import traceback
import weakref

import pytest

import wrenlite


def inner(x):
    return 10 / x


def outer(x):
    if x < 0:
        try:
            return inner(0)
        except ZeroDivisionError as error:
            raise KeyError("none") from error
    return inner(x)


def line_of(function, text):
    lines, first = inspect.getsourcelines(function)
    return first + next(place for place, line in enumerate(lines) if text in line)


def frames(error):
    return [(each.filename, each.name, each.lineno) for each in traceback.extract_tb(error.__traceback__)]


IN_OUTER = (__file__, "outer", line_of(outer, "return inner(x)"))
IN_INNER = (__file__, "inner", line_of(inner, "10 / x"))


def test_an_exception_has_the_frames_of_its_task(executor):
    error = executor.map(outer, [0])[0].exception()
    assert frames(error) == [IN_OUTER, IN_INNER]
    last = traceback.extract_tb(error.__traceback__)[-1]
    assert last.line == "return 10 / x"
    text = inspect.getsourcelines(inner)[0][1]
    assert text[last.colno : last.end_colno] == "10 / x"
    code = error.__traceback__.tb_frame.f_code
    assert (code.co_qualname, code.co_firstlineno) == ("outer", line_of(outer, "def outer"))


async def awaited(awaitable):
    return await awaitable


WAYS_TO_ASK = {
    "results": lambda executor: executor.map(outer, [0]).results(),
    "result": lambda executor: executor.submit(outer, 0).result(),
    "values": lambda executor: list(executor.map(outer, [0]).values()),
    "values as they come": lambda executor: list(executor.map(outer, [0]).values(ordered=False)),
    "await a job": lambda executor: asyncio.run(awaited(executor.map(outer, [0]))),
    "await a future": lambda executor: asyncio.run(awaited(executor.submit(outer, 0))),
    "as_concurrent": lambda executor: list(executor.as_concurrent().map(outer, [0])),
    "PyWren": lambda executor: wrenlite.get_all_results([executor.call_async(outer, 0)]),
}


def test_no_frame_of_wrenlite_is_between_the_callers_line_and_the_tasks(executor):
    own = {__file__, asyncio.runners.__file__, asyncio.base_events.__file__}
    for way, ask in WAYS_TO_ASK.items():
        with pytest.raises(ZeroDivisionError) as caught:
            ask(executor)
        *callers, first, second = frames(caught.value)
        assert [first, second] == [IN_OUTER, IN_INNER], way
        assert callers, way
        assert {file for file, _, _ in callers} <= own, way


class Interrupted:
    """An object whose unpickling is interrupted."""

    def __reduce__(self):
        return interrupt, ()


def interrupt():
    if threading.current_thread() is threading.main_thread():  # not on the worker
        raise KeyboardInterrupt


def test_an_interrupt_in_the_users_own_code_shows_that_code(pool):
    job = pool.map(lambda n: Interrupted(), [0])
    for ask in (job.results, job[0].result, lambda: list(job.values())):
        with pytest.raises(KeyboardInterrupt) as caught:
            ask()
        assert frames(caught.value)[-1][1] == "interrupt"
        assert "job.py" not in str(frames(caught.value))


def test_the_traceback_of_a_builtin_function_ends_at_the_callers_line(executor):
    job = executor.map(int, ["x"])
    for ask in (job.results, job[0].result):
        with pytest.raises(ValueError, match="invalid literal") as caught:
            ask()
        assert [name for _, name, _ in frames(caught.value)] == [inspect.currentframe().f_code.co_name]


def test_each_exception_of_a_chain_has_its_own_traceback(executor):
    error = executor.map(outer, [-1])[0].exception()
    assert [name for _, name, _ in frames(error)] == ["outer"]
    assert [name for _, name, _ in frames(error.__cause__)] == ["outer", "inner"]

    def loud(_):
        try:
            outer(-1)
        except KeyError:
            inner(0)

    error = executor.map(loud, [0])[0].exception()
    assert error.__cause__ is None
    assert [name for _, name, _ in frames(error)] == ["loud", "inner"]
    assert [name for _, name, _ in frames(error.__context__)] == ["loud", "outer"]
    assert [name for _, name, _ in frames(error.__context__.__cause__)] == ["outer", "inner"]


def test_each_member_of_a_group_has_its_own_traceback_and_causes(executor):
    def several(_):
        errors = []
        for x in (0, -1):
            try:
                outer(x)
            except Exception as error:
                errors.append(error)
        raise ExceptionGroup("several", [errors[0], ExceptionGroup("more", [errors[1]])])

    group = executor.map(several, [0])[0].exception()
    assert [name for _, name, _ in frames(group)] == ["several"]
    first, more = group.exceptions
    assert [name for _, name, _ in frames(first)] == ["several", "outer", "inner"]
    assert more.__traceback__ is None
    (second,) = more.exceptions
    assert [name for _, name, _ in frames(second)] == ["several", "outer"]
    assert [name for _, name, _ in frames(second.__cause__)] == ["outer", "inner"]


def test_a_cause_that_cannot_be_pickled_whole_has_its_frames(executor):
    def fails(_):
        error = ValueError("held a lock")
        error.lock = threading.Lock()
        try:
            raise error
        except ValueError as cause:
            raise KeyError("after it") from cause

    error = executor.map(fails, [0])[0].exception()
    assert type(error) is KeyError
    assert type(error.__cause__) is ValueError
    assert [name for _, name, _ in frames(error.__cause__)] == ["fails"]


def test_a_cause_that_cannot_be_unpickled_here_becomes_text_with_its_frames(executor):
    here = os.getpid()

    class OnlyThere(Exception):
        def __reduce__(self):
            return (int, ("no number",)) if os.getpid() == here else (OnlyThere, ())

    def fails(_):
        try:
            outer(0)
        except ZeroDivisionError as error:
            raise ExceptionGroup("several", [error, OnlyThere()]) from error

    error = executor.map(fails, [0])[0].exception()
    if type(error) is wrenlite.RemoteError:  # not inline
        assert str(error).count("return 10 / x") == 1
        assert "OnlyThere" in str(error)
    assert [name for _, name, _ in frames(error)] == ["fails"]
    assert [name for _, name, _ in frames(error.__cause__)] == ["fails", "outer", "inner"]


def test_a_note_names_the_task_and_its_worker(executor):
    def fails_twice(n):
        if n:
            print("about to fail")
            raise ValueError(n)

    job = executor.map(fails_twice, [0, 5], retries=1)
    error = job[1].exception()
    (note,) = error.__notes__
    job.wait()
    stats = job.stats()[1]
    request = f", request {stats.request_id}" if stats.request_id else ""
    assert note == (
        f"wrenlite: task 1 of {job.id}, attempt 2, worker {stats.worker}{request}; its output: job.logs(1)"
    )
    assert bool(stats.request_id) == ("Lambda" in repr(executor))


def test_a_failed_tasks_exception_can_be_pickled_and_copied(executor):
    error = executor.map(outer, [-1])[0].exception()
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is KeyError
        assert (other.args, other.__notes__) == (error.args, error.__notes__)


def test_many_threads_raise_the_same_exception(executor):
    job = executor.map(outer, [0])
    together = threading.Barrier(8)

    def ask():
        together.wait()
        for _ in range(200):
            with pytest.raises(ZeroDivisionError) as caught:
                job[0].result()
        return caught.value

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        errors = [asked.result() for asked in [threads.submit(ask) for _ in range(8)]]
    assert len(set(map(id, errors))) == 1
    assert frames(errors[0])[-2:] == [IN_OUTER, IN_INNER]
    assert len(frames(errors[0])) < 20


def test_an_exception_keeps_no_objects_of_its_caller(executor):
    class Large:
        pass

    job = executor.map(outer, [0])

    def ask():
        large = Large()
        error = job[0].exception()
        return error, weakref.ref(large)

    job.wait()
    gc.disable()
    try:
        error, large_ref = ask()
        assert large_ref() is None
    finally:
        gc.enable()
    assert error.__traceback__.tb_frame.f_back is None


def test_source_that_cannot_be_found_is_left_out(executor):
    namespace = {}
    exec(compile("\n\ndef f(x):\n    return 1 / x\n", "/nowhere/made.py", "exec"), namespace)
    shown = "".join(traceback.format_exception(executor.map(namespace["f"], [0])[0].exception()))
    assert '  File "/nowhere/made.py", line 4, in f\nZeroDivisionError' in shown


@pytest.mark.parametrize("change", ["edited", "gone"])
def test_a_line_whose_file_has_changed_is_shown_as_the_worker_ran_it(executor, tmp_path, monkeypatch, change):
    (tmp_path / "edited_later.py").write_text("def f(x):\n    return 1 / x  # as it ran\n")
    monkeypatch.syspath_prepend(tmp_path)
    import edited_later

    try:
        job = executor.map(edited_later.f, [0])
        job.wait()
        if change == "gone":
            (tmp_path / "edited_later.py").unlink()
        else:
            (tmp_path / "edited_later.py").write_text("# a new first line\n\ndef f(x):\n    return 2 / x\n")
        shown = "".join(traceback.format_exception(job[0].exception()))
    finally:
        del sys.modules["edited_later"]
    file = re.escape(str(tmp_path / "edited_later.py"))
    assert re.search(
        rf'File "{file} \(on the worker\)", line 2, in f\n    return 1 / x  # as it ran\n', shown
    )


def test_a_job_inside_a_task_shows_the_lines_of_both():
    with wrenlite.Executor.inline() as executor:

        def nested(x):
            return wrenlite.Executor.inline().map(outer, [x]).results()

        with pytest.raises(ZeroDivisionError) as caught:
            executor.map(nested, [0]).results()
    assert [name for _, name, _ in frames(caught.value)][1:] == ["nested", "outer", "inner"]
    assert len(caught.value.__notes__) == 2


def test_the_traceback_of_a_dead_worker_ends_at_the_callers_line(pool):
    def die(_):
        import os

        os._exit(3)

    with pytest.raises(wrenlite.WorkerDied) as caught:
        pool.map(die, [0]).results()
    assert len(frames(caught.value)) == 1


def test_the_request_of_a_task_that_died_on_lambda_is_named(bed):
    def die(_):
        import os

        os._exit(3)

    with wrenlite.Executor.aws(max_concurrency=1) as executor:
        job = executor.map(die, [0])
        (note,) = job[0].exception().__notes__
    assert re.search(r"attempt 1, worker .+, request [-0-9a-f]{36}$", note)
    assert str(job.stats()[0].request_id) in note
