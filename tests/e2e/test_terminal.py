"""The progress of jobs on a terminal, as a person sees it between the program's own lines."""

import re
import sys
import textwrap

import pytest

from tests.terminals import Terminal

WORK = """\
import os, time, wrenlite
def work(n):
    while not os.path.exists(f"{folder}/go-{{n}}"):
        time.sleep(0.01)
    if n == 1:
        raise ValueError(n)
    return n
"""


@pytest.fixture
def terminal(tmp_path):
    """A function that runs a script in a terminal, or other arguments of Python."""
    opened = []

    def run(text="", columns=80, *, arguments=("script.py",)):
        (tmp_path / "tools.py").write_text(WORK.format(folder=tmp_path))
        (tmp_path / "script.py").write_text("from tools import *\n" + textwrap.dedent(text))
        opened.append(Terminal([sys.executable, *arguments], columns, cwd=str(tmp_path)))
        return opened[-1]

    yield run
    for each in opened:
        each.close()


@pytest.fixture
def let_end(tmp_path):
    """A function that lets a task end."""
    return lambda number: (tmp_path / f"go-{number}").touch()


def shows(*texts):
    """Return a condition: each of these texts is in some line."""
    return lambda lines: all(any(text in line for line in lines) for text in texts)


@pytest.mark.parametrize(
    "columns", [pytest.param(60, marks=pytest.mark.e2e), 80, pytest.param(120, marks=pytest.mark.e2e)]
)
def test_lines_of_the_program_and_its_threads_stay_whole(terminal, let_end, columns):
    screen = terminal(
        """
        import subprocess, sys
        executor = wrenlite.Executor.local(3)
        job = executor.map(work, range(3))
        for future in job:
            future.add_done_callback(lambda future: print("callback", future.index))
        print("before ", end="", flush=True)
        job.wait()
        print("own write:", "write" in vars(sys.stdout) or "write" in vars(sys.stderr))
        job = executor.map(work, [3, 4])
        for future in job.as_completed():
            print("result", future.index)
            subprocess.run(["echo", "one\\ntwo"])
        executor.map(work, [5] * 30)
        """,
        columns,
    )
    start = screen.until(shows("| work |"))
    assert start[0] == "before"
    assert re.match(r"0 of 3 done \| work \| \d\.\d s \| 3 running", start[1])
    let_end(0)
    assert screen.until(shows("callback 0", "1 of 3 done"))[:2] == ["before callback 0", ""]
    let_end(1)
    lines = screen.until(shows("callback 1", "1 of 3 done, 1 failed |"))
    assert lines[:3] == ["before callback 0", "callback 1", ""]
    let_end(2)
    lines = screen.until(shows("callback 2", "0 of 2 done |"))
    assert set(lines[2:5]) > {"callback 2", "own write: False"}
    assert re.search(r"^2 of 3 done, 1 failed \| work \| \d\.\d s", "\n".join(lines[2:5]), re.MULTILINE)
    assert lines[5] == ""
    let_end(3)
    assert screen.until(shows("two", "1 of 2 done |"))[5:9] == ["result 0", "one", "two", ""]
    let_end(4)
    lines = screen.until(shows("0 of 30 done |"))  # while the interpreter ends
    assert lines[8].startswith("2 of 2 done | work | ")
    assert lines[9:13] == ["result 1", "one", "two", ""]
    screen.child.sendintr()
    lines = screen.end()
    assert lines[12:] == ["^Cwrenlite: interrupted; cancelled 30 tasks"]
    assert screen.screen.cursor.x == 0  # where the shell's prompt begins


def test_at_pythons_prompt_there_is_no_progress_until_somebody_waits(terminal):
    screen = terminal(
        arguments=["-q", "-i", "-c", "from tools import *; executor = wrenlite.Executor.local(2)"]
    )
    screen.until(shows(">>>"))
    screen.child.sendline("job = executor.map(work, range(3))")
    screen.child.sendline("sum(job.wait(0.05) for _ in range(3)), time.sleep(0.6)")
    screen.child.send("'ty' + ")
    screen.until(lambda lines: lines[-1] == ">>> 'ty' +")
    screen.child.sendline("'ped'")
    before = screen.until(lambda lines: lines[-2:] == ["'typed'", ">>>"])
    assert not shows(" done")(before)
    screen.child.sendline("job.wait(1)")
    assert screen.until(shows("0 of 3 done"))[len(before) - 1] == ">>> job.wait(1)"
    assert screen.until(lambda lines: lines[-1] == ">>>")[-3:] == [">>> job.wait(1)", "False", ">>>"]
    screen.child.sendline("job.results()")
    screen.until(shows("0 of 3 done"))
    screen.child.sendintr()
    lines = screen.until(lambda lines: lines[-1] == ">>>" and shows("Interrupt")(lines))
    assert lines[len(before) + 2] == "^C"
    assert lines[len(before) + 3].startswith("0 of 3 done, 3 cancelled | work | ")
    assert lines[len(before) + 4 :] == [
        "Traceback (most recent call last):",
        '  File "<stdin>", line 1, in <module>',
        "KeyboardInterrupt",
        ">>>",
    ]


def test_two_jobs_that_are_awaited_have_a_row_each(terminal, let_end):
    screen = terminal(
        """
        import asyncio, gc, weakref
        gc.disable()
        def other(n): return work(n)
        executor = wrenlite.Executor.local(2)
        async def main():
            await asyncio.gather(executor.map(work, [0, 2]), executor.map(other, [3, 4]))
        asyncio.run(main())
        job = executor.map(work, [0, 2])
        job.wait()
        seen = weakref.ref(job)
        del job
        print("freed without gc:", seen() is None)
        """
    )
    lines = screen.until(shows("| other |"))
    assert [line[:20] for line in lines] == ["", "0 of 2 done | work |", "0 of 2 done | other "]
    let_end(0), let_end(2)
    lines = screen.until(shows("2 of 2 done | work"))
    lines = screen.until(lambda lines: len(lines) == 3)
    assert [line[:20] for line in lines] == ["2 of 2 done | work |", "", "0 of 2 done | other "]
    let_end(3), let_end(4)
    lines = screen.end()
    assert [line[:20] for line in lines[:2]] == ["2 of 2 done | work |", "2 of 2 done | other "]
    assert lines[2:] == ["freed without gc: True"]
