"""Worker processes: how they start, what they keep, when they are replaced, and how they end."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

import wrenlite
from wrenlite.backends import local
from wrenlite.worker import handle, output
from wrenlite.worker.handle import WorkerProcess


@pytest.fixture
def limited():
    """One worker process that may hold 200 MB."""
    with wrenlite.Executor.local(1, memory_limit="200MB", progress=False) as made:
        yield made


def failures(job):
    """Return the exceptions of a job's tasks, and the values of those that have one."""
    return job.results(return_exceptions=True, timeout=60)


# The start


def run_python(folder, flags, text, **options):
    file = folder / "script.py"
    file.write_text(textwrap.dedent(text))
    command = [sys.executable, *flags, str(file)]
    return subprocess.run(command, cwd=folder, timeout=60, capture_output=True, text=True, **options)


SHOW_FLAGS = """
    import wrenlite

    def flags(_):
        import sys

        found = sys.flags
        shown = "optimize utf8_mode dev_mode int_max_str_digits no_user_site dont_write_bytecode"
        options = {name: sys._xoptions.get(name) for name in ("pycache_prefix",)}
        return [getattr(found, name) for name in shown.split()], sys.warnoptions, options

    print(flags(0) == wrenlite.Executor.local(1, progress=False).submit(flags, 0).result(), flags(0))
    """


@pytest.mark.parametrize(
    "flags",
    ["-O -s -X utf8 -X int_max_str_digits=5000 -W error", "-X dev -OO -B -bb -X pycache_prefix=cache"],
)
def test_workers_have_the_flags_of_the_interpreter(tmp_path, flags):
    ended = run_python(tmp_path, flags.split(), SHOW_FLAGS)
    assert ended.stderr == ""
    assert ended.stdout.startswith("True")


@pytest.mark.parametrize("flag", ["-I", "-E"])
def test_what_the_interpreter_ignores_does_not_run_in_workers(tmp_path, flag):
    (tmp_path / "hostile").mkdir()
    (tmp_path / "hostile" / "sitecustomize.py").write_text("open('ran', 'w').close()")
    text = "import wrenlite; print(wrenlite.Executor.local(1).submit(abs, -1).result())"
    ended = run_python(tmp_path, [flag], text, env={**os.environ, "PYTHONPATH": str(tmp_path / "hostile")})
    assert (ended.stdout, ended.stderr) == ("1\n", "")
    assert not (tmp_path / "ran").exists()


def test_a_program_may_start_without_standard_descriptors(tmp_path):
    text = """
        import os
        import wrenlite

        executor = wrenlite.Executor.local(2, progress=False)
        job = executor.map(lambda n: print(n), range(3))
        job.results()
        os.write(1, b"not into a pipe")
        os.write(2, b"not into a pipe")
        with open("seen", "w") as file:
            file.write(job.logs() + str(executor.submit(abs, -1).result()))
        """
    run_python(tmp_path, [], text, preexec_fn=lambda: os.closerange(0, 3))
    assert (tmp_path / "seen").read_text() == "[task 0]\n0\n[task 1]\n1\n[task 2]\n2\n1"


def test_workers_start_where_the_working_folder_was_removed(tmp_path, monkeypatch):
    folder = tmp_path / "short-lived"
    folder.mkdir()
    monkeypatch.chdir(folder)
    earlier = wrenlite.Executor.local(1, progress=False)
    folder.rmdir()
    with earlier, wrenlite.Executor.local(1, progress=False) as later:
        for executor in (earlier, later):
            assert executor.map(lambda n: n, range(4), chunksize=2).results() == [0, 1, 2, 3]


def test_a_program_that_has_no_descriptor_left_is_told_so(tmp_path):
    text = """
        import os, resource
        import wrenlite

        executor = wrenlite.Executor.local(1, progress=False)
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        leaked = []
        try:
            while True:
                leaked.append(os.open("/", os.O_RDONLY))
        except OSError as error:
            pass
        try:
            wrenlite.Executor.local(1)
        except wrenlite.StoreError as error:
            print(error)
        os.close(leaked.pop())
        try:
            executor.map(lambda n: n, [1]).results()
        except wrenlite.WorkerStartError as error:
            print(error)
        """
    ended = run_python(tmp_path, [], text)
    assert ended.stderr == ""
    assert ended.stdout.count("as many files and connections open as it may") == 2
    assert "cannot start a worker: process" in ended.stdout


# What tasks do to their worker


