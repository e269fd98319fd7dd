"""A client on a system without POSIX: what can work there does, and the rest says what to use."""

import textwrap

import pytest

NO_POSIX = textwrap.dedent(
    """
    import os
    import select
    import sys

    for name in ("fcntl", "grp", "pty", "pwd", "resource", "spwd", "syslog", "termios", "tty"):
        sys.modules[name] = None  # importing it raises ModuleNotFoundError
    for name in ("getpgrp", "getuid", "killpg", "pidfd_open", "sched_getaffinity", "sysconf", "wait4"):
        if hasattr(os, name):
            delattr(os, name)
    del select.poll

    import wrenlite
    """
)


def test_tasks_run_in_the_calling_thread(script):
    done = script(
        NO_POSIX
        + textwrap.dedent(
            """
            with wrenlite.Executor.inline() as executor:
                print(executor.map(lambda n: n * n, range(4)).results())
                print(executor.map_reduce(abs, [-1, -2], sum).result())
            """
        )
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["[0, 1, 4, 9]", "3"]


@pytest.mark.parametrize("executor", ["wrenlite.Executor()", "wrenlite.Executor.local(2)"])
def test_local_workers_say_what_works_there(script, executor):
    done = script(
        NO_POSIX
        + textwrap.dedent(
            f"""
            try:
                {executor}
            except wrenlite.BackendError as error:
                print(error)
            """
        )
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "local workers need a POSIX system such as Linux" in done.stdout
    assert "Executor.aws() works here, and so does Executor.inline()" in done.stdout


def test_tasks_run_on_lambda(script, bed):
    done = script(
        NO_POSIX
        + textwrap.dedent(
            """
            with wrenlite.Executor.aws() as executor:
                print(sum(executor.map(lambda n: n * n, range(40)).results()))
                print(len(executor.submit(bytes, 8_000_000).result()))  # by way of the store
            """
        )
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["20540", "8000000"]
