"""The caller's process: interrupts, signals, forks, its end, and many such processes at once."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import wrenlite
from tests.aws.tasks import LARGE


def alive(pid):
    """Return whether the process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def have_ended(pids):
    deadline = time.monotonic() + 30
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not any(map(alive, pids))


def read_line(process):
    return process.stdout.readline().strip()


WORKERS_AT_WORK = """
    import atexit, os, re, sys, threading, time, traceback
    import wrenlite
    from wrenlite import as_completed, wait

    def report_when_the_main_thread_waits():
        main = threading.main_thread().ident
        about_to_wait.wait()
        seen = 0
        while seen < 5:  # in a row, so that it is not just about to wait
            waits = sys._current_frames()[main].f_code.co_name in ("wait", "wait_for")
            seen = seen + 1 if waits else 0
            time.sleep(0.01)
        print("ready")

    about_to_wait = threading.Event()
    threading.Thread(target=report_when_the_main_thread_waits, daemon=True).start()

    def hang(n):
        with open(f"pid-{n}", "w") as file:
            file.write(str(os.getpid()))
        if n == 1:
            re.match(r"(a+)+$", "a" * 60 + "b")  # C code that does not return
        time.sleep(600)

    executor = wrenlite.Executor.local(2)
    job = executor.map(lambda n: n if n > 1 else hang(n), range(4), chunksize=1)
    while not (os.path.exists("pid-0") and os.path.exists("pid-1") and os.path.getsize("pid-1")):
        time.sleep(0.01)
    while not os.path.getsize("pid-0"):
        time.sleep(0.01)
"""


def worker_pids(tmp_path):
    return [int((tmp_path / f"pid-{n}").read_text()) for n in (0, 1)]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
def test_no_worker_outlives_a_killed_parent(start_script, tmp_path, number):
    process = start_script(WORKERS_AT_WORK + "    print('ready'); time.sleep(600)")
    assert read_line(process) == "ready"
    pids = worker_pids(tmp_path)
    assert all(map(alive, pids))
    process.send_signal(number)
    assert have_ended([process.pid, *pids])


def test_no_worker_outlives_a_killed_parent_whose_fork_lives_on(start_script, tmp_path):
    process = start_script(
        WORKERS_AT_WORK
        + """
    child = os.fork()
    if child == 0:
        time.sleep(600)
        os._exit(0)
    print(child)
    time.sleep(600)
    """
    )
    child = int(read_line(process))
    pids = worker_pids(tmp_path)
    process.kill()
    assert have_ended([process.pid, *pids])
    assert alive(child)
    os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize(
    "waiting",
    [
        "job.results()",
        "job.wait()",
        "job[0].result()",
        "list(job.as_completed())",
        "list(job.values())",
        "wrenlite.wait(job)",
    ],
)
def test_an_interrupt_cancels_the_job_that_is_waited_for(start_script, tmp_path, waiting):
    process = start_script(
        WORKERS_AT_WORK
        + f"""
    first = executor.map(abs, [-1])
    try:
        about_to_wait.set()
        {waiting}
    except KeyboardInterrupt as error:
        print(*(frame.name for frame in traceback.extract_tb(error.__traceback__)))
        print(job.snapshot().cancelled, job.wait(1), first.results(timeout=30))
    """
    )
    assert read_line(process) == "ready"
    pids = worker_pids(tmp_path)
    os.kill(process.pid, signal.SIGINT)
    assert read_line(process) == "<module>"  # no frame of wrenlite
    assert read_line(process) == "4 True [1]"
    assert have_ended(pids)
    assert process.wait(60) == 0


