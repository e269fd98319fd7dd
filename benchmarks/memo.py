"""``map(…, cache=True)`` beside ``joblib.Memory``: what runs again after five edits, and what keeping costs.

A program in a folder of its own maps a function over 10,000 items. It is edited five times, and run after
each edit by both. Each task that runs adds a byte to a file.
"""

import os
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import wrenlite
from wrenlite.memo.index import index_in

ITEMS = 10_000
NEW = 100

MAIN = """
    import os
    import sys

    import geo
    import scales

    SCALE = 3

    def clean(n):
        os.write(os.open(os.environ["RUNS"], os.O_WRONLY | os.O_APPEND), b".")
        return geo.place(n) * SCALE + scales.offset()

    if __name__ == "__main__":
        engine, count = sys.argv[1], int(sys.argv[2])
        if engine == "wrenlite":
            import wrenlite
            with wrenlite.Executor.local(2, progress=False) as executor:
                values = executor.map(clean, range(count), cache=True).results()
        else:
            import joblib
            cached = joblib.Memory("memory", verbose=0).cache(clean)
            values = joblib.Parallel(2)(joblib.delayed(cached)(n) for n in range(count))
        ran = os.path.getsize(os.environ["RUNS"])
        os.environ["RUNS"] = os.devnull
        print(ran, values == [clean(n) for n in range(count)])
"""
GEO = """
    def _project(n):
        return n + 1

    def place(n):
        return _project(n)
"""
PACKAGE = """
    def offset():
        return 1
"""


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))


def install(folder: Path, version: str, text: str) -> None:
    """Put a version of a package into a folder, as an installer does."""
    for old in folder.glob("scales-*"):
        (old / "METADATA").unlink()
        old.rmdir()
    write(folder / "scales" / "__init__.py", text)
    write(
        folder / f"scales-{version}.dist-info" / "METADATA",
        f"Metadata-Version: 2.1\nName: scales\nVersion: {version}",
    )


def edits(folder: Path) -> None:
    """Print how many tasks run after each edit, and whether the values are those of the edited program."""
    main, geo, site = folder / "main.py", folder / "geo.py", folder / "site-packages"
    write(main, MAIN)
    write(geo, GEO)
    install(site, "1.0", PACKAGE)
    steps = [
        ("first run", ITEMS, lambda: None),
        (f"{NEW} new items", ITEMS + NEW, lambda: None),
        ("a comment", ITEMS + NEW, lambda: edit(main, "    return geo", "    # in metres\n    return geo")),
        ("a helper of a helper", ITEMS + NEW, lambda: edit(geo, "return n + 1", "return n + 2")),
        ("a constant", ITEMS + NEW, lambda: edit(main, "SCALE = 3", "SCALE = 4")),
        ("a package's version", ITEMS + NEW, lambda: install(site, "1.1", PACKAGE.replace("1", "2"))),
    ]
    print(f"{'edit':<22} {'wrenlite':>24} {'joblib.Memory':>24}")
    for name, count, change in steps:
        change()
        print(
            f"{name:<22} {run(folder, 'wrenlite', count):>24} {run(folder, 'joblib', count):>24}", flush=True
        )


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def run(folder: Path, engine: str, count: int) -> str:
    """Run the program, and return how many tasks ran, whether the values are right, and the seconds."""
    runs = folder / "runs"
    runs.write_bytes(b"")
    path = f"{folder / 'site-packages'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    env = {**os.environ, "RUNS": str(runs), "PYTHONPATH": path, "WRENLITE_CACHE": str(folder / "kept")}
    began = time.perf_counter()
    command = [sys.executable, "main.py", engine, str(count)]
    result = subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    ran, right = result.stdout.split()
    return f"{int(ran):,} {'right' if right == 'True' else 'WRONG'} {seconds:4.1f} s"


def nothing(n: int) -> int:
    return n


def overhead(folder: Path) -> None:
    """Print what ``cache=True`` costs for tasks that do nothing, and what a value takes on the disk."""
    os.environ["WRENLITE_CACHE"] = str(folder / "figures")
    with wrenlite.Executor.local(2, progress=False) as executor:
        executor.map(nothing, range(100)).results()
        for name, cache, items in [
            ("without cache", False, range(ITEMS)),
            ("first digest", True, range(10)),
            ("first run", True, range(10, ITEMS + 10)),
            ("second run", True, range(10, ITEMS + 10)),
        ]:
            began = time.perf_counter()
            executor.map(nothing, items, cache=cache).results()
            seconds = time.perf_counter() - began
            each = f"{1e6 * seconds / len(items):7.1f} µs a task"
            print(f"{len(items):>6,} no-ops, {name:<14} {1e3 * seconds:8,.0f} ms {each}")
    index = index_in(folder / "figures")
    keys = index.of_function(None)
    began = time.perf_counter()
    assert len(index.look_up(keys)) == len(keys)
    print(f"look-ups a second: {len(keys) / (time.perf_counter() - began):,.0f}")
    index.close()
    size = sum(path.stat().st_size for path in (folder / "figures").rglob("*") if path.is_file())
    print(f"bytes a small value takes on the disk: {size / len(keys):.0f}")


if __name__ == "__main__":
    print(f"load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        overhead(Path(name))
        edits(Path(name))
