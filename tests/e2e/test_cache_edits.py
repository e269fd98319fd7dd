"""A script that maps with ``cache=True`` is edited, and run again: only what an edit reaches runs."""

import json
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.e2e

MAIN = """
    import json
    import sys

    import geo
    import scales
    import wrenlite

    SCALE = 3

    class Cell:
        def __init__(self, value):
            self.value = value

    def clean(n):
        return Cell(geo.place(n) * SCALE + scales.offset())

    def double(n):
        return 2 * n

    if __name__ == "__main__":
        with wrenlite.Executor.local(1, progress=False) as executor:
            items = range(int(sys.argv[1]))
            jobs = [executor.map(function, items, cache=True) for function in (clean, double)]
            cells = jobs[0].results()
            assert all(type(cell) is Cell for cell in cells)
            assert [cell.value for cell in cells] == [clean(n).value for n in range(len(cells))]
            print(json.dumps([len(job) - job.cached for job in jobs]))
            print(jobs[0].id)
"""
GEO = """
    def _project(n):
        return n + 1

    def place(n):
        return _project(n)
"""


def install(folder, version, offset):
    """Put a version of a package into a folder, as an installer does."""
    for old in folder.glob("scales-*/METADATA"):
        old.unlink()
        old.parent.rmdir()
    (folder / "scales").mkdir(exist_ok=True)
    (folder / "scales" / "__init__.py").write_text(f"def offset():\n    return {offset}\n")
    (folder / f"scales-{version}.dist-info").mkdir()
    text = f"Metadata-Version: 2.1\nName: scales\nVersion: {version}\n"
    (folder / f"scales-{version}.dist-info" / "METADATA").write_text(text)


def edit(path, before, after):
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def test_only_what_an_edit_reaches_runs_again(tmp_path, monkeypatch):
    main, geo, packages = tmp_path / "main.py", tmp_path / "geo.py", tmp_path / "site-packages"
    packages.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(packages))
    monkeypatch.setenv("WRENLITE_CACHE", str(tmp_path / "kept"))
    monkeypatch.setenv("WRENLITE_JOURNAL", "off")
    main.write_text(textwrap.dedent(MAIN))
    geo.write_text(textwrap.dedent(GEO))
    install(packages, "1.0", 1)

    def run(*command):
        ended = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
        )
        assert ended.stderr == ""
        return ended.stdout

    def ran(count):
        nonlocal job
        numbers, job = run("main.py", str(count)).splitlines()
        return json.loads(numbers)

    def why():
        return run("-m", "wrenlite", "cache", "--why", job)

    job = ""
    assert ran(10) == [10, 10]
    edit(main, "    return Cell(geo", "    # in metres\n\n    return Cell(geo")
    assert ran(12) == [2, 2]
    edit(geo, "n + 1", "n + 2")
    assert ran(12) == [12, 0]
    assert "helper geo._project changed" in why()
    edit(main, "SCALE = 3", "SCALE = 4")
    assert ran(12) == [12, 0]
    install(packages, "1.1", 2)
    assert ran(12) == [12, 0]
    assert "scales" in why()
