"""The initializer of an executor: once in each worker, before its first task."""

import asyncio
import functools
import logging
import os
import signal
import sys
import time
import traceback

import numpy as np
import pytest

import wrenlite
from tests.contract.test_running import Steps, step
from wrenlite.worker import handle


@pytest.fixture(params=["inline", "process"])
def make(request):
    """A function that makes an executor with an initializer on each backend that takes one."""
    made = []

    def make(initializer=None, initargs=(), workers=2, **options):
        if request.param == "inline":
            executor = wrenlite.Executor.inline(initializer=initializer, initargs=initargs)
        else:
            options = {"initializer": initializer, "initargs": initargs, "progress": False, **options}
            executor = wrenlite.Executor.local(workers, **options)
        made.append(executor)
        return executor

    make.is_inline = request.param == "inline"
    yield make
    for executor in made:
        executor.shutdown(cancel_futures=True)


@pytest.fixture
def local():
    """A function that makes an executor of local workers with an initializer."""
    made = []

    def make(initializer, initargs=(), workers=2, **options):
        executor = wrenlite.Executor.local(
            workers, initializer=initializer, initargs=initargs, progress=False, **options
        )
        made.append(executor)
        return executor

    yield make
    for executor in made:
        executor.shutdown(cancel_futures=True)


STATE = None
COUNT = 0


def set_state(value):
    global STATE
    STATE = value


def add_state(number):
    return STATE + number


def note_run(folder):
    """Leave a file for each time that the initializer runs."""
    import tempfile

    tempfile.mkstemp(dir=folder)


def runs(folder):
    return len(os.listdir(folder))


# What tasks see


def test_what_an_imported_initializer_sets_is_there_for_functions_of_its_module(local):
    executor = local(set_state, (10,))
    assert executor.map(add_state, range(4)).results() == [10, 11, 12, 13]
    assert STATE is None, "it ran on the workers only"


MAIN = """
    import functools, sys, threading
    import wrenlite

    MODEL = None
    CACHE = {}
    UNIT = "km"


    class Model:
        def __init__(self, factor):
            self.factor = factor
            self.lock = threading.Lock()  # it cannot be pickled

        def predict(self, x):
            return self.factor * x


    @functools.cache
    def table():
        print("reads the table")
        return [1, 2, 3]


    def helper(x):
        return x


    def load(factor):
        global MODEL, LATER
        MODEL = Model(helper(factor))
        LATER = "set by the initializer only"
        CACHE["model"] = MODEL
        table()


    def task(x):
        same = CACHE["model"] is MODEL and isinstance(MODEL, Model)
        return same, MODEL.predict(x), LATER, table.cache_info().currsize, helper(x), UNIT


    def count(x):
        global COUNTER
        COUNTER = globals().get("COUNTER", 0) + 1
        CACHE[x] = x
        return COUNTER, len(CACHE)


    class Result:
        pass


    def result(x):
        made = Result()
        made.of = type(MODEL)
        return made


    if __name__ == "__main__":
        MAKE
        print(executor.map(task, [1, 2]).results())
        helper = lambda x: -x
        UNIT = "miles"
        MODEL = Model(99)  # of this process: no business of the workers
        print(executor.map(task, [3]).results())
        (made,) = executor.map(result, [1]).results()
        print(type(made) is Result, made.of is Model)
        print(executor.map(lambda x: (MODEL.predict(x), helper(x)), [1]).results())
        print(executor.map(lambda x: x(1), [lambda y: MODEL.predict(y)]).results())
        print(executor.map(count, range(3)).results(), executor.map(count, range(3)).results())
        executor.shutdown()
    """


@pytest.mark.parametrize(
    "how",
    [
        "Executor.local(1, initializer=load, initargs=(5,))",
        "Executor.local(1, initializer=functools.partial(load, factor=5))",
        "Executor.inline(initializer=load, initargs=[5])",
    ],
)
def test_what_an_initializer_of_main_sets_is_there_for_functions_of_main(script, how):
    ended = script(MAIN.replace("MAKE", f"executor = wrenlite.{how}"))
    assert ended.stderr == ""
    lines = [line for line in ended.stdout.splitlines() if line != "reads the table"]
    later = "'set by the initializer only', 1"
    assert lines == [
        f"[(True, 5, {later}, 1, 'km'), (True, 10, {later}, 2, 'km')]",
        f"[(True, 15, {later}, -3, 'miles')]",
        "True True",
        "[(5, -1)]",
        "[5]",
        "[(1, 2), (2, 3), (3, 4)] [(1, 4), (2, 4), (3, 4)]",
    ]
    assert ended.stdout.count("reads the table") == ("inline" in how), "in the output of the worker otherwise"


def test_functions_within_functions_share_variables_with_it_too(make):
    def load(number):
        global COUNT
        COUNT = number

    executor = make(load, (41,))
    assert executor.map(lambda x: COUNT + x, [1, 2]).results() == [42, 43]
    assert COUNT == 0


