"""What users do with futures and in done-callbacks: it never affects another job."""

import asyncio
import concurrent.futures
import queue
import threading

import pytest

import wrenlite


def wait_for_file(path):
    import os
    import time

    while not os.path.exists(path):
        time.sleep(0.01)
    return "found"


@pytest.fixture
def gate(tmp_path):
    """A file for which tasks wait."""
    yield tmp_path / "gate"
    (tmp_path / "gate").touch()


def test_the_state_of_a_future_cannot_be_set(pool, gate):
    future = pool.submit(wait_for_file, str(gate))
    for setting in (
        lambda: future.set_result(1),
        lambda: future.set_exception(ValueError()),
        lambda: future.set_running_or_notify_cancel(),
    ):
        with pytest.raises(
            concurrent.futures.InvalidStateError, match=f"task 0 of {future.job.id} is not yo"
        ):
            setting()
    concurrent.futures.Future.set_result(future, "behind our back")
    assert not future.done()
    gate.touch()
    assert future.result(30) == "found"
    assert pool.submit(abs, -5).result(30) == 5


ERRORS = [
    pytest.fail.Exception("failed"),
    asyncio.CancelledError(),
    GeneratorExit(),
    KeyboardInterrupt(),
    SystemExit(3),
    StopIteration(),
]


def test_what_a_callback_raises_is_logged(pool, gate, caplog):
    def fail_with(error):
        def fail(_):
            raise error

        return fail

    called = queue.SimpleQueue()
    other = pool.submit(wait_for_file, str(gate))
    job = pool.map(wait_for_file, [str(gate)] * len(ERRORS))
    for future, error in zip(job, ERRORS, strict=True):
        future.add_done_callback(fail_with(error))
        future.add_done_callback(called.put)
    job[0].cancel()
    gate.touch()
    assert {called.get(timeout=30) for _ in ERRORS} == set(job)
    assert other.result(30) == "found"
    assert pool.submit(abs, -5).result(30) == 5
    assert {record.name for record in caplog.records} == {"concurrent.futures"}
    assert {record.exc_info[1] for record in caplog.records} == set(ERRORS)
    assert caplog.messages[0] == f"exception calling callback for {job[0]!r}"


def test_a_callback_may_use_its_executor(pool, gate):
    def use(future):
        try:
            future._done_callbacks.remove(use)
            found = [pool.submit(abs, -1).result(30), pool.map(abs, [-2]).results(timeout=30)]
            concurrent.futures.wait([another := pool.submit(abs, -3)], 30)
            found.append(another.result(0))
            found.append(waiting.cancel())
            pool.shutdown()
            with pytest.raises(wrenlite.ExecutorClosed):
                pool.submit(abs, 1)
            seen.put(found)
        except BaseException as error:
            seen.put(error)

    seen = queue.SimpleQueue()
    waiting = pool.submit(wait_for_file, str(gate))
    first = pool.submit(wait_for_file, str(gate))
    first.add_done_callback(use)
    first.cancel()
    assert seen.get(timeout=30) == [1, [2], 3, True]
    assert waiting.cancelled()


def test_a_callback_that_waits_holds_up_no_job(gate):
    released, called = threading.Event(), queue.SimpleQueue()
    with wrenlite.Executor.local(1, progress=False) as executor:
        future = executor.submit(wait_for_file, str(gate))
        future.add_done_callback(lambda _: released.wait())
        future.add_done_callback(called.put)
        gate.touch()
        assert executor.map(abs, [-1, -2]).results(timeout=30) == [1, 2]
        done, _ = concurrent.futures.wait([executor.submit(abs, -3)], 30)
        assert done
        assert called.empty()
        released.set()
    assert called.get_nowait() is future, "shutdown waits for callbacks"


def test_a_callback_of_an_ended_task_runs_at_once_where_it_is_added(caplog):
    def fail(error):
        def callback(_):
            raise error

        return callback

    with wrenlite.Executor.inline() as executor:
        future = executor.submit(abs, -1)
        threads = []
        future.add_done_callback(lambda _: threads.append(threading.current_thread()))
        assert threads == [threading.current_thread()]
        future.add_done_callback(fail(ValueError("logged")))
        assert caplog.messages == [f"exception calling callback for {future!r}"]
        with pytest.raises(KeyboardInterrupt):  # as in the standard library
            future.add_done_callback(fail(KeyboardInterrupt()))
        assert executor.submit(abs, -2).result() == 2


def test_an_atexit_hook_may_submit_until_wrenlite_has_ended(script):
    ended = script(
        """
        import atexit

        atexit.register(lambda: try_it("late"))

        import wrenlite

        def try_it(when):
            for each in (executor, inline):
                try:
                    print(f"{when} {each.submit(abs, -2).result()}\\n", end="")  # whole, beside other threads
                except wrenlite.ExecutorClosed as error:
                    print(f"{when} {error}\\n", end="")

        executor = wrenlite.Executor.local(1, progress=False)
        inline = wrenlite.Executor.inline()
        executor.submit(abs, -1).add_done_callback(lambda _: print("called back\\n", end=""))
        atexit.register(lambda: try_it("early"))
        """
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = sorted(ended.stdout.splitlines())
    closed = "the program is ending, and takes no more tasks; submit them before its end"
    assert lines == ["called back", "early 2", "early 2", f"late {closed}", f"late {closed}"]
