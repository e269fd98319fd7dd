"""wrenlite in scripts: code of ``__main__``, modules beside the script, stdin, and ``-c``."""

import os
import re
import shutil
import subprocess
import sys
import zipapp


def test_functions_and_classes_of_main_need_no_guard(script):
    ended = script(
        """
        import dataclasses, enum, sys
        import wrenlite

        print("top level")

        class Kind(enum.Enum):
            ODD = 1
            EVEN = 2

        @dataclasses.dataclass
        class Point:
            x: int
            kind: Kind = Kind.ODD

        SCALE = 10

        def helper(n):
            return n * SCALE

        def scaled(point):
            return Point(helper(point.x), Kind.EVEN if point.x % 2 == 0 else Kind.ODD)

        executor = wrenlite.Executor.local(2)
        points = executor.map(scaled, [Point(n) for n in range(4)]).results()
        assert points == [Point(0, Kind.EVEN), Point(10), Point(20, Kind.EVEN), Point(30)], points
        assert points[1].kind is Kind.ODD
        SCALE = 100
        assert executor.submit(helper, 1).result() == 100
        assert executor.map(Point, [1]).results() == [Point(1)]
        """
    )
    assert (ended.returncode, ended.stderr, ended.stdout) == (0, "", "top level\n")


def test_modules_beside_the_script_travel_and_their_edits_take_effect(script, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from helpers.numbers import FACTOR\ndef f(x):\n    return x * FACTOR\n"
    )
    (tmp_path / "helpers").mkdir()
    (tmp_path / "helpers" / "__init__.py").write_text("")
    (tmp_path / "helpers" / "numbers.py").write_text("FACTOR = 2\n")
    (tmp_path / "late.py").write_text("VALUE = 'late'\n")
    ended = script(
        """
        import importlib, os, traceback
        from pathlib import Path
        import mine
        import wrenlite

        def uses_module(x):
            import late  # only here
            return mine.f(x), late.VALUE, os.getpid()

        executor = wrenlite.Executor.local(1)
        first = executor.submit(uses_module, 1).result()
        again = executor.submit(uses_module, 1).result()
        print(first[:2], first == again)

        Path("helpers/numbers.py").write_text("FACTOR = 333\\n")
        print(executor.map(mine.f, [1]).results())  # by name, and no reload here

        Path("mine.py").write_text("def f(x):\\n    raise KeyError(x)  # the new line\\n")
        error = executor.map(mine.f, [5])[0].exception()
        shown = "".join(traceback.format_exception(error))
        print(type(error).__name__, "raise KeyError(x)  # the new line" in shown)
        print(str(Path("mine.py").resolve()) in shown)
        """
    )
    assert ended.stderr == ""
    assert ended.stdout.splitlines() == ["(2, 'late') True", "[333]", "KeyError True", "True"]


def test_instances_of_classes_of_local_modules_travel(script, tmp_path):
    (tmp_path / "shapes.py").write_text(
        "class Box:\n    def __init__(self, side):\n        self.side = side\n"
    )
    ended = script(
        """
        import shapes
        import wrenlite

        boxes = wrenlite.Executor.local(2).map(lambda b: shapes.Box(b.side + 1), [shapes.Box(1)]).results()
        print(type(boxes[0]) is shapes.Box, boxes[0].side)
        """
    )
    assert (ended.stderr, ended.stdout) == ("", "True 2\n")


