"""Tasks that fail, crash or damage their worker.

Each gets a clear error, other tasks are not affected, and attempts are counted exactly.
"""

import asyncio
import dataclasses
import email.message
import errno
import functools
import inspect
import itertools
import os
import re
import signal
import socket
import sys
import textwrap
import threading
import time
import traceback
import types
import urllib.error

import pytest

import wrenlite
from wrenlite.backends import local


def results(pool, function, items, **options):
    return pool.map(function, items, **options).results(return_exceptions=True)


def formatted(error):
    return "".join(traceback.format_exception(error))


# Exceptions


class _KeywordOnly(Exception):
    def __init__(self, *, code):
        super().__init__(f"code {code}")
        self.code = code


class _HoldsALock(Exception):
    def __init__(self, text):
        super().__init__(text)
        self.lock = threading.Lock()
        self.code = 404


class _OwnNew(Exception):
    def __new__(cls, code, reason):
        return super().__new__(cls, code, reason)

    def __init__(self, code, reason):
        super().__init__(f"{code}: {reason}")
        self.code = code


class _MissingFile(OSError):
    def __init__(self, path):
        super().__init__(errno.ENOENT, "not there", path)
        self.code = 404


def _http_error():
    return urllib.error.HTTPError("http://a/b", 404, "Not Found", email.message.Message(), socket.socket())


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: _KeywordOnly(code=404), "code 404"),
        (lambda: _HoldsALock("held"), "held"),
        (lambda: _OwnNew(404, "nothing there"), "404: nothing there"),
        (lambda: _MissingFile("a.txt"), "[Errno 2] not there: 'a.txt'"),
        (_http_error, "HTTP Error 404: Not Found"),
    ],
    ids=["keyword-only arguments", "a lock", "own __new__", "an OSError", "a socket"],
)
def test_an_exception_that_pickle_cannot_rebuild_keeps_its_type(pool, make, text):
    def fails(place):
        error = make()
        if place == "cause":
            raise KeyError("after it") from error
        if place == "context":
            try:
                raise error
            except type(error):
                raise KeyError("after it")  # noqa: B904  # the context is what is tested
        if "member" in place:
            error = ExceptionGroup("several", [ValueError(1), error])
        raise ExceptionGroup("outer", [error]) if place == "member of a member" else error

    def among(error):
        if isinstance(error, ExceptionGroup):
            return among(error.exceptions[-1])
        return error.__cause__ or error.__context__ or error if isinstance(error, KeyError) else error

    for place in ("alone", "cause", "context", "member", "member of a member"):
        error = among(pool.submit(fails, place).exception())
        assert (type(error), str(error), error.code) == (type(make()), text, 404), place
        left_out = [note for note in getattr(error, "__notes__", ()) if "cannot be pickled" in note]
        assert bool(left_out) == isinstance(error, _HoldsALock | urllib.error.HTTPError), place


def test_an_exception_whose_class_cannot_be_pickled_comes_as_text(pool):
    def fails(_):
        class Odd(Exception):
            lock = threading.Lock()

        try:
            raise Odd("about to be lost")
        except Odd as error:
            raise ExceptionGroup("several", [error, ValueError("kept")]) from error

    group = pool.submit(fails, 0).exception()
    for remote in (group.exceptions[0], group.__cause__):
        assert type(remote) is wrenlite.RemoteError
        assert "Odd: about to be lost" in str(remote)
        assert "raise Odd" in formatted(remote)
        assert any("stands for the task's own exception" in note for note in remote.__notes__)
    assert type(group.exceptions[1]) is ValueError


async def awaited(awaitable):
    return await awaitable


def test_a_stop_iteration_of_a_task_ends_no_iteration_early():
    def stop_at_1(n):
        if n == 1:
            raise StopIteration("enough")
        return n

    with wrenlite.Executor.inline() as executor:
        job = executor.map(stop_at_1, range(3))
        with pytest.raises(StopIteration, match="enough"):
            job.results()
        with pytest.raises(StopIteration, match="enough"):
            job[1].result()
        with pytest.raises(StopIteration, match="enough"):
            wrenlite.get_all_results(job)
        for awaitable in (job, job[1]):
            with pytest.raises(RuntimeError, match="a task raised StopIteration") as caught:
                asyncio.run(awaited(awaitable))
            assert isinstance(caught.value.__cause__, StopIteration)
        values = job.values(ordered=False)
        assert next(values) == 0
        with pytest.raises(RuntimeError, match=f"task 1 of {job.id} raised StopIteration") as caught:
            next(values)
        assert caught.value.__cause__ is job[1].exception()
        assert list(values) == [2], "the iteration goes on"
        with pytest.raises(RuntimeError, match="task 1 of stop_at_1-"):
            list(executor.as_concurrent().map(stop_at_1, range(3)))
        with pytest.raises(StopIteration, match="enough"):
            executor.map_reduce(stop_at_1, range(3), list).result()