def test_a_task_that_removes_modules_of_wrenlite_does_not_harm_the_next_ones():
    class Local:
        pass

    def remove(n):
        import sys

        if n == 0:
            for name in [name for name in sys.modules if name.startswith("wrenlite")]:
                del sys.modules[name]
        return n

    with wrenlite.Executor.local(1, progress=False) as executor:
        assert executor.map(remove, range(3), chunksize=3).results() == [0, 1, 2]
        assert executor.map(remove, [1]).results() == [1]
        assert isinstance(executor.submit(lambda: Local()).result(), Local)


def call_debugger():
    breakpoint()  # noqa: T100


def set_trace():
    import pdb  # noqa: T100

    pdb.set_trace()  # noqa: T100


@pytest.mark.parametrize("function", [call_debugger, set_trace])
def test_a_task_that_calls_a_debugger_is_told_where_that_works(pool, function):
    with pytest.raises(wrenlite.TaskError, match=r"debugger, and a worker has no terminal. Executor.inline"):
        pool.submit(function).result(timeout=60)


def test_a_task_that_reads_from_a_person_is_told_where_that_works(pool):
    error = pool.submit(input).exception(timeout=60)
    assert type(error) is EOFError
    assert "Executor.inline()" in error.__notes__[0]


def test_an_item_larger_than_the_memory_of_a_worker_is_named_with_its_size(limited):
    items = [bytes(5), bytes(300 * 2**20), bytes(6)]
    for executed_before in (False, True):  # the first request of a worker is read before its limit is set
        job = limited.map(len, items, chunksize=3)
        values = failures(job)
        assert isinstance(values[1], wrenlite.OutOfMemory), executed_before
        assert "300 MB, pickled, and does not fit into the 200 MB" in str(values[1])
        assert values[::2] == [5, 6]
        assert [stats.attempts for stats in job.stats()] == [1, 1, 1]


# When they are replaced


def leak_memory(megabytes):
    import os
    import sys

    sys.leaked = [*getattr(sys, "leaked", ()), bytes(megabytes * 2**20)]
    return os.getpid()


def leak_descriptors(ending):
    import os
    import sys

    sys.leaked = []
    try:
        while True:
            sys.leaked.append(os.open("/", os.O_RDONLY))
    except OSError:
        if ending == "fail":
            raise ConnectionError("not what the operating system said") from None
    return os.getpid()


def need(megabytes):
    import os

    os.close(os.open("/", os.O_RDONLY))
    return os.getpid(), len(bytes(megabytes * 2**20))


def test_a_worker_that_ran_out_of_memory_is_replaced_before_the_next_task(limited):
    job = limited.map(leak_memory, [120, 120, 60], chunksize=3)
    values = failures(job)
    assert isinstance(values[1], wrenlite.OutOfMemory)
    assert values[2] != values[0], "the rest of the batch runs in another worker"
    assert [stats.attempts for stats in job.stats()] == [1, 1, 1]


def test_what_a_job_leaks_does_not_fail_the_next_job(limited):
    leaky = limited.map(leak_memory, [60, 60], chunksize=1)
    assert leaky.wait(60)
    job = limited.map(need, [100, 100], chunksize=2)
    assert [size for _, size in failures(job)] == [100 * 2**20] * 2
    assert [stats.attempts for stats in job.stats()] == [1, 1]
    assert job[0].result()[0] not in failures(leaky)


@pytest.mark.parametrize("ending", ["return", "fail"])
def test_a_worker_without_free_descriptors_is_replaced(ending):
    with wrenlite.Executor.local(1, progress=False) as executor:
        leaky = executor.submit(leak_descriptors, ending)
        assert (leaky.exception(timeout=60) is not None) == (ending == "fail")
        pid, _ = executor.submit(need, 1).result(timeout=60)
        assert str(pid) != leaky.stats().worker


def test_a_worker_that_cannot_import_or_open_files_is_replaced():
    damages = ["sys.path[:] = ['/a']", "sys.meta_path.clear()", "b.open = None", "b.__import__ = None"]
    damages += ["b.__import__ = lambda *_: 1 / 0", "sys.modules.clear()"]
    with wrenlite.Executor.local(1, progress=False) as executor:
        for damage in damages:
            broken = executor.submit(exec, f"import builtins as b, sys; {damage}", {})
            broken.result(timeout=60)
            pid = executor.submit(lambda: __import__("this") and __import__("os").getpid()).result(timeout=60)
            assert str(pid) != broken.stats().worker