def test_a_zipapp_runs_and_its_packages_find_their_data(tmp_path):
    app = tmp_path / "app"
    (app / "inner" / "tables").mkdir(parents=True)
    (app / "inner" / "__init__.py").write_text("")
    (app / "inner" / "tables" / "one.csv").write_text("1,2")
    (app / "inner" / "mod.py").write_text(
        "import importlib.resources, pkgutil\n"
        "def read(name):\n"
        "    here = importlib.resources.files('inner') / 'tables' / name\n"
        "    return here.read_text(), pkgutil.get_data('inner', f'tables/{name}')\n"
        "def fails(_):\n"
        "    raise KeyError('the line in the zip')\n"
    )
    (app / "__main__.py").write_text(
        "import traceback, inner.mod, wrenlite\n"
        "with wrenlite.Executor.local(1, progress=False) as executor:\n"
        "    print(executor.map(inner.mod.read, ['one.csv']).results())\n"
        "    print(executor.submit(lambda: inner.mod.read('one.csv')).result())\n"
        "    error = executor.map(inner.mod.fails, [0])[0].exception()\n"
        "    print('raise KeyError(' in ''.join(traceback.format_exception(error)))\n"
    )
    zipapp.create_archive(app, tmp_path / "app.pyz")
    shutil.rmtree(app)
    ended = subprocess.run(
        [sys.executable, "app.pyz"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.stderr == ""
    assert ended.stdout.splitlines() == ["[('1,2', b'1,2')]", "('1,2', b'1,2')", "True"]


def test_a_program_runs_from_the_command_line_and_from_stdin():
    program = "import wrenlite\nx = 3\nprint(wrenlite.Executor.local(1).map(lambda n: n + x, [1]).results())"
    for arguments, text in ((["-c", program], None), (["-"], program)):
        ended = subprocess.run(
            [sys.executable, *arguments], input=text, capture_output=True, text=True, check=False
        )
        assert (ended.stderr, ended.stdout) == ("", "[4]\n")


def test_an_error_in_a_script_shows_the_line_of_the_task(script):
    ended = script(
        """
        import wrenlite

        def inner(x):
            return 1 / x

        def outer(x):
            return inner(x)

        wrenlite.Executor.local(2).map(outer, [1, 0]).results()
        """
    )
    assert ended.returncode == 1
    assert "return 1 / x\n" in ended.stderr
    assert "ZeroDivisionError: division by zero\n" in ended.stderr
    assert "wrenlite: task 1 of outer-" in ended.stderr


def test_a_cell_of_a_notebook_is_in_the_traceback(script):
    # ipykernel compiles a cell under a file name that only the linecache of its process knows.
    ended = script(
        """
        import linecache, sys, traceback
        import wrenlite

        cell = "def in_cell(x):\\n    return x.nothing  # in the cell\\n"
        name = "/tmp/ipykernel_1/2.py"
        linecache.cache[name] = (len(cell), None, cell.splitlines(keepends=True), name)
        exec(compile(cell, name, "exec"), sys.modules["__main__"].__dict__)
        error = wrenlite.Executor.local(1).map(in_cell, [1])[0].exception()
        print("return x.nothing  # in the cell" in "".join(traceback.format_exception(error)))
        """
    )
    assert (ended.stderr, ended.stdout) == ("", "True\n")


def test_importing_wrenlite_is_light():
    program = "import sys, wrenlite; wrenlite.Executor; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(ended.stdout.split())
    assert "wrenlite.executor" in loaded
    assert not loaded & {"numpy", "boto3", "ipywidgets", "click", "PIL", "cloudpickle", "IPython"}
    assert not loaded & {"matplotlib", "pandas"}


SLOW_JOB = """
    import time

    import wrenlite

    def work(n):
        time.sleep(0.8)
        if n == 1:
            raise ValueError

    with wrenlite.Executor.local(2{progress}) as executor:
        executor.map(work, range(3)).wait()
"""


def test_with_stderr_in_a_file_a_job_prints_one_line_at_its_start_and_one_at_its_end(script):
    ended = script(SLOW_JOB.format(progress=""), env=dict(os.environ))
    start, end = ended.stderr.splitlines()
    assert start == "wrenlite: work on 2 local workers: 3 tasks"
    assert re.fullmatch(r"wrenlite: work: 2 of 3 done in \d\.\d s; 1 failed", end)
    assert ended.stdout == ""


def test_with_stderr_in_a_file_many_jobs_have_lines_in_common(script):
    ended = script(
        """
        import time
        import wrenlite

        with wrenlite.Executor.local(2, progress=True) as executor:
            jobs = [executor.submit(lambda n=n: time.sleep(0.15)) for n in range(30)]
            [job.result() for job in jobs]
        """,
        env=dict(os.environ),
    )
    start, *progress, end = ended.stderr.splitlines()
    assert re.fullmatch(r"wrenlite: (\d+) jobs on 2 local workers: \1 tasks", start)
    line = r"wrenlite: \d+ jobs: \d+ of \d+ ended after (\d+) s; [12] running"
    seconds = [int(re.match(line, text)[1]) for text in progress]
    assert seconds
    assert seconds == sorted(set(seconds)), "at most one line each second"
    assert re.fullmatch(r"wrenlite: (\d\d) jobs: \1 of \1 done in \d\.\d s", end)


def test_with_progress_off_a_job_prints_nothing(script):
    ended = script(SLOW_JOB.format(progress=", progress=False"), env=dict(os.environ))
    assert (ended.stdout, ended.stderr) == ("", "")


def test_stderr_may_be_an_object_that_only_writes(script):
    ended = script(
        """
        import sys
        import wrenlite

        class Tee:
            def write(self, text):
                return len(text)

        sys.stderr = Tee()
        print(wrenlite.Executor.local(1).map(abs, [-1]).results())
        """
    )
    assert ended.stdout == "[1]\n"
