"""Which files of the packages a layer keeps: not those that no task needs.

Left out are tests, type stubs, static libraries, and copies of libraries. Libraries are never stripped, since
that breaks numpy's.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

_TEST_FOLDERS = ("tests", "test")
_IMPORTS_TESTS = re.compile(rb"^[ \t]*(?:from|import)[ \t]+(\.*)((?:\w+\.)*?)(tests?)\b", re.MULTILINE)
_TEST_FILE = re.compile(r"test_.*\.py|.*_test\.py")
_LEFT_OUT_SUFFIXES = (".pyc", ".pyi", ".pxd", ".a", ".c", ".h")
_LEFT_OUT_NAMES = (".lock", "RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json")
"""Files that record how, where and when a package was installed: they differ between two equal layers."""


def kept_files(folder: Path) -> dict[str, bytes]:
    """Return the name and content of each file that a layer keeps of a folder of packages."""
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not _is_left_out(path.relative_to(folder))
    }
    tests = {name: place for name in files if (place := _test_folder(name))}
    needed = _imported_tests(files, tests)
    with_tests = {place for name, place in tests.items() if _TEST_FILE.match(name.rpartition("/")[2])}
    # A folder "test" without a test in it is code that others import, such as django.test.
    unneeded = {
        name
        for name, place in tests.items()
        if place not in needed and (place.endswith("tests") or place in with_tests)
    }
    unneeded |= _unneeded_copies(files)
    return {name: content for name, content in files.items() if name not in unneeded}


def shortened_records(folder: Path, kept: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield each package's list of files for ``importlib.metadata``: only the kept files, without hashes."""
    for record in folder.glob("*.dist-info/RECORD"):
        names = [
            row[0] for row in csv.reader(record.read_text("utf-8").splitlines()) if row and row[0] in kept
        ]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([name, "", ""] for name in sorted(names))
        yield record.relative_to(folder).as_posix(), text.getvalue().encode()


def _is_left_out(name: Path) -> bool:
    is_unused = "__pycache__" in name.parts or name.parts[0] == "bin"
    return is_unused or name.suffix in _LEFT_OUT_SUFFIXES or name.name in _LEFT_OUT_NAMES


def _test_folder(name: str) -> str:
    """Return the outermost folder of tests that a file is in; empty where it is in none."""
    parts = name.split("/")[:-1]
    depth = next((depth for depth, part in enumerate(parts, 1) if part in _TEST_FOLDERS), 0)
    return "/".join(parts[:depth])


def _imported_tests(files: Mapping[str, bytes], tests: Mapping[str, str]) -> set[str]:
    """Return the folders of tests that other code imports from, as that of astropy and of xarray does.

    Args:
        files: contents by name.
        tests: the folder of each file that is in one.
    """
    found = set()
    for name, content in files.items():
        if not name.endswith(".py") or name in tests:
            continue
        for dots, parents, last in _IMPORTS_TESTS.findall(content):
            package = name.split("/")[: -len(dots)] if dots else []
            found.add("/".join([*package, *parents.decode().split(".")[:-1], last.decode()]))
    return found


def _unneeded_copies(files: Mapping[str, bytes]) -> set[str]:
    """Return copies of shared libraries that nothing loads.

    A wheel has no links, so libarrow.so, libarrow.so.26 and libarrow.so.26.0.1 are three equal files. The
    loader opens the one whose name is in the file itself, between zero bytes (its SONAME).
    """
    copies: dict[tuple[str, bytes], list[str]] = {}
    for name, content in files.items():
        if ".so" in name.rpartition("/")[2]:
            place = name.rpartition("/")[0], hashlib.sha256(content).digest()
            copies.setdefault(place, []).append(name)
    unneeded = set()
    for names in copies.values():
        loaded = {name for name in names if b"\0%b\0" % name.rpartition("/")[2].encode() in files[name]}
        unneeded |= set(names) - loaded if loaded else set()
    return unneeded
