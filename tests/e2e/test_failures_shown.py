"""The traceback of a failed task in a script's stderr, pytest, IPython and a Jupyter kernel."""

import os
import re
import subprocess
import sys

import pytest

FAILS = """\
import wrenlite

def ndvi(tile):
    red = tile

    return 1 / red

def test_tiles():
    with wrenlite.Executor.local(1, progress=False) as executor:
        executor.map(ndvi, [1, 0]).results()
"""


def test_in_a_script_the_callers_line_is_followed_by_the_tasks(script, tmp_path):
    ended = script(FAILS + "\ntest_tiles()\n")
    file = tmp_path / "script.py"
    shown = [line for line in ended.stderr.splitlines() if set(line.strip()) - {"^", "~"}]
    assert shown[:-1] == [
        "Traceback (most recent call last):",
        f'  File "{file}", line 12, in <module>',
        "    test_tiles()",
        f'  File "{file}", line 10, in test_tiles',
        "    executor.map(ndvi, [1, 0]).results()",
        f'  File "{file}", line 6, in ndvi',
        "    return 1 / red",
        "ZeroDivisionError: division by zero",
    ]
    assert shown[-1].startswith("wrenlite: task 1 of ndvi-")
    assert "           ~~^~~~~\n" in ended.stderr  # the failing part of the line, as for a local error


def test_a_python_without_column_positions_shows_the_lines(script):
    ended = script(FAILS + "\ntest_tiles()\n", env={**os.environ, "PYTHONNODEBUGRANGES": "1"})
    assert "in ndvi\n    return 1 / red\nZeroDivisionError" in ended.stderr


@pytest.mark.parametrize("style", ["long", "short", "native"])
def test_in_pytest_only_the_users_lines_are_shown(tmp_path, style):
    (tmp_path / "test_it.py").write_text(FAILS)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--tb={style}", "test_it.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # the plugins of these tests
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 failed" in ended.stdout
    assert "executor.map(ndvi, [1, 0]).results()" in ended.stdout
    assert "return 1 / red" in ended.stdout
    assert "wrenlite: task 1 of ndvi-" in ended.stdout
    assert "job.py" not in ended.stdout
    assert "futures.py" not in ended.stdout
    if style == "long":
        assert "def ndvi(tile):\n        red = tile\n    \n>       return 1 / red\n" in ended.stdout


IPYTHON = """\
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance(colors="nocolor")
for cell in (
    "import wrenlite; executor = wrenlite.Executor.local(1, progress=False)",
    '''def ndvi(tile):
    red = tile

    return 1 / red
''',
    "job = executor.map(ndvi, [0])",
    "job.results()",
    "job[0].result()",
    "await job",
):
    shell.run_cell(cell, store_history=True)
"""


KERNEL = """\
from jupyter_client import KernelManager

manager = KernelManager(kernel_name="python3")
manager.start_kernel()
client = manager.client()
client.start_channels()
client.wait_for_ready(timeout=30)


def show(message):
    for line in message["content"].get("traceback", ()):
        print(line)


for cell in (
    "%colors nocolor",
    "import wrenlite; executor = wrenlite.Executor.local(1, progress=False)",
    "def ndvi(tile):\\n    red = tile\\n\\n    return 1 / red",
    "executor.map(ndvi, [0]).results()",
):
    client.execute_interactive(cell, timeout=30, output_hook=show)
client.stop_channels()
manager.shutdown_kernel(now=True)
"""


def test_in_a_kernel_the_line_of_the_cell_is_shown_though_no_file_has_it(script, tmp_path):
    home = {**os.environ, "IPYTHONDIR": str(tmp_path / "ipython"), "HOME": str(tmp_path)}
    ended = script(KERNEL, env=home)
    assert ended.returncode == 0, ended.stderr
    shown = re.sub(r"\x1b\[[0-9;]*m", "", ended.stdout)
    assert (
        "Cell In[4], line 1\n----> 1 executor.map(ndvi, [0]).results()\n\nCell In[3], line 4, in ndvi"
        in shown
    )
    assert "----> 4     return 1 / red\n" in shown


def test_in_ipython_an_arrow_points_to_the_line_of_the_cell(script, tmp_path):
    home = {**os.environ, "IPYTHONDIR": str(tmp_path / "ipython"), "HOME": str(tmp_path)}
    ended = script(IPYTHON, env=home)
    assert ended.returncode == 0, ended.stderr
    calls = {4: "job.results()", 5: "job[0].result()", 6: "await job"}
    for count, call in calls.items():
        assert (
            f"Cell In[{count}], line 1\n----> 1 {call}\n\n"
            "Cell In[2], line 4, in ndvi()\n"
            "      1 def ndvi(tile):\n      2     red = tile\n----> 4     return 1 / red\n\n"
            "ZeroDivisionError: division by zero\nwrenlite: task 0 of ndvi-"
        ) in ended.stdout
    assert "job.py" not in ended.stdout