def test_a_stop_async_iteration_of_a_task_ends_no_asynchronous_iteration():
    def stop(_):
        raise StopAsyncIteration

    class Values:
        def __init__(self, job):
            self.futures = iter(job)

        def __aiter__(self):
            return self

        async def __anext__(self):
            return await next(self.futures)

    async def read(job):
        return [value async for value in Values(job)]

    with wrenlite.Executor.inline() as executor:
        job = executor.map(stop, range(2))
        with pytest.raises(RuntimeError, match="a task raised StopAsyncIteration"):
            asyncio.run(read(job))
        with pytest.raises(StopAsyncIteration):
            list(job.values())


def test_an_exception_that_can_be_rebuilt_has_no_note_about_a_remote_error(pool):
    error = pool.submit(int, "x").exception()
    assert type(error) is ValueError
    assert not any("RemoteError" in note for note in error.__notes__)


def test_an_exception_that_only_the_worker_can_unpickle_comes_as_text(pool):
    class Fussy(Exception):
        def __reduce__(self):
            import os

            return (Fussy if "OMP_NUM_THREADS" in os.environ else int), ("not a number",)

    def fails(_):
        raise Fussy("only there")

    error = pool.submit(fails, 0).exception()
    assert isinstance(error, Fussy | wrenlite.RemoteError)
    assert "only there" in formatted(error)


def test_an_exception_group_keeps_its_members(pool):
    def fails(_):
        raise ExceptionGroup("several", [ValueError(1), KeyError("two")])

    error = pool.submit(fails, 0).exception()
    assert isinstance(error, ExceptionGroup)
    assert [type(member) for member in error.exceptions] == [ValueError, KeyError]
    text = formatted(error)
    assert "ValueError: 1" in text
    assert "KeyError: 'two'" in text


def test_contexts_and_suppressed_contexts_are_kept(pool):
    def fails(quiet):
        try:
            1 / 0  # noqa: B018
        except ZeroDivisionError:
            if quiet:
                raise ValueError("quiet") from None
            raise ValueError("loud")  # noqa: B904  # the context is what is tested

    loud, quiet = results(pool, fails, [False, True])
    assert isinstance(loud.__context__, ZeroDivisionError)
    assert "During handling" in formatted(loud)
    assert "ZeroDivisionError" not in formatted(quiet)


def test_notes_of_an_exception_are_kept(pool):
    def fails(_):
        error = ValueError("x")
        error.add_note("look here")
        raise error

    assert "look here" in pool.submit(fails, 0).exception().__notes__


def test_a_long_chain_of_causes_does_not_hang(pool):
    def fails(_):
        error = ValueError("last")
        for n in range(5000):
            cause, error = error, ValueError(n)
            error.__cause__ = cause
        raise error

    assert isinstance(pool.submit(fails, 0).exception(timeout=60), ValueError | wrenlite.RemoteError)


@pytest.mark.parametrize("kind", ["KeyboardInterrupt", "GeneratorExit", "asyncio.CancelledError"])
def test_exceptions_that_would_stop_the_caller_come_as_remote_errors(pool, kind):
    def fails(name):
        import asyncio  # noqa: F401

        raise eval(name)("by the task")

    with pytest.raises(wrenlite.RemoteError, match=kind.rpartition(".")[2]):
        pool.submit(fails, kind).result()


# Signals of the caller


class _Alarm(Exception):
    """What a test with a time limit raises."""


def _alarm(*_):
    raise _Alarm


class _InterruptedHere:
    """A signal arrives while this is pickled or unpickled, in the process that made it only."""

    def __init__(self):
        self.process = os.getpid()

    def __getstate__(self):
        return self.raise_signal()

    def __setstate__(self, state):
        self.process = state
        self.raise_signal()

    def raise_signal(self):
        if os.getpid() == self.process:
            signal.raise_signal(signal.SIGALRM)
        return self.process


