"""The progress of jobs on a terminal, as a person sees it between the program's own lines."""

import contextlib
import os
import re
import signal
import sys
import textwrap

import pytest

from tests.terminals import Terminal

pytestmark = pytest.mark.e2e

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


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_lines_of_the_program_and_its_threads_stay_whole(terminal, let_end, columns):
    screen = terminal(
        """
        import subprocess, sys
        executor = wrenlite.Executor.local(3)
        job = executor.map(work, range(3))
        for future in job:
            # print() writes the end of a line separately, and two threads print here.
            future.add_done_callback(lambda future: sys.stdout.write(f"callback {future.index}\\n"))
        print("before ", end="", flush=True)
        job.wait()
        sys.stdout.write("waited\\n")
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
    assert set(lines[2:5]) > {"callback 2", "waited"}
    assert re.search(r"^2 of 3 done, 1 failed \| work \| \d\.\d s", "\n".join(lines[2:5]), re.MULTILINE)
    assert lines[5] == ""
    let_end(3)
    assert screen.until(shows("two", "1 of 2 done |"))[5:9] == ["result 0", "one", "two", ""]
    let_end(4)
    lines = screen.until(shows("0 of 30 done |"))  # while the interpreter ends
    assert lines[8:11] == ["result 1", "one", "two"]
    assert lines[11].startswith("2 of 2 done | work | ")
    assert lines[12] == ""
    screen.child.sendintr()
    lines = screen.end()
    assert lines[12:] == ["^Cwrenlite: interrupted; cancelled 30 tasks"]
    assert screen.child.signalstatus == signal.SIGINT
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


ENDS = (
    r"(\d of \d done(?:, 1 failed)?) \| (\w+|<lambda>) \| \d\.\d s"
    r"(?: \| 2 local workers)?(?: \| up to \d+\.\d MB each)?"
)


def without_figures(lines):
    """Return lines, of last rows only the number of tasks and the name."""
    return [re.sub(rf"^{ENDS}$", r"\1 | \2", line) for line in lines]


@pytest.mark.parametrize("columns", [30, 60, 120])
@pytest.mark.parametrize(
    ("program", "expected"),
    [
        pytest.param(
            'for value in job.values(): print(value, end=" ", flush=True)\nprint("end")',
            ["0 2 3 end", "3 of 3 done | work"],
            id="a line that is printed piece by piece",
        ),
        pytest.param(
            'print("working ... ", end="", flush=True)\njob.wait()\nprint("ok")\nprint("more")',
            ["working ... ok", "3 of 3 done | work", "more"],
            id="a line that ends after the wait",
        ),
        pytest.param(
            'print("first ", end="", flush=True)\njob.wait()\nprint("ok")\n'
            'print("second ", end="", flush=True)\nexecutor.map(slow, [0, 2]).wait()\nprint("ok")',
            ["first ok", "3 of 3 done | work", "second ok", "2 of 2 done | slow"],
            id="a line that was begun before map",
        ),
        pytest.param(
            'print("working", end="", flush=True)\njob.wait()',
            ["working", "3 of 3 done | work"],
            id="a line that does not end",
        ),
        pytest.param(
            "for n in range(3): sys.stderr.write(f'\\r{job[n].result()} |##'), sys.stderr.flush()\nprint()",
            ["3 |##", "3 of 3 done | work"],
            id="a bar of the program's own",
        ),
        pytest.param(
            'for future in job.as_completed(): print("\\x1b[31mone"), print("two", file=sys.stderr)',
            ["one", "two"] * 3 + ["3 of 3 done | work"],
            id="several lines in a loop",
        ),
        pytest.param(
            "for value in job.values(): print(value)\nfor value in other.values(): print(value)",
            ["0", "2", "3", "3 of 3 done | work", "5", "6", "2 of 2 done | more"],
            id="a loop for each of two jobs",
        ),
        pytest.param(
            'for future in job: print(future.result())\nprint("end")',
            ["0", "2", "3", "3 of 3 done | work", "end"],
            id="a loop over futures",
        ),
        pytest.param(
            'for future in wrenlite.as_completed([job, other]): pass\nprint("end")',
            ["3 of 3 done | work", "2 of 2 done | more", "end"],
            id="one loop for two jobs",
        ),
        pytest.param(
            'job.wait(), other.wait()\nprint("end")',
            ["3 of 3 done | work", "2 of 2 done | more", "end"],
            id="two jobs, one after the other",
        ),
    ],
)
def test_each_job_leaves_one_row_between_whole_lines(terminal, let_end, program, expected, columns):
    second = "other = executor.map(more, [5, 6])\nfor future in other: future.add_done_callback(explain)\n"
    screen = terminal(
        "import sys\ndef more(n): return work(n)\ndef slow(n): time.sleep(0.6)\n"
        "def explain(future): future.exception() and print(repr(future.exception()))\n"
        "executor = wrenlite.Executor.local(2)\njob = executor.map(work, [0, 2, 3])\n"
        f"{second if 'other' in program else ''}{program}",
        columns,
    )
    long_enough = re.compile(r"0 of 3 done \| work \| (0\.[89]|[1-9])")  # for a row of the second job, too
    screen.until(lambda lines: any(map(long_enough.match, lines)))
    for number in (5, 6, 0, 2, 3):
        let_end(number)
    lines = without_figures(screen.end())
    if "as_completed" in program:  # the rows come in the order in which the jobs end
        lines[:2], expected[:2] = sorted(lines[:2]), sorted(expected[:2])
    assert lines == expected


def test_an_error_in_a_loop_is_shown_whole(terminal, let_end):
    screen = terminal("for value in wrenlite.Executor.local(2).map(work, [0, 1]).values(): print(value)")
    screen.until(shows("0 of 2 done"))
    let_end(0), let_end(1)
    lines = without_figures(screen.end())
    assert lines[:3] == ["0", "1 of 2 done, 1 failed | work", "Traceback (most recent call last):"]


def test_a_line_that_was_begun_before_the_first_map_stays_whole(terminal, let_end):
    screen = terminal(
        """
        executor = wrenlite.Executor.local(2)
        print("Working... ", end="", flush=True)
        executor.map(work, [0, 2]).wait()
        print("ok")
        """
    )
    screen.until(shows("0 of 2 done"))
    let_end(0), let_end(2)
    assert without_figures(screen.end()) == ["Working... ok", "2 of 2 done | work"]


def test_a_traceback_after_an_unfinished_line_is_shown_whole(terminal, let_end):
    screen = terminal(
        """
        job = wrenlite.Executor.local(2).map(work, [0, 1])
        print("Checking: ", end="", flush=True)
        for future in job.as_completed():
            future.result()
            print(".", end="", flush=True)
        """
    )
    screen.until(shows("0 of 2 done"))
    let_end(0)
    screen.until(shows("Checking: ."))
    let_end(1)
    lines = without_figures(screen.end())
    assert lines[:3] == ["Checking: .", "1 of 2 done, 1 failed | work", "Traceback (most recent call last):"]
    assert lines[3].startswith("  File ")


def test_another_object_in_the_place_of_stderr_gets_plain_lines(terminal, let_end, tmp_path):
    screen = terminal(
        """
        import sys
        class Both:
            def __init__(self, stream):
                self.stream, self.log = stream, open("log.txt", "a")
            def write(self, text):
                self.log.write(text)
                return self.stream.write(text)
            def flush(self):
                self.log.flush(), self.stream.flush()
            def isatty(self):
                return self.stream.isatty()
        job = wrenlite.Executor.local(2).map(work, [0, 2])
        sys.stdout, sys.stderr = Both(sys.stdout), Both(sys.stderr)
        job.wait(0.7)
        print("part", end=" ", flush=True)
        job.wait(0.7)
        print("of a line")
        open("go-0", "w"), open("go-2", "w")
        job.wait()
        print("end")
        """
    )
    assert without_figures(screen.end()) == ["part of a line", "2 of 2 done | work", "end"]
    assert "\x1b" not in (tmp_path / "log.txt").read_text()


def test_without_stderr_there_is_no_progress(terminal, let_end):
    screen = terminal(
        """
        import sys
        sys.stderr = None
        job = wrenlite.Executor.local(2).map(work, [0, 2])
        print(job.wait(1))
        """
    )
    assert screen.until(shows("False")) == ["False"]
    os.kill(screen.child.pid, signal.SIGINT)
    assert screen.end() == ["False"]
    assert screen.child.signalstatus == signal.SIGINT


WAITS = {
    "wait": "job.wait()",
    "results": "job.results()",
    "values": "for _ in job.values(): pass",
    "as_completed": "for _ in job.as_completed(): pass",
    "result": "executor.submit(work, 9).result()",
    "iteration": "for future in job: future.exception()",
    "wrenlite.wait": "wrenlite.wait([job, other])",
    "wrenlite.as_completed": "for _ in wrenlite.as_completed([job, other]): pass",
    "get_all_results": "wrenlite.get_all_results([job])",
    "shutdown": "executor.shutdown()",
    "with": "with executor: pass",
    "map of concurrent.futures": "for _ in executor.as_concurrent().map(work, [7, 8, 9]): pass",
    # One long sleep would miss an interrupt that comes just before it begins.
    "something else": "for n in range(3000): n or print('asleep', flush=True); time.sleep(0.01)",
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_an_interrupt_shows_only_the_line_that_waits(terminal, wait):
    screen = terminal(
        "executor = wrenlite.Executor.local(2)\n"
        f"job, other = executor.map(work, [5, 6]), executor.map(work, [7, 8])\n"
        f"\n{wait}",
        200,
    )
    screen.until(shows("asleep" if "asleep" in wait else "0 of "))
    os.kill(screen.child.pid, signal.SIGINT)
    lines = screen.end()
    assert screen.child.signalstatus == signal.SIGINT
    shown = lines[lines.index("Traceback (most recent call last):") + 1 :]
    frames = [line for line in shown if line.startswith("  File ")]
    assert re.fullmatch(r'  File ".*/script\.py", line 5, in <module>', frames[0])
    assert len(frames) == 1
    assert "KeyboardInterrupt" in shown
    rest = shown[shown.index("KeyboardInterrupt") + 1 :]
    assert all(re.fullmatch(r"wrenlite: interrupted; cancelled \d tasks?", line) for line in rest)


@pytest.mark.parametrize("columns", [60, 120])
@pytest.mark.parametrize("end", ["", "sys.exit(3)"])
def test_an_interrupt_while_the_program_waits_at_its_end(terminal, end, columns):
    screen = terminal(
        f"import atexit, sys\natexit.register(print, 'the last handler')\n"
        f"job = wrenlite.Executor.local(2).map(work, range(300))\n{end}",
        columns,
    )
    screen.until(shows("waiting for", "0 of 300 done"))
    os.kill(screen.child.pid, signal.SIGINT)
    assert screen.end() == [
        "wrenlite: waiting for 300 tasks (Ctrl-C cancels)",
        "wrenlite: interrupted; cancelled 300 tasks",
        "the last handler",
    ]
    assert screen.child.signalstatus == signal.SIGINT


def test_a_second_interrupt_while_the_first_one_cancels(terminal):
    screen = terminal(
        """
        import signal
        job = wrenlite.Executor.local(2).map(work, [5, 6])
        cancel = job.cancel
        job.cancel = lambda: (os.kill(os.getpid(), signal.SIGINT), cancel())
        job.wait()
        """,
        200,
    )
    screen.until(shows("0 of 2 done"))
    os.kill(screen.child.pid, signal.SIGINT)
    lines = screen.end()
    assert lines[0].startswith("0 of 2 done, 2 cancelled | work | ")
    assert lines[1] == "Traceback (most recent call last):"
    assert re.fullmatch(r'  File ".*/script\.py", line 7, in <module>', lines[2])
    assert lines[3:] == ["    job.wait()", "KeyboardInterrupt"]
    assert screen.child.signalstatus == signal.SIGINT


THREAD = """
def wait_at_the_end():
    while signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        time.sleep(0.001)
    print("threads are waited for", flush=True)
    job.wait()
threading.Thread(target=wait_at_the_end).start()
"""


def press_ctrl_c(screen):
    """Press Ctrl-C until the program has noticed it.

    Python misses a signal that comes just before its main thread waits for a lock, until the next one comes.
    """
    for press in range(5):
        os.kill(screen.child.pid, signal.SIGINT)
        with contextlib.nullcontext() if press == 4 else contextlib.suppress(AssertionError):
            screen.until(shows("interrupted"), timeout=10)
            return


@pytest.mark.parametrize(
    ("end", "text"),
    [("", "waiting for"), ("raise KeyboardInterrupt", "running"), (THREAD, "threads are waited for")],
    ids=["in wrenlite", "after another interrupt", "in threads of the program"],
)
def test_a_second_interrupt_while_the_first_one_cancels_at_the_end(terminal, end, text):
    screen = terminal(
        f"""
        import signal, sys, threading
        class Interrupting:
            def write(self, text):
                if "interrupted" in text:
                    os.kill(os.getpid(), signal.SIGINT)
                return sys.__stderr__.write(text)
            def flush(self):
                sys.__stderr__.flush()
            def isatty(self):
                return True
        sys.stderr = Interrupting()
        sys.excepthook = lambda *error: None
        job = wrenlite.Executor.local(2).map(work, [5, 6])
        print("running", flush=True)
        {textwrap.indent(end, "        ").strip()}
        """
    )
    screen.until(shows(text))
    if "raise" not in end:
        press_ctrl_c(screen)
    lines = [line for line in screen.end() if "wait" not in line]
    assert lines == ["running", "wrenlite: interrupted; cancelled 2 tasks"]
    assert screen.child.signalstatus == signal.SIGINT


def test_a_handler_of_the_program_that_ends_it_cancels_what_is_waited_for(terminal):
    screen = terminal(
        """
        import signal, sys
        signal.signal(signal.SIGINT, lambda *_: sys.exit(5))
        wrenlite.Executor.local(2).map(work, [5, 6]).wait()
        """
    )
    screen.until(shows("0 of 2 done"))
    os.kill(screen.child.pid, signal.SIGINT)
    (line,) = screen.end()
    assert line.startswith("0 of 2 done, 2 cancelled | work | ")
    assert screen.child.exitstatus == 5


def test_a_handler_that_ends_the_program_at_its_end_cancels(terminal):
    screen = terminal(
        """
        import signal, sys
        signal.signal(signal.SIGINT, lambda *_: sys.exit(5))
        job = wrenlite.Executor.local(2).map(work, [5, 6])
        """
    )
    screen.until(shows("waiting for"))
    os.kill(screen.child.pid, signal.SIGINT)
    assert screen.end()[1:] == ["wrenlite: interrupted; cancelled 2 tasks"]


@pytest.mark.parametrize(
    ("call", "frames"),
    [
        ("executor.map(abs, numbers())", ["<module>", "numbers"]),
        ("executor.starmap(abs, numbers())", ["<module>", "numbers"]),
        ("executor.submit(abs, Slow())", ["<module>", "__reduce__"]),
        ("executor.put(Slow())", ["<module>", "__reduce__"]),
        ("executor.call_async(abs, Slow())", ["<module>", "__reduce__"]),
    ],
)
def test_an_interrupt_of_pickling_shows_no_frames_of_ours(terminal, call, frames):
    screen = terminal(
        f"""
        executor = wrenlite.Executor.local(2)
        def numbers():
            for number in range(3):
                print("reading", flush=True)
                time.sleep(60)
                yield number,
        class Slow:
            def __reduce__(self):
                print("reading", flush=True)
                time.sleep(60)
                return Slow, ()
        {call}
        """,
        200,
    )
    screen.until(shows("reading"))
    os.kill(screen.child.pid, signal.SIGINT)
    lines = screen.end()
    shown = [line for line in lines if line.startswith("  File ") and "cloudpickle" not in line]
    assert [line.rpartition(" in ")[2] for line in shown] == frames
    assert not shows("/wrenlite/")(lines)


@pytest.mark.parametrize("wait", ["job.wait()", "executor.shutdown()", "with executor: pass"])
def test_an_interrupt_leaves_a_row_with_the_cancelled_tasks(terminal, wait):
    screen = terminal(f"executor = wrenlite.Executor.local(2)\njob = executor.map(work, [5, 6])\n{wait}")
    screen.until(shows("0 of 2 done"))
    os.kill(screen.child.pid, signal.SIGINT)
    lines = screen.end()
    assert lines[0].startswith("0 of 2 done, 2 cancelled | work | ")
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1] == "KeyboardInterrupt"


def test_rows_follow_the_width_of_the_window(terminal, let_end):
    screen = terminal("wrenlite.Executor.local(2).map(work, [0, 2]).wait()", 90)
    screen.until(shows("| 2 local workers"))
    screen.screen.resize(40, 20)
    screen.child.setwinsize(40, 20)
    screen.until(lambda lines: [line[:18] for line in lines] == ["", "0 of 2 done | work"])
    let_end(0), let_end(2)
    assert screen.end() == ["2 of 2 done | work"]


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
        while seen() is not None: time.sleep(0.01)  # the journal writes its end
        print("freed without gc")
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
    assert lines[2:] == ["freed without gc"]


def test_many_jobs_that_are_awaited_have_one_row_in_common(terminal, let_end):
    screen = terminal(
        """
        import asyncio
        executor = wrenlite.Executor.local(2)
        async def main():
            await asyncio.gather(*[executor.map(work, [n, n]) for n in (0, 2, 3, 4, 5, 6)])
        asyncio.run(main())
        print("end")
        """
    )
    lines = screen.until(shows("0 of 12 done | 6 jobs |"))
    assert len(lines) == 2
    let_end(0)
    screen.until(shows("2 of 2 done | work |", "0 of 10 done | 5 jobs |"))
    for number in (2, 3, 4, 5, 6):
        let_end(number)
    lines = screen.end()
    assert [line[:20] for line in lines] == ["2 of 2 done | work |"] * 6 + ["end"]