def test_an_interrupt_may_end_only_the_waiting(start_script, tmp_path):
    process = start_script(
        WORKERS_AT_WORK
        + """
    def wait_for_flag(n):
        while not os.path.exists("flag"):
            time.sleep(0.01)
        return n

    job.cancel()
    job = executor.map(wait_for_flag, range(4))
    try:
        about_to_wait.set()
        job.wait(cancel_on_interrupt=False)
    except KeyboardInterrupt:
        print("interrupted")
    print(job.results())
    """
    )
    assert read_line(process) == "ready"
    os.kill(process.pid, signal.SIGINT)
    assert read_line(process) == "interrupted"
    (tmp_path / "flag").touch()
    assert read_line(process) == "[0, 1, 2, 3]"
    assert process.wait(60) == 0


def test_an_interrupt_while_the_data_is_read_starts_nothing(start_script, tmp_path):
    process = start_script(
        """
        import time
        import wrenlite

        def data():
            yield 1
            print("ready")
            time.sleep(600)

        executor = wrenlite.Executor.local(2)
        try:
            executor.map(lambda n: open("ran", "w").close(), data())
        except KeyboardInterrupt:
            print(executor.map(abs, [-2]).results())
        """
    )
    assert read_line(process) == "ready"
    os.kill(process.pid, signal.SIGINT)
    assert read_line(process) == "[2]"
    assert process.wait(60) == 0
    assert not (tmp_path / "ran").exists()


def test_an_interrupt_of_an_inline_job_ends_it(start_script):
    process = start_script(
        """
        import time
        import wrenlite

        def hang(n):
            if n == 2:
                print("ready", flush=True)
                time.sleep(600)
            return n

        executor = wrenlite.Executor.inline()
        try:
            executor.map(hang, range(5))
        except KeyboardInterrupt:
            print(executor.map(abs, [-2]).results())
        """
    )
    assert read_line(process) == "ready"
    os.kill(process.pid, signal.SIGINT)
    assert read_line(process) == "[2]"
    assert process.wait(60) == 0


def test_an_uncaught_interrupt_ends_the_process_and_its_workers(start_script, tmp_path):
    process = start_script(WORKERS_AT_WORK + "    about_to_wait.set(); job.results()")
    assert read_line(process) == "ready"
    pids = worker_pids(tmp_path)
    os.kill(process.pid, signal.SIGINT)
    assert have_ended([*pids, process.pid])
    assert "KeyboardInterrupt" in process.stderr.read()


@pytest.mark.parametrize("body", ["print('ready'); time.sleep(600)", "about_to_wait.set()"])
def test_a_with_block_does_not_wait_after_an_interrupt(start_script, tmp_path, body):
    process = start_script(WORKERS_AT_WORK + f"    with executor:\n        {body}")
    assert read_line(process) == "ready"
    pids = worker_pids(tmp_path)
    os.kill(process.pid, signal.SIGINT)
    assert have_ended([*pids, process.pid])
    assert "/wrenlite/" not in process.stderr.read()