@pytest.mark.parametrize("way", ["item", "function", "class", "put", "value", "exception"])
def test_an_exception_of_a_signal_handler_goes_to_the_caller(pool, way):
    interrupted, process = _InterruptedHere(), os.getpid()

    def make(_, *args):
        made = object.__new__(_InterruptedHere)
        made.process = process
        if way == "exception":
            raise ValueError(made)
        return made

    def use():
        if way == "item":
            pool.map(str, [interrupted])
        elif way == "function":
            pool.map(lambda _: interrupted, [0])
        elif way == "class":
            pool.map(str, [type("OfMain", (), {"__module__": "__main__", "held": interrupted})()])
        elif way == "put":
            pool.put(interrupted)
        else:
            pool.map(make, [0]).results(return_exceptions=True)

    before = signal.getsignal(signal.SIGALRM)
    try:
        for handler in (_alarm, functools.partial(_alarm), types.MethodType(_alarm, 1)):
            signal.signal(signal.SIGALRM, handler)
            with pytest.raises(_Alarm):
                use()
    finally:
        signal.signal(signal.SIGALRM, before)


# Values, items and modules that a process cannot load


def test_a_value_that_cannot_be_unpickled_fails_only_its_task(pool):
    class Bomb:
        def __reduce__(self):
            return int, ("not a number",)

    def make(n):
        return Bomb() if n == 1 else n

    job = pool.map(make, range(3))
    with pytest.raises(wrenlite.RemoteError, match=r"value of task 1 of make.* cannot be .*ValueError"):
        job.results()
    with pytest.raises(wrenlite.RemoteError):
        job[1].result()
    assert isinstance(job[1].exception(), wrenlite.RemoteError)
    assert job[2].result() == 2


class _Exits:
    """Ends the program while it is pickled or unpickled."""

    def __init__(self, when):
        self.when = when

    def __reduce__(self):
        return (sys.exit, (3,)) if self.when == "unpickled" else sys.exit(3)


@pytest.mark.parametrize("when", ["pickled", "unpickled"])
def test_an_exit_within_pickling_is_the_error_of_that_item_or_value(pool, when):
    with pytest.raises(wrenlite.WrenliteError, match=r"item 0 cannot be .*SystemExit: 3"):
        pool.map(str, [_Exits(when)]).results()
    (error,) = results(pool, lambda when: _Exits(when), [when])
    assert re.search(r"the value .* cannot be .*SystemExit: 3", str(error))


def test_an_item_that_cannot_be_unpickled_on_the_worker_is_named(pool):
    class Bomb:
        def __reduce__(self):
            return int, ("not a number",)

    one, error = results(pool, lambda x: x, [1, Bomb()])
    assert one == 1
    assert isinstance(error, wrenlite.RemoteError)
    assert "item 1 cannot be unpickled on the worker: ValueError" in str(error)


def test_a_module_that_the_worker_does_not_have_is_named(pool):
    def needs(_):
        import no_such_module_anywhere  # noqa: F401

    error = pool.submit(needs, 0).exception()
    assert isinstance(error, ModuleNotFoundError)
    assert any("no module 'no_such_module_anywhere': install it" in note for note in error.__notes__)