def test_its_arguments_may_be_large_and_it_may_be_a_coroutine(make):
    async def load(array, ready):
        global COUNT
        await asyncio.sleep(0)
        COUNT = float(array.sum()) if ready else None

    executor = make(load, (np.ones(1_000_000), np.array([1]).all()))
    assert executor.map(lambda x: COUNT + x, [1]).results() == [1_000_001]


def test_folder_signal_handlers_and_environment_that_it_sets_stay(local, tmp_path):
    def prepare(folder):
        os.chdir(folder)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        os.environ["WL_SET"] = "yes"

    executor = local(prepare, (str(tmp_path),), workers=1)

    def look(x):
        seen = os.getcwd(), signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN, os.environ["WL_SET"]
        os.chdir("/")
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        return seen

    seen = executor.map(look, range(3), env={"OTHER": "1"}, chunksize=3).results()
    assert seen == [(os.path.realpath(tmp_path), True, "yes")] * 3


def test_what_it_prints_and_logs_comes_with_the_first_task_of_its_worker(local, caplog):
    def load():
        print("loading")
        logging.getLogger("wl_init").warning("half of it")

    executor = local(load, workers=1, logging=True)
    job = executor.map(lambda x: print("task", x), range(2), chunksize=2)
    job.results()
    assert [job.logs(0), job.logs(1)] == ["loading\ntask 0\n", "task 1\n"]
    assert [record.getMessage() for record in caplog.records if record.name == "wl_init"] == ["half of it"]


# When it runs


def test_it_runs_once_in_each_worker_also_in_replaced_ones(local, tmp_path):
    executor = local(note_run, (str(tmp_path),), workers=1)
    for _ in range(3):
        executor.map(abs, range(100)).results()
    assert runs(tmp_path) == 1
    assert isinstance(executor.submit(os._exit, 3).exception(), wrenlite.WorkerDied)
    executor.map(abs, range(100)).results()
    assert runs(tmp_path) == 2
    (tmp_path / "second").mkdir()
    executor = local(note_run, (str(tmp_path / "second"),), workers=1, max_tasks_per_worker=2)
    executor.map(abs, range(6)).results()
    assert runs(tmp_path / "second") == 3


def test_it_runs_only_where_there_are_tasks(make, tmp_path):
    executor = make(note_run, (str(tmp_path),))
    executor.map(abs, []).results()
    assert runs(tmp_path) == 0
    executor.submit(abs, 1).result()
    assert runs(tmp_path) == 1


def test_no_task_is_running_and_no_time_of_it_counts_while_the_initializer_runs(local, tmp_path):
    executor = local(step, ("init", str(tmp_path)), workers=1)
    future = executor.submit(abs, -1)
    steps = Steps(tmp_path)
    steps.wait_for("init")
    assert not future.running()
    ends_at = time.time()
    steps.end("init")
    assert future.result() == 1
    assert future.stats().started >= ends_at


# Failures


class NoModel(Exception):
    def __init__(self, path):
        super().__init__(f"no model at {path}")
        self.path = path


def find_model(path):
    raise NoModel(path)


def load_model(path, folder):
    note_run(folder)
    print("looking for", path)
    find_model(path)


def test_an_exception_of_it_fails_the_job_with_its_traceback(make, tmp_path):
    executor = make(load_model, ("a.bin", str(tmp_path)))
    job = executor.map(abs, range(1000), retries=2)
    with pytest.raises(wrenlite.InitializerFailed) as caught:
        job.results(timeout=60)
    text = str(caught.value)
    assert text.startswith(
        "the initializer load_model raised NoModel: no model at a.bin, so no task can run."
    )
    assert make.is_inline or text.endswith("Its last output:\nlooking for a.bin")
    cause = caught.value.__cause__
    assert (type(cause), cause.path) == (NoModel, "a.bin")
    assert [frame.name for frame in traceback.extract_tb(cause.__traceback__)] == ["load_model", "find_model"]
    assert len(job.errors()) == 1000
    assert 1 <= runs(tmp_path) <= 2, "once in each worker"


def test_the_next_job_tries_again(make, tmp_path):
    executor = make(load_model, ("a.bin", str(tmp_path)), workers=1)
    for count in (1, 2):
        assert isinstance(executor.submit(abs, 1).exception(), wrenlite.InitializerFailed)
        assert runs(tmp_path) == count


def test_a_second_try_may_succeed(make, tmp_path):
    def load(flag):
        assert os.path.exists(flag)

    executor = make(load, (str(tmp_path / "flag"),))
    assert isinstance(executor.submit(abs, 1).exception(), wrenlite.InitializerFailed)
    (tmp_path / "flag").touch()
    assert executor.map(abs, [-1, -2]).results() == [1, 2]


def test_a_class_of_its_own_exception_is_that_of_the_caller(local):
    class Odd(Exception):
        pass

    def load():
        raise Odd("odd")

    error = local(load).map(abs, [1])[0].exception()
    assert type(error.__cause__) is Odd