def test_a_worker_may_be_replaced_after_a_number_of_tasks():
    with wrenlite.Executor.local(1, max_tasks_per_worker=4, progress=False) as executor:
        for chunksize in (3, 4, 10):
            job = executor.map(lambda _: __import__("os").getpid(), range(10), chunksize=chunksize)
            pids = job.results(timeout=60)
            assert max(map(pids.count, pids)) <= 4
            assert len(set(pids)) <= 4
            assert [stats.attempts for stats in job.stats()] == [1] * 10


# Output


@pytest.fixture
def talker(tmp_path):
    """A function of (number, ending), which writes two lines. Task 1 then ends as it is told, or waits."""

    class Talker:
        @staticmethod
        def task(number, ending, folder=str(tmp_path)):
            import os
            import time

            print("before", number, flush=True)
            os.write(2, b"\x80 and from C\n")
            if number == 1:
                open(os.path.join(folder, "wrote"), "w").close()
                if ending == "exit":
                    os._exit(3)
                if ending == "wait":
                    time.sleep(600)
            return number

        @staticmethod
        def wait_until_written():
            while not (tmp_path / "wrote").exists():
                time.sleep(0.01)

    return Talker


def written(number):
    return f"before {number}\n\ufffd and from C\n"


def test_output_so_far_is_seen_while_a_task_runs_and_kept_after_a_cancel(pool, talker):
    job = pool.map(talker.task, range(3), args=("wait",), chunksize=3)
    talker.wait_until_written()
    while job.snapshot().finished < 1:
        time.sleep(0.01)
    assert [job.logs(number) for number in range(3)] == [written(0), written(1), ""]
    assert job.logs() == f"[task 0]\n{written(0)}[task 1]\n{written(1)}"
    assert job[1].cancel()
    assert job.logs(1) == written(1)
    assert job.wait(60)
    assert [job.logs(number) for number in range(3)] == [written(0), written(1), written(2)]


@pytest.mark.parametrize(("ending", "timeout"), [("wait", 0.5), ("exit", None)])
def test_output_of_a_task_that_was_cut_short_is_kept(pool, talker, ending, timeout):
    job = pool.map(talker.task, range(3), args=(ending,), chunksize=3, timeout=timeout)
    values = failures(job)
    assert isinstance(values[1], wrenlite.TaskError)
    assert [job.logs(number) for number in range(3)] == [written(0), written(1), written(2)]


def test_output_of_a_task_that_a_shutdown_cancelled_is_kept(talker):
    executor = wrenlite.Executor.local(1, progress=False)
    job = executor.map(talker.task, [1], args=("wait",))
    talker.wait_until_written()
    executor.shutdown(cancel_futures=True)
    assert job.logs(0) == written(1)


def shout_until_the_disk_is_freed():
    import os
    import subprocess
    import time

    print("the beginning")
    subprocess.run("yes 'a line' | head -c 99999998 >&2", shell=True, check=True)
    print("the end")
    while os.fstat(2).st_blocks * 512 > 20_000_000:
        time.sleep(0.01)


def test_output_takes_little_of_the_disk_where_files_cannot_have_holes(pool, monkeypatch):
    monkeypatch.setattr(output, "_punch_hole", lambda *_: False)
    future = pool.submit(shout_until_the_disk_is_freed)
    future.result(timeout=60)
    assert future.logs().startswith("the beginning\na line\n")


def test_output_takes_little_of_the_disk_and_its_beginning_and_end_are_kept(pool):
    future = pool.submit(shout_until_the_disk_is_freed)
    future.result(timeout=60)
    text = future.logs()
    assert text.startswith("the beginning\na line\n")
    assert text.endswith("a line\nthe end\n")
    assert "bytes left out" in text
    assert "\0" not in text


def leave_a_writer(folder):
    """Leave a process behind that writes, and counts its lines, until there is a file "stop"."""
    import subprocess

    loop = "while ! test -e stop; do echo late; echo late >&2; echo 1 >> count; done; touch stopped"
    open(f"{folder}/count", "w").close()  # the shell may start later than the next task
    subprocess.Popen(loop, shell=True, cwd=folder)
    print("mine")


def talk_beside_it(folder):
    """Print, and return once the process has written while this ran."""
    import os

    print("mine alone")
    before = os.path.getsize(f"{folder}/count")
    while os.path.getsize(f"{folder}/count") < before + 10:
        pass


def test_what_a_process_writes_after_its_task_belongs_to_no_task(tmp_path):
    with wrenlite.Executor.local(1, progress=False) as executor:
        executor.submit(leave_a_writer, str(tmp_path)).result(timeout=60)
        for _ in range(3):
            job = executor.map(talk_beside_it, [str(tmp_path)], timeout=60)
            job.results()
            assert job.logs(0) == "mine alone\n"
        (tmp_path / "stop").touch()
        while not (tmp_path / "stopped").exists():
            time.sleep(0.01)