def test_a_local_module_that_was_imported_by_a_computed_name_is_named(pool, tmp_path, monkeypatch):
    (tmp_path / "wl_plug.py").write_text("class Plugged:\n    pass\n")
    (tmp_path / "wl_parts").mkdir()
    (tmp_path / "wl_parts" / "__init__.py").write_text(
        "import importlib\ndef load(name):\n    return importlib.import_module(f'wl_parts.{name}')\n"
    )
    (tmp_path / "wl_parts" / "one.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    import wl_parts

    class Loads:
        def __reduce__(self):
            return __import__, ("wl_plug",)

    told = {
        "wl_plug": pool.submit(lambda name: __import__("wl_" + name), "plug").exception(),
        "wl_parts.one": pool.submit(wl_parts.load, "one").exception(),
    }
    (told["wl_plug "],) = results(pool, abs, [Loads()])
    for name, error in told.items():
        (note,) = [note for note in error.__notes__ if "was not sent" in note]
        assert f"{name.strip()!r} is your own ({tmp_path}" in note
        assert (
            f"Pass modules=[{name.strip()!r}], or write `import {name.strip()}` inside the function" in note
        )
        assert not any("install" in note for note in error.__notes__)
    del sys.modules["wl_parts"]


def test_a_module_that_is_not_in_the_users_own_package_is_no_reason_to_install(tmp_path, monkeypatch, pool):
    (tmp_path / "wl_pack").mkdir()
    (tmp_path / "wl_pack" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)

    def missing(_):
        import wl_pack.nothing.there  # noqa: F401

    error = pool.submit(missing, 0).exception()
    note = error.__notes__[0]
    assert note.startswith("Your own package 'wl_pack' (")
    assert note.endswith("has no module 'wl_pack.nothing'.")


def test_a_warning_names_the_data_files_that_do_not_travel(tmp_path, monkeypatch):
    (tmp_path / "wl_large").mkdir()
    (tmp_path / "wl_large" / "__init__.py").write_text("def double(x):\n    return 2 * x\n")
    with open(tmp_path / "wl_large" / "model.bin", "wb") as stream:
        stream.truncate(30 << 20)
    monkeypatch.syspath_prepend(tmp_path)
    import wl_large

    with wrenlite.Executor.local(1, progress=False) as executor:  # it sees the file
        assert executor.map(wl_large.double, [1]).results() == [2]
    elsewhere = dataclasses.replace(local.connect(workers=1), shares_files=False)
    with wrenlite.Executor(elsewhere, progress=False) as executor:
        with pytest.warns(UserWarning, match=r"model\.bin \(30\.0 MB\)\. .* executor\.put") as caught:
            assert executor.map(wl_large.double, [1]).results() == [2]
        assert caught[0].filename == __file__
    del sys.modules["wl_large"]


def test_a_module_that_fails_while_it_is_imported_names_itself(pool, tmp_path, monkeypatch):
    worker = "import os, sys\nif os.environ.get('WRENLITE_BACKEND') == 'inline':\n    "
    bodies = {"wl_exits": "sys.exit(3)", "wl_fails": "1 / 0", "wl_quits": "raise GeneratorExit('no')"}
    for name, body in bodies.items():
        (tmp_path / f"{name}.py").write_text(
            f"{worker}{body}\ndef double(x):\n    return 2 * x\nclass Thing:\n    pass\n"
        )
    monkeypatch.syspath_prepend(tmp_path)
    import wl_exits
    import wl_fails
    import wl_quits

    def imports(_):
        import wl_exits  # noqa: F401

    def runs(_):
        exec(compile("raise SystemExit(4)", "wl_exits.py", "exec"), {})

    exits = f"the module 'wl_exits' ({tmp_path / 'wl_exits.py'}, line 3) called sys.exit(3) while it was"
    for function in (wl_exits.double, imports):
        error = pool.submit(function, 1).exception()
        assert isinstance(error, wrenlite.WorkerDied)
        assert exits in str(error)
    assert "the task called sys.exit(4)" in str(pool.submit(runs, 1).exception())
    fails = pool.submit(wl_fails.double, 1).exception()
    assert isinstance(fails, ZeroDivisionError)
    for error in (fails, pool.submit(abs, wl_fails.Thing()).exception()):
        notes = [note for note in error.__notes__ if "raised this while it was imported" in note]
        assert notes[0].startswith(f"wrenlite: the module 'wl_fails' ({tmp_path / 'wl_fails.py'}, line 3)")
    quits = pool.submit(wl_quits.double, 1).exception()
    assert isinstance(quits, wrenlite.RemoteError)
    assert "GeneratorExit: no" in str(quits)
    assert "the module 'wl_quits'" in str(quits)
    for name in bodies:
        del sys.modules[name]


# Workers that die


def die_by(signal_name):
    def die(n):
        import os
        import signal

        if n == 50:
            os.kill(os.getpid(), getattr(signal, signal_name))
            signal.pause()
        return n

    return die


def segfault(n):
    import ctypes

    if n == 50:
        ctypes.string_at(0)
    return n


def c_exit(n):
    if n == 50:
        print("\x1b[31mred\x1b[0m\x07", flush=True)
        os._exit(7)
    return n


@pytest.mark.parametrize(
    ("killed", "value"),
    [(0, lambda n: n), (1, lambda n: (n, "x")), (99, lambda n: None), (700, lambda n: (n, "x"))],
)
def test_short_tasks_before_the_one_that_dies_keep_their_values_and_attempts(pool, tmp_path, killed, value):
    def run(n):
        with open(tmp_path / str(n), "a") as file:
            file.write("ran\n")
        if n == killed:
            os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()
        return value(n)

    job = pool.map(run, range(1000), chunksize=1000, retries=1)
    outcomes = job.results(return_exceptions=True, timeout=60)
    assert isinstance(outcomes.pop(killed), wrenlite.WorkerDied)
    assert outcomes == [value(n) for n in range(1000) if n != killed]
    runs = [len((tmp_path / str(n)).read_text().split()) for n in range(1000)]
    assert runs == [each.attempts for each in job.stats()] == [1 + (n == killed) for n in range(1000)]


def test_an_outcome_comes_at_once_though_the_next_task_takes_long(pool, tmp_path):
    def run(n):
        while n == 40 and not (tmp_path / "go").exists():
            time.sleep(0.01)
        return n

    job = pool.map(run, range(41), chunksize=41)
    assert [future.result(timeout=20) for future in job[:40]] == list(range(40))
    assert job.state(40) == "dispatched"
    (tmp_path / "go").touch()
    assert job.results(timeout=20)[40] == 40


def test_outcomes_of_a_worker_that_is_held_up_come_though_the_next_task_takes_long(tmp_path):
    def hold_up():
        def compute():
            while not (tmp_path / "go").exists():
                sum(range(5_000_000))  # no other thread runs meanwhile, so the worker waits for this

        sys.setswitchinterval(1)
        threading.Thread(target=compute, daemon=True).start()

    def run(n):
        while n == 40 and not (tmp_path / "go").exists():
            time.sleep(0.01)
        return n

    with wrenlite.Executor.local(1, progress=False) as alone:
        try:
            alone.submit(hold_up).result(timeout=20)
            job = alone.map(run, range(41), chunksize=41)
            assert [future.result(timeout=20) for future in job[:40]] == list(range(40))
        finally:
            (tmp_path / "go").touch()
        assert job.results(timeout=20)[40] == 40


def test_stats_of_short_tasks_are_those_of_each_task(pool):
    def run(n):
        if n % 10 == 0:
            time.sleep(0.003)
        if n % 10 == 5:
            end = time.thread_time() + 0.003
            while time.thread_time() < end:
                pass
        return n

    job = pool.map(run, range(100), chunksize=100)
    job.results(timeout=60)
    stats = job.stats()
    assert all(each.seconds >= 0.003 and each.cpu_s < 0.002 for each in stats[::10])
    assert all(min(each.seconds, each.cpu_s) >= 0.003 for each in stats[5::10])
    for before, after in itertools.pairwise(stats):
        assert before.started + before.seconds <= after.started + 0.001  # two clocks


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (die_by("SIGKILL"), "killed by SIGKILL, perhaps by the system because memory ran out"),
        (die_by("SIGTERM"), "killed by SIGTERM"),
        (die_by("SIGSTOP"), "stopped by SIGSTOP"),
        (die_by("SIGABRT"), "killed by SIGABRT"),
        (segfault, r"killed by SIGSEGV(.|\n)*last output(.|\n)*Segmentation fault(.|\n)*in segfault"),
        (c_exit, r"exited with code 7: the task, or a library that it uses, ended(.|\n)*\nred\\x07$"),
    ],
    ids=["kill", "term", "stop", "abort", "segfault", "exit"],
)
def test_of_a_hundred_tasks_only_the_one_that_kills_its_worker_fails(pool, function, words):
    job = pool.map(function, range(100), chunksize=100)
    values = job.results(return_exceptions=True)
    assert isinstance(values[50], wrenlite.WorkerDied)
    with pytest.raises(wrenlite.WorkerDied, match=words) as caught:
        raise values[50]
    assert f"task 50 of {job.id}" in str(caught.value)
    assert values[:50] + values[51:] == [n for n in range(100) if n != 50]