def test_a_script_that_ends_waits_for_its_jobs(script, tmp_path):
    ended = script(
        """
        import time
        import wrenlite

        def late(n):
            time.sleep(0.2)
            open(f"done-{n}", "w").close()

        wrenlite.Executor.local(2).map(late, range(4))
        """
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(list(tmp_path.glob("done-*"))) == 4


def test_an_interrupt_ends_a_script_that_waits_at_its_end(start_script, tmp_path):
    process = start_script(WORKERS_AT_WORK + "    atexit.register(about_to_wait.set)")
    assert read_line(process) == "ready"
    pids = worker_pids(tmp_path)
    assert process.poll() is None
    os.kill(process.pid, signal.SIGINT)
    assert have_ended([*pids, process.pid])


def test_a_forked_child_cannot_use_its_parents_executor_and_does_not_harm_it(script):
    ended = script(
        """
        import os, warnings
        import wrenlite

        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads, from Python 3.12 on
        executor = wrenlite.Executor.local(2)
        job = executor.map(lambda n: n + 1, range(5))
        assert job.results() == [1, 2, 3, 4, 5]
        pending = executor.map(lambda n: __import__("time").sleep(1), [1])
        child = os.fork()
        if child == 0:
            code = 0
            try:
                executor.map(abs, [1])
                code = 1
            except wrenlite.ExecutorClosed as error:
                code = 0 if "forked" in str(error) else 2
            try:
                pending.results()
                code = 3
            except wrenlite.ExecutorClosed:
                pass
            if wrenlite.Executor.local(1).map(abs, [-4]).results() != [4]:
                code = 4
            if job.results() != [1, 2, 3, 4, 5]:
                code = 5
            raise SystemExit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert pending.results() == [None]
        assert executor.map(abs, [-3]).results() == [3]
        """
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_worker_that_cannot_start_is_named(monkeypatch, pool):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(wrenlite.WorkerStartError, match="/no/such/python"):
        pool.map(abs, range(100)).results()


def test_a_worker_that_ends_at_its_start_is_named_with_its_output(monkeypatch, pool, tmp_path):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho this Python is broken >&2\nexit 4\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(wrenlite.WorkerStartError, match=r"code 4(.|\n)*this Python is broken"):
        pool.map(abs, range(100)).results()


def test_another_version_of_wrenlite_in_the_worker_is_refused(monkeypatch, pool):
    monkeypatch.setattr(wrenlite, "__version__", "0.0.0")
    with pytest.raises(wrenlite.IncompatibleRuntime, match=r"runs wrenlite 0\.0\.0.*Restart"):
        pool.map(abs, range(100)).results()


def test_a_full_disk_is_reported_before_anything_starts(script):
    ended = script(
        """
        import os, resource
        import wrenlite

        executor = wrenlite.Executor.local(2)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        ballast = os.urandom(100_000)  # what can be compressed travels inside requests
        try:
            executor.map(lambda n: ballast, [1])
        except wrenlite.StoreError as error:
            print(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print(len(executor.map(lambda n: ballast, [1]).results()[0]))
        """
    )
    assert ended.stderr == ""
    assert "cannot write 'code/" in ended.stdout
    assert "File too large" in ended.stdout
    assert ended.stdout.endswith("100000\n")


def test_nothing_is_left_in_the_temporary_folder(script, tmp_path):
    (tmp_path / "tmp").mkdir()
    ended = script(
        """
        import wrenlite

        print(wrenlite.Executor.local(2).map(lambda n: n, range(3)).results())
        """,
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
    )
    assert ended.stdout == "[0, 1, 2]\n"
    assert list((tmp_path / "tmp").iterdir()) == []


def test_temporary_folders_of_killed_processes_are_removed(start_script, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    process = start_script(WORKERS_AT_WORK + "    print('ready'); time.sleep(600)")
    assert read_line(process) == "ready"
    process.kill()
    process.wait()
    (leftover,) = tmp_path.glob("wrenlite-*")
    in_use = wrenlite.Executor.local(1)
    assert leftover.exists()  # its lock file is too new to tell whether its process still runs
    for folder in tmp_path.glob("wrenlite-*"):
        os.utime(folder / "lock", (1, 1))
    ended = subprocess.run(
        [sys.executable, "-c", "import wrenlite; wrenlite.Executor.local(1).map(abs, [1]).results()"],
        check=True,
    )
    assert ended.returncode == 0
    assert not leftover.exists()
    assert in_use.map(abs, [-1]).results() == [1]
    in_use.shutdown()


def test_two_executors_work_at_once():
    with wrenlite.Executor.local(2) as one, wrenlite.Executor.local(1) as two:
        jobs = [executor.map(lambda n: n * 2, range(200)) for executor in (one, two, one, two)]
        assert all(job.results() == [n * 2 for n in range(200)] for job in jobs)


def test_threads_may_share_an_executor(pool):
    def use(by):
        return pool.map(lambda n: n * by, range(50)).results()

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(use, range(20))) == [[n * by for n in range(50)] for by in range(20)]


@pytest.mark.e2e
def test_twenty_processes_work_at_once(tmp_path):
    program = "import wrenlite; print(sum(wrenlite.Executor.local(2).map(abs, range(-100, 0)).results()))"
    command = [sys.executable, "-c", program]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path) for _ in range(20)]
    assert [process.communicate()[0] for process in started] == [b"5050\n"] * 20
    assert [process.returncode for process in started] == [0] * 20