def test_an_initializer_that_exits_or_needs_too_much_memory(local):
    error = local(sys.exit, (3,)).submit(abs, 1).exception()
    assert isinstance(error, wrenlite.InitializerFailed)
    assert "called sys.exit(3)" in str(error)
    executor = local(functools.partial(bytearray, 2**31), memory_limit="300MB")
    error = executor.submit(abs, 1).exception()
    assert isinstance(error, wrenlite.InitializerFailed)
    assert isinstance(error.__cause__, wrenlite.OutOfMemory)


@pytest.mark.parametrize(
    ("end", "why"),
    [
        ("os._exit(3)", "its worker exited with code 3: the initializer, or a library that it uses, ended"),
        ("os.kill(os.getpid(), 9)", "its worker was killed by SIGKILL"),
        ("os.abort()", "its worker was killed by SIGABRT"),
    ],
)
def test_an_initializer_that_ends_its_worker_fails_the_job(local, tmp_path, end, why):
    def load(folder):
        note_run(folder)
        print("before the end", flush=True)
        eval(end, {"os": os})

    job = local(load, (str(tmp_path),)).map(abs, range(1000), retries=2)
    errors = job.results(return_exceptions=True, timeout=60)
    assert {type(error) for error in errors} == {wrenlite.InitializerFailed}
    assert "the initializer " in str(errors[0])
    assert why in str(errors[0])
    assert "before the end" in str(errors[0])
    assert 1 <= runs(tmp_path) <= 2


def test_an_initializer_that_hangs_ends_by_timeout_by_a_cancel_and_by_shutdown(local, tmp_path, monkeypatch):
    monkeypatch.setattr(handle, "_START_S", 0.5)
    executor = local(step, ("init", str(tmp_path)), workers=1)
    error = executor.map(abs, [1], timeout=0.1)[0].exception(timeout=30)
    assert isinstance(error, wrenlite.InitializerFailed)
    assert "the initializer step did not return, so no task can run: it may take a minute longer than" in str(
        error
    )
    (tmp_path / "started init").unlink()
    job = executor.map(abs, range(10))
    Steps(tmp_path).wait_for("init")
    assert job.cancel() == 10
    (tmp_path / "started init").unlink()
    job = executor.map(abs, range(10))
    Steps(tmp_path).wait_for("init")
    executor.shutdown(cancel_futures=True)
    assert job.snapshot().cancelled == 10


def test_a_task_that_ends_its_worker_is_not_mistaken_for_the_initializer(local):
    executor = local(set_state, (1,), workers=1)
    error = executor.submit(os._exit, 3).exception()
    assert type(error) is wrenlite.WorkerDied
    assert executor.map(add_state, [1]).results() == [2]


# Wrong arguments

lock = __import__("threading").Lock()


@pytest.mark.parametrize("method", [wrenlite.Executor.local, wrenlite.Executor.inline])
def test_what_cannot_be_an_initializer_is_refused_at_once(method):
    cases = [
        ({"initializer": 5}, wrenlite.ConfigError, "must be callable"),
        ({"initargs": (5,)}, wrenlite.ConfigError, "give initializer= too"),
        (
            {"initializer": abs, "initargs": 5},
            wrenlite.ConfigError,
            r"must be a tuple of arguments: init.*\(5,\)",
        ),
        ({"initializer": abs, "initargs": "ab"}, wrenlite.ConfigError, "must be a tuple of arguments"),
        ({"initializer": set_state}, wrenlite.ArgumentError, r"each worker calls set_state\(\), which fails"),
        ({"initializer": set_state, "initargs": (1, 2)}, wrenlite.ArgumentError, "too many positional"),
        (
            {"initializer": set_state, "initargs": (lock,)},
            wrenlite.FunctionNotPicklable,
            r"initargs\[0\] \(type lock\) of the initializer set_state cannot be pickled",
        ),
        ({"initializer": lambda: lock}, wrenlite.FunctionNotPicklable, "the function <lambda>.*lock"),
    ]
    for options, kind, text in cases:
        with pytest.raises(kind, match=text):
            method(**options)


class Early:
    tag = "early"


class Late:
    tag = "late"


def test_open_jobs_number_classes_as_the_workers_do():
    def helper():
        return 1

    def start():
        helper()

    def read(thing):
        helper()
        return thing.tag, Early.tag, Late.tag

    for function in (helper, start, read):
        function.__module__ = "__main__"
    Early.__module__ = Late.__module__ = "__main__"
    with wrenlite.Executor.local(1, initializer=start, progress=False) as executor:
        with executor.stream(read) as calls:
            futures = [calls.submit(kind()) for kind in (Late, Early, Late)]
        assert [future.result()[0] for future in futures] == ["late", "early", "late"]
        assert executor.submit(read, Late()).result() == ("late", "early", "late")
        assert list(executor.map(read, [Late(), Early()], buffersize=1)) == [
            ("late", "early", "late"),
            ("early", "early", "late"),
        ]