def test_sys_exit_fails_the_task_and_does_not_end_the_worker(executor):
    def leave(n):
        import sys

        if n == 1:
            sys.exit("enough")
        return n

    job = executor.map(leave, range(3))
    values = job.results(return_exceptions=True)
    assert (values[0], values[2]) == (0, 2)
    with pytest.raises(wrenlite.WorkerDied, match=r"sys.exit\('enough'\)"):
        job.results()


def test_finished_tasks_do_not_run_again_and_only_the_crashed_task_uses_an_attempt(pool, tmp_path):
    def record_run(n, folder=str(tmp_path)):
        import os

        with open(os.path.join(folder, f"{n:03}"), "a") as file:
            file.write("x")
        if n == 50:
            os._exit(1)
        return n

    job = pool.map(record_run, range(100), chunksize=100)
    values = job.results(return_exceptions=True)
    assert sum(isinstance(value, int) for value in values) == 99
    assert [file.read_text() for file in sorted(tmp_path.iterdir())] == ["x"] * 100
    assert [stats.attempts for stats in job.stats()] == [1] * 100


def test_retries_after_crashes_are_exact(pool, tmp_path):
    def die_three_times(n, folder=str(tmp_path)):
        import os

        if n == 5:
            with open(os.path.join(folder, "runs"), "a") as file:
                file.write("x")
            if os.path.getsize(os.path.join(folder, "runs")) < 4:
                os._exit(1)
        return n

    job = pool.map(die_three_times, range(10), chunksize=10, retries=3)
    assert job.results() == list(range(10))
    assert (tmp_path / "runs").read_text() == "xxxx"
    assert [stats.attempts for stats in job.stats()] == [1] * 5 + [4] + [1] * 4