def test_a_worker_that_died_is_noticed_though_its_parent_ignores_sigchld(script):
    ended = script(
        """
        import os, signal
        import wrenlite

        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        executor = wrenlite.Executor.local(1)
        print(executor.map(lambda n: os._exit(1) if n == 1 else n, range(3)).results(return_exceptions=True))
        """
    )
    assert ended.stderr == ""
    assert "WorkerDied" in ended.stdout
    assert ended.stdout.startswith("[0, ")
    assert ended.stdout.endswith(", 2]\n")


def test_an_interrupt_while_a_script_waits_at_its_end_prints_one_line(start_script):
    process = start_script(
        """
        import wrenlite

        def hang(n):
            import time

            print("ready", flush=True)
            time.sleep(600)

        job = wrenlite.Executor.local(2, progress=False).map(hang, range(5))
        while job.snapshot().dispatched < 2:
            pass
        print("end of the script", flush=True)
        """
    )
    assert read_line(process) == "end of the script"
    asleep = 0
    while asleep < 5:  # in a row, so that it really waits
        state = Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2][0]
        asleep = asleep + 1 if state == "S" else 0
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(60) == -signal.SIGINT
    assert process.stderr.read() == "wrenlite: interrupted; cancelled 5 tasks\n"


# The store


@pytest.mark.parametrize("change", ["removed", "damaged"])
def test_a_local_store_that_was_cleaned_or_damaged_is_filled_again(change, caplog):
    def add(n, table, weight):
        return n + table[1]

    with wrenlite.Executor.local(1, progress=False) as executor:
        store = executor.backend.store
        ref = executor.put([1, 2])
        assert executor.map(add, [1], args=(ref, LARGE)).results(timeout=30) == [3]
        if change == "removed":
            shutil.rmtree(store.root)  # as a program that cleans /tmp does
        else:
            for entry in [*store.list("code/"), *store.list("refs/")]:
                store.put(entry.key, b"damaged")
        with pytest.raises(wrenlite.WorkerDied):  # the next worker has neither function nor object
            executor.submit(os._exit, 1).result(30)
        with pytest.raises(wrenlite.StoreError, match=r"executor\.put\(\) again"):
            executor.map(add, [1], args=(ref, LARGE)).results(timeout=30)
        executor.put([1, 2])
        assert executor.map(add, [1], args=(ref, LARGE)).results(timeout=30) == [3]
        if change == "removed":
            shutil.rmtree(store.root)
        assert executor.map_reduce(bytes, [1 << 15] * 2, len).result(30) == 2  # these values are stored
        assert stat.S_IMODE(os.stat(store.root).st_mode) == 0o700
    assert not os.path.exists(store.root)
    said = "the right blob is put in its place" in caplog.text
    assert said == (change == "damaged")


def test_a_store_that_cannot_be_read_for_a_moment_costs_no_attempt():
    with wrenlite.Executor.local(1, progress=False) as executor:
        assert executor.map(max, [b""], args=(LARGE,)).results(timeout=30) == [LARGE]
        with pytest.raises(wrenlite.WorkerDied):  # the next worker reads the function again
            executor.submit(os._exit, 1).result(30)
        code = Path(executor.backend.store.root, "code")
        code.rename(code.with_name("away"))
        code.symlink_to(code)  # which cannot be read, although it exists
        job = executor.map(max, [b""], args=(LARGE,))
        while "Too many levels" not in job.snapshot().note:
            time.sleep(0.005)
        code.unlink()
        code.with_name("away").rename(code)
        assert job.results(timeout=30) == [LARGE]
        assert job.stats()[0].attempts == 1
