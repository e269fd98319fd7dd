"""The data files of local packages: which of them are sent beside the sources.

They are what ``importlib.resources`` and ``pkgutil.get_data`` find in a package: the files in its folder, and
in those folders of it that are no packages themselves, without sources, compiled files and hidden ones.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

DATA_BYTES = 20 << 20
"""The most bytes of data files that are sent with the modules of a job. The smallest files go first."""
_PACKAGE_FILES = 2_000
"""A package with more data files than this is taken for a place where data are kept: none of them is sent."""

_SKIPPED_NAMES = ("__pycache__", "node_modules")
_SKIPPED_ENDINGS = (
    *(".py", ".pyi", ".pyc", ".pyo", ".pyd", ".so", ".dll", ".dylib", ".o", ".a"),
    *(".egg-info", ".dist-info", "~"),
)


class Folder(NamedTuple):
    """A folder of a package, on disk or in an archive."""

    path: str
    archive: str | None
    """The zip file that it is in; None: it is on disk."""


class DataFile(NamedTuple):
    """One data file of a package."""

    entry: str
    """Its place in the tree of packages, such as ``mypackage/tables/one.csv``."""
    path: str
    archive: str | None
    size: int
    modified_ns: int
    """When it, or its archive, was last modified."""
    obstacle: str = ""
    """Why it cannot be sent, whatever its size; empty: it can."""


class PackageData(NamedTuple):
    """The data files that are sent, and those that are not."""

    files: dict[str, bytes]
    left_out: tuple[str, ...]
    """The files that are not sent, each with the reason."""


def read_data(packages: Mapping[str, Sequence[Folder]]) -> PackageData:
    """Read the data files of packages.

    Args:
        packages: the folders of each package.
    """
    found: dict[str, DataFile] = {}
    crowded = []
    for name, folders in packages.items():
        for folder in folders:
            files = list(islice(_list_files(folder, name.replace(".", "/")), _PACKAGE_FILES + 1))
            if len(files) > _PACKAGE_FILES:
                crowded.append(f"all files in {folder.path} (more than {_PACKAGE_FILES:,})")
            else:
                found |= {file.entry: file for file in files}
    sent, refused = choose(found.values(), DATA_BYTES)
    contents = {file.entry: _read(file.path, file.archive, file.modified_ns, file.size) for file in sent}
    left_out = [f"{file.path} ({file.obstacle or f'{file.size / 2**20:,.1f} MB'})" for file in refused]
    printable = (text.encode(errors="backslashreplace").decode() for text in (*crowded, *left_out))
    return PackageData(contents, tuple(printable))


def choose(files: Iterable[DataFile], limit_bytes: int) -> tuple[list[DataFile], list[DataFile]]:
    """Divide files into those that are sent and those that are not.

    Args:
        files: the files. The smallest are sent.
        limit_bytes: the most bytes that are sent.
    """
    sent: list[DataFile] = []
    left_out: list[DataFile] = []
    total = 0
    for file in sorted(files, key=lambda file: (file.size, file.entry)):
        total += file.size
        (left_out if file.obstacle or total > limit_bytes else sent).append(file)
    return sent, left_out


def left_out_message(left_out: Sequence[str]) -> str:
    """Return a warning that names data files that are not sent, and says how tasks get what they hold."""
    shown = ", ".join(left_out[:10]) + (f" and {len(left_out) - 10:,} more" if len(left_out) > 10 else "")
    return (
        f"data files of your packages are not sent to the workers: {shown}. At most {DATA_BYTES >> 20} MB of "
        "such files go with the modules of a job. Pass what tasks need of them as executor.put(...), or put "
        "them where the workers can read them and pass their names"
    )


def _list_files(folder: Folder, entry: str) -> Iterator[DataFile]:
    if folder.archive is not None:
        return _list_archive(folder.archive, folder.path, entry)
    return _list_folder(folder.path, entry)


def _list_folder(path: str, entry: str) -> Iterator[DataFile]:
    try:
        with os.scandir(path) as found:
            inside = sorted(found, key=lambda each: each.name)
    except FileNotFoundError:  # as the entry that an editable install puts into a namespace package's path
        return
    except OSError as error:
        yield DataFile(entry, path, None, 0, 0, f"cannot be read: {error.strerror}")
        return
    for each in inside:
        below = f"{entry}/{each.name}"
        if is_skipped(each.name):
            continue
        if each.is_dir() and each.is_symlink():  # it may lead anywhere, and back to here
            yield DataFile(below, each.path, None, 0, 0, "a link to a folder")
        elif each.is_dir():
            if not os.path.exists(os.path.join(each.path, "__init__.py")):
                yield from _list_folder(each.path, below)
        elif each.is_file():
            stat = each.stat()
            yield DataFile(below, each.path, None, stat.st_size, stat.st_mtime_ns, _obstacle(each))


def _obstacle(file: os.DirEntry[str]) -> str:
    try:
        file.name.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    return "" if os.access(file.path, os.R_OK) else "cannot be read: no permission"


def _list_archive(archive: str, path: str, entry: str) -> Iterator[DataFile]:
    import zipfile

    prefix = os.path.relpath(path, archive).replace(os.sep, "/") + "/"
    modified_ns = os.stat(archive).st_mtime_ns
    with zipfile.ZipFile(archive) as opened:
        sizes = {info.filename: info.file_size for info in opened.infolist() if not info.is_dir()}
    for name, size in sizes.items():
        *folders, last = name.removeprefix(prefix).split("/")
        parents = ["/".join(folders[: count + 1]) for count in range(len(folders))]
        in_package = any(f"{prefix}{parent}/__init__.py" in sizes for parent in parents)
        if name.startswith(prefix) and not in_package and not any(map(is_skipped, (*folders, last))):
            below = name.removeprefix(prefix)
            yield DataFile(f"{entry}/{below}", os.path.join(path, below), archive, size, modified_ns)


def is_skipped(name: str) -> bool:
    """Return whether a file or folder is no data: it is hidden, compiled, or part of a program."""
    return name.startswith(".") or name in _SKIPPED_NAMES or name.endswith(_SKIPPED_ENDINGS)


@functools.lru_cache(maxsize=2 * _PACKAGE_FILES)
def _read(path: str, archive: str | None, modified_ns: int, size: int) -> bytes:
    """Return the content of a file. Its modification time and size are in the cache's key."""
    if archive is None:
        with open(path, "rb") as stream:
            return stream.read()
    import zipfile

    with zipfile.ZipFile(archive) as opened:
        return opened.read(os.path.relpath(path, archive).replace(os.sep, "/"))