def test_retries_after_crashes_run_out(pool, tmp_path):
    def always_die(file):
        import os

        with open(file, "a") as stream:
            stream.write("x")
        os._exit(1)

    with pytest.raises(wrenlite.WorkerDied):
        pool.map(always_die, [str(tmp_path / "runs")], retries=3).results()
    assert (tmp_path / "runs").read_text() == "xxxx"


# Time


def test_a_task_that_takes_too_long_is_killed_though_it_ignores_signals(pool):
    def hang(n):
        import re
        import signal

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)
        if n == 3:
            re.match(r"(a+)+$", "a" * 60 + "b")  # C code that does not return
        return n

    job = pool.map(hang, range(6), timeout=0.5, chunksize=6)
    values = job.results(return_exceptions=True)
    assert isinstance(values[3], wrenlite.TaskTimeout)
    assert "it ran longer than timeout=0.5 s, and its worker was killed. Set a longer" in str(values[3])
    assert values[:3] + values[4:] == [0, 1, 2, 4, 5]
    assert [stats.attempts for stats in job.stats()] == [1] * 6


def test_the_timeout_counts_for_each_task_alone(pool):
    def nap(_):
        import time

        time.sleep(0.3)

    assert pool.map(nap, range(4), timeout=1.0, chunksize=4).results() == [None] * 4


# Memory


def test_the_memory_limit_fails_the_task_that_crosses_it_with_the_figures():
    def allocate(megabytes):
        return len(bytearray(megabytes * 2**20))

    with wrenlite.Executor.local(2, memory_limit="400MB") as executor:
        job = executor.map(allocate, [10, 1000, 20])
        values = job.results(return_exceptions=True)
    assert (values[0], values[2]) == (10 * 2**20, 20 * 2**20)
    assert isinstance(values[1], wrenlite.OutOfMemory)
    assert isinstance(values[1], MemoryError)
    assert "400 MB" in str(values[1])
    assert "memory_limit=" in str(values[1])


def hold_and_be_killed(megabytes):
    import os
    import signal

    held = b"x" * (megabytes * 2**20)
    os.kill(os.getpid(), signal.SIGKILL)
    return held


def test_a_worker_killed_at_its_limit_ran_out_of_memory_and_one_killed_below_did_not(script):
    # In a separate process: a worker's peak memory begins with that of its parent, and pytest uses much.
    ended = script(
        f"""
        import wrenlite
        {textwrap.indent(textwrap.dedent(inspect.getsource(hold_and_be_killed)), " " * 8).lstrip()}
        executor = wrenlite.Executor.local(1, memory_limit="300MB")
        for value in executor.map(hold_and_be_killed, [280, 20]).results(return_exceptions=True):
            print(type(value).__name__, value)
        """
    )
    at_limit, below = ended.stdout.splitlines()
    assert re.match(r"OutOfMemory .*killed by SIGKILL holding \d+ MB of the 300 MB", at_limit)
    assert re.match(r"WorkerDied .*perhaps by the system because memory ran out", below)


def test_memory_of_the_parent_is_not_counted_for_the_worker():
    ballast = b"x" * (400 * 2**20)
    with wrenlite.Executor.local(1, memory_limit="300MB") as executor:
        (below,) = results(executor, hold_and_be_killed, [20])
    assert len(ballast) > 0
    assert type(below) is wrenlite.WorkerDied


def test_the_most_memory_of_a_worker_is_known_where_its_parent_has_held_more():
    ballast = b"x" * (200 * 2**20)
    with wrenlite.Executor.local(1) as executor:
        job = executor.map(len, ["one task"])
        job.results()
    (stats,) = job.stats()
    assert 5 * 2**20 < stats.peak_bytes < len(ballast)


def test_a_memory_error_without_a_limit_keeps_its_type(pool):
    def fails(_):
        raise MemoryError("its own")

    error = pool.submit(fails, 0).exception()
    assert type(error) is MemoryError