def test_a_process_that_fills_the_disk_after_its_task_ends_with_the_worker(monkeypatch):
    monkeypatch.setattr(local, "_IDLE_CHECK_S", 0.05)
    with wrenlite.Executor.local(1, progress=False) as executor:
        command = "import subprocess as s; pid = s.Popen('yes').pid"
        pid = executor.submit(lambda: exec(command, made := {}) or made["pid"]).result(timeout=60)
        while os.path.exists(f"/proc/{pid}") and "Z" not in _state(pid):
            time.sleep(0.01)
        assert executor.submit(abs, -1).result(timeout=60) == 1


def _state(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(") ")[2][0]
    except OSError:
        return "Z"


# Time


def test_a_pause_of_this_process_does_not_count_towards_the_timeout(tmp_path):
    def wait_for_file(path):
        import os
        import time

        open(f"{path}-started", "w").close()
        while not os.path.exists(path):
            time.sleep(0.01)

    offset_s, readings = 0.0, 0

    def clock():
        nonlocal readings
        readings += 1
        return time.monotonic() + offset_s

    backend = local.connect(workers=1)
    backend.invoker._all[0]._start_worker = lambda: WorkerProcess(
        backend.store, lambda: sys.path, None, os.environ, clock=clock
    )
    with wrenlite.Executor(backend, progress=False) as executor:
        job = executor.map(wait_for_file, [str(tmp_path / "go on")], timeout=60)
        while not (tmp_path / "go on-started").exists():
            time.sleep(0.01)
        offset_s += 1000  # as after SIGSTOP and SIGCONT, or a pause of the container
        seen = readings
        while readings < seen + 10 and not job.wait(0):
            time.sleep(0.01)
        (tmp_path / "go on").touch()
        assert job.results(timeout=60) == [None]


# The end

AT_EXIT = """
    def register(name):
        import atexit, multiprocessing.util, os

        def write(kind):
            with open(f"{name}-{kind}", "w") as file:
                file.write(str(os.getpid()))

        atexit.register(write, "atexit")
        multiprocessing.util.Finalize(None, write, ("finalizer",), exitpriority=1)

    """


def test_exit_handlers_of_workers_run_when_an_executor_is_shut_down_or_the_program_ends(tmp_path):
    text = """
        import wrenlite

        with wrenlite.Executor.local(2, progress=False) as executor:
            executor.map(register, ["with"]).results()
        wrenlite.Executor.local(2, progress=False).map(register, ["end"]).results()
        """
    ended = run_python(tmp_path, [], textwrap.dedent(AT_EXIT) + textwrap.dedent(text))
    assert (ended.returncode, ended.stderr) == (0, "")
    written = {path.name for path in tmp_path.glob("*-*")}
    assert written == {"with-atexit", "with-finalizer", "end-atexit", "end-finalizer"}


def register_and_hang(path):
    import atexit
    import threading
    import time

    threading.Thread(target=time.sleep, args=(600,)).start()
    atexit.register(time.sleep, 600)
    atexit.register(lambda: open(path, "w").close())


def test_a_worker_ends_though_its_exit_handlers_and_threads_do_not(tmp_path, monkeypatch):
    monkeypatch.setattr(handle, "_GRACE_S", 0.5)
    with wrenlite.Executor.local(1, progress=False) as executor:
        executor.submit(register_and_hang, str(tmp_path / "ran")).result()
    assert (tmp_path / "ran").exists()


def test_exit_handlers_of_an_idle_worker_run(pool, tmp_path, monkeypatch):
    monkeypatch.setattr(local, "IDLE_S", 0.01)
    pool.submit(lambda path: __import__("atexit").register(open, path, "w"), tmp_path / "ran").result()
    while not (tmp_path / "ran").exists():
        time.sleep(0.01)


def test_a_worker_that_has_died_is_given_up_while_nothing_runs(monkeypatch):
    monkeypatch.setattr(local, "_IDLE_CHECK_S", 0.01)
    with wrenlite.Executor.local(1, progress=False) as executor:
        for end in (os._exit, lambda code: os.kill(os.getpid(), signal.SIGKILL)):
            assert isinstance(executor.submit(end, 1).exception(30), wrenlite.WorkerDied)
            while executor.backend.invoker._all[0]._worker is not None:
                time.sleep(0.005)
            assert executor.submit(abs, -1).result(30) == 1
