"""``wrenlite cache``: what is kept, and its bounds."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

import wrenlite
from wrenlite.cli import main


@pytest.fixture
def command(tmp_path, monkeypatch):
    monkeypatch.setenv("WRENLITE_CACHE", str(tmp_path / "kept"))
    monkeypatch.setenv("WRENLITE_CONFIG", str(tmp_path / "config.toml"))
    (tmp_path / "config.toml").write_text("# mine\n")

    def run(*arguments):
        result = CliRunner().invoke(main, ["cache", *arguments])
        return result.exit_code, result.output

    return run


def double(n):
    return 2 * n


def large(n):
    return bytes([n]) * 100_000


def test_values_are_listed_bounded_and_cleared(command, tmp_path):
    assert command()[1].startswith("0 bytes in")
    with wrenlite.Executor.local(1, progress=False) as executor:
        executor.map(large, range(4), cache=True).results()
        executor.map(double, range(3), cache=True).results()
        job = executor.map(double, range(5), cache=True)
        job.results()
    listed = json.loads(command("list", "--json")[1])
    names = f"{__file__}:double", f"{__file__}:large"
    assert {each["function"]: each["entries"] for each in listed["functions"]} == dict(
        zip(names, (5, 4), strict=True)
    )
    assert listed["bytes"] > 400_000
    assert "\ntest_cache_commands.py:double  " in command()[1]
    assert "2 items of 5 are new" in command("--why", job.id)[1]
    assert json.loads(command("--why", job.id, "--json")[1])["cached"] == 3
    code, text = command("bound", "--bytes", "350KB", "--age", "30d")
    assert (code, text.startswith("Up to 350.0 KB are kept, each for 30 days")) == (0, True)
    assert (tmp_path / "config.toml").read_text() == "# mine\ncache_bytes = 358400\ncache_days = 30.0\n"
    assert len(list((tmp_path / "kept" / "values").glob("*/*"))) == 3
    assert command("clear", "double") == (0, "5 values deleted.\n")
    assert command("clear", "double")[1].startswith("Error: no values of 'double' are kept")
    assert command("clear")[1] == "3 values deleted.\n"
    assert not list((tmp_path / "kept" / "values").glob("*/*"))


def test_functions_of_two_folders_are_told_apart(command, tmp_path):
    files = [tmp_path / folder / "main.py" for folder in "ab"]
    for number, file in enumerate(files):
        file.parent.mkdir()
        file.write_text(_PROGRAM.format(number))
        subprocess.run([sys.executable, file], check=True, capture_output=True)
    assert all(f"{file}:clean" in command()[1] for file in files)
    code, text = command("clear", "clean")
    assert code
    assert f"nothing was deleted. Write one of these names: {files[0]}:clean, {files[1]}:clean" in text
    assert command("clear", "b/main.py:clean") == (0, "1 value deleted.\n")
    assert "\nmain.py:clean  " in command()[1]
    assert command("clear", "clean") == (0, "1 value deleted.\n")


_PROGRAM = """
import wrenlite

def clean(n):
    return {0}

if __name__ == "__main__":
    with wrenlite.Executor.local(1, progress=False) as executor:
        executor.map(clean, [1], cache=True).results()
"""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--why", "nobody"), "no job with cache=True"),
        (("bound", "--bytes", "many"), "--bytes many: must be a number of bytes"),
        (("bound", "--age", "-1"), "--age -1: must be a number of days above 0"),
        (("--why", "f", "list"), "stand alone"),
    ],
)
def test_what_cannot_be_is_refused_in_words(command, arguments, message):
    code, text = command(*arguments)
    assert code
    assert message in text
    assert "Traceback" not in text