# Tasks that misbehave


def test_a_task_may_close_the_standard_file_descriptors(pool):
    def close(n):
        import os

        if n == 1:
            os.closerange(0, 3)
        else:
            print("before and after", n)
        return n

    job = pool.map(close, range(4), chunksize=4)
    assert job.results() == [0, 1, 2, 3]
    assert job.logs(2) == "before and after 2\n"


def test_a_task_that_closes_every_file_descriptor_fails_alone(pool):
    def close(n):
        import os

        if n == 1:
            os.closerange(0, 1000)
        return n

    values = results(pool, close, range(4), chunksize=4)
    assert isinstance(values[1], wrenlite.WorkerDied)
    assert values[:1] + values[2:] == [0, 2, 3]


def test_a_task_may_close_and_replace_stdout(pool):
    def replace(n):
        import io
        import sys

        print("before", n)
        if n == 0:
            sys.stdout.close()
        if n == 1:
            sys.stdout = sys.stderr = io.StringIO()
            print("lost")
        return n

    job = pool.map(replace, range(4), chunksize=4)
    assert job.results() == [0, 1, 2, 3]
    assert job.logs(3) == "before 3\n"


def test_garbage_on_the_standard_streams_is_output(pool):
    def garbage(n):
        import os

        os.write(1, b"\x80\x05garbage\xff" * 10)
        os.write(2, b"more")
        return n

    job = pool.map(garbage, range(20))
    assert job.results() == list(range(20))
    assert job.logs(7).count("garbage") == 10
    assert job.logs(7).endswith("more")


def test_the_start_and_the_end_of_ten_megabytes_of_output_are_kept(pool):
    def chatter(n):
        for line in range(100_000):
            print(f"{n} {line:08} " + "x" * 88)
        return n

    job = pool.map(chatter, [1, 2])
    assert job.results() == [1, 2]
    assert len(job.logs(0)) < 70_000
    assert "1 00000000" in job.logs(0)
    assert "1 00099999" in job.logs(0)
    assert "bytes left out" in job.logs(0)


def test_output_of_python_of_c_and_of_children_is_kept_in_order(pool):
    def talk(n):
        import os
        import subprocess
        import sys

        print("one", n)
        print("two", n, file=sys.stderr)
        os.write(1, b"three\n")
        subprocess.run(["echo", "four"], check=True)
        return n

    job = pool.map(talk, [5])
    job.results()
    assert job.logs(0) == "one 5\ntwo 5\nthree\nfour\n"
    assert job.logs() == "[task 0]\none 5\ntwo 5\nthree\nfour\n"


def test_a_task_that_forks_and_returns_twice_has_one_value(pool):
    def fork(n):
        import os

        os.fork()
        return n

    job = pool.map(fork, range(20), chunksize=5)
    assert job.results() == list(range(20))
    assert [stats.attempts for stats in job.stats()] == [1] * 20


def test_a_child_process_that_outlives_its_task_does_no_harm(pool):
    def leave_a_child(n):
        import os
        import time

        if n == 0 and os.fork() == 0:
            time.sleep(600)
            os._exit(0)
        if n == 1:
            os._exit(3)
        return n

    values = results(pool, leave_a_child, range(3), chunksize=3)
    assert (values[0], values[2]) == (0, 2)
    assert isinstance(values[1], wrenlite.WorkerDied)


def test_threads_that_outlive_their_task_do_no_harm(pool):
    def start_thread(n):
        import threading
        import time

        threading.Thread(target=time.sleep, args=(600,)).start()
        return n

    assert pool.map(start_thread, range(5)).results() == list(range(5))


def test_the_working_folder_and_signal_handlers_are_restored(pool):
    def change(n):
        import os
        import signal
        import tempfile

        before = os.getcwd(), signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.alarm(1)
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
        return before

    seen = pool.map(change, range(10), chunksize=5).results()
    assert set(seen) == {(os.getcwd(), True)}

    def nap(_):
        import time

        time.sleep(1.2)  # longer than the alarm that a task did not cancel
        return "slept"

    assert pool.map(nap, range(2)).results() == ["slept"] * 2


def test_standard_input_is_empty(pool):
    with pytest.raises(EOFError):
        pool.submit(input).result()


# Maps inside maps


def test_a_map_inside_a_task_runs_in_that_task(pool):
    def outer(n):
        import wrenlite

        with wrenlite.Executor() as inner:
            return inner.backend.name, inner.map(lambda x: x * 10, range(n)).results()

    assert pool.map(outer, [2, 3]).results() == [
        ("the calling thread", [0, 10]),
        ("the calling thread", [0, 10, 20]),
    ]


def test_a_job_cannot_be_sent_to_a_worker(pool):
    job = pool.map(abs, [1])
    with pytest.raises(wrenlite.FunctionNotPicklable, match="a job cannot be sent to another process"):
        pool.map(lambda x: job, [1])


def test_each_worker_has_a_session_of_its_own(pool):
    def where(_):
        import os

        return os.getpid(), os.getsid(0), os.getpgrp()

    for pid, session, group in pool.map(where, range(8)).results():
        assert pid == session == group != os.getpgrp()


def test_a_killed_worker_is_replaced(pool):
    def pid(_):
        import os
        import time

        time.sleep(0.05)
        return os.getpid()

    before = set(pool.map(pid, range(6), chunksize=1).results())
    for worker in before:
        os.kill(worker, signal.SIGKILL)
    after = set(pool.map(pid, range(6), chunksize=1, retries=2).results())
    assert not before & after


def test_a_worker_that_died_while_idle_costs_no_task_an_attempt(pool):
    for _ in range(3):
        for worker in set(pool.map(lambda _: __import__("os").getpid(), range(8), chunksize=1).results()):
            os.kill(worker, signal.SIGKILL)
            os.waitid(os.P_PID, worker, os.WEXITED | os.WNOWAIT)
        assert pool.map(abs, [-1, -2]).results() == [1, 2]


def test_a_runaway_recursion_is_shown_in_part(pool):
    def forever(n):
        return forever(n + 1)

    error = pool.submit(forever, 0).exception()
    assert isinstance(error, RecursionError)
    text = formatted(error)
    assert "levels left out of this traceback" in text
    assert "in forever\n    return forever(n + 1)" in text
    assert len(text.splitlines()) <= 20


def test_each_line_of_a_runaway_recursion_of_two_functions_is_shown_once(executor):
    def ping(n):
        return pong(n)

    def pong(n):
        return ping(n + 1)

    error = executor.map(ping, [0])[0].exception()
    assert [frame.name for frame in traceback.extract_tb(error.__traceback__)][:2] == ["ping", "pong"]
    assert len(formatted(error).splitlines()) <= 20


def test_workers_run_though_their_working_folder_was_removed(tmp_path, monkeypatch):
    folder = tmp_path / "short-lived"
    folder.mkdir()
    monkeypatch.chdir(folder)
    with wrenlite.Executor.local(1, progress=False) as executor:
        assert executor.submit(abs, -1).result() == 1
        monkeypatch.chdir(tmp_path)
        folder.rmdir()
        assert executor.map(abs, range(10), chunksize=2).results() == list(range(10))


def test_sending_a_value_does_not_count_towards_the_timeout(pool):
    def large(n):
        import numpy as np

        return np.zeros(n, np.uint8)

    pool.map(large, [1, 1], chunksize=1).results()  # numpy is imported
    values = pool.map(large, [400 * 2**20] * 2, timeout=0.3, chunksize=1).results()
    assert [value.nbytes for value in values] == [400 * 2**20] * 2


def test_large_functions_are_removed_from_the_store_after_their_jobs(pool):
    for _ in range(3):
        ballast = os.urandom(2 * 2**20)
        assert pool.map(lambda n, ballast=ballast: len(ballast) + n, [0]).results() == [2 * 2**20]
    assert sum(entry.size for entry in pool.backend.store.list("code/")) < 2**20


def test_a_wait_that_takes_too_long_says_for_what(pool, tmp_path):
    def wait_for_file(path):
        import os
        import time

        while not os.path.exists(path):
            time.sleep(0.01)

    file = tmp_path / "go on"
    job = pool.map(wait_for_file, [str(file)])
    with pytest.raises(
        TimeoutError, match=rf"task 0 of {job.id} has not ended within timeout=0.1 s; it goes on"
    ):
        job[0].result(timeout=0.1)
    with pytest.raises(
        TimeoutError, match=r"0 of 1 finished.*not all tasks ended within timeout=0.1 s; they go on"
    ):
        job.results(timeout=0.1)
    with pytest.raises(TimeoutError, match="the next task has not ended in time; the job goes on"):
        next(job.values(timeout=0.1))
    file.touch()
    assert job.results() == [None]
    with pytest.raises(IndexError, match=rf"there is no task 1: {job.id} has 1 task,"):
        job[1]
