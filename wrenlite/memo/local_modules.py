"""The local modules that a call reaches, and the files beside them."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec
from itertools import islice
from pathlib import Path

from wrenlite.errors import LocalExtension
from wrenlite.memo.packages import digest_of_files
from wrenlite.memo.refusals import Refused
from wrenlite.memo.sources import Statement, statements_of
from wrenlite.serialize.modules import find_spec, is_installed, read_module, with_parents
from wrenlite.serialize.package_data import is_skipped

READS_FILES = frozenset(
    {
        *("__file__", "__path__", "__spec__", "__loader__", "__cached__", "get_data", "getfile"),
        *("resources", "importlib_resources", "pkg_resources", "resource_filename"),
    }
)
"""Code with one of these words may read files beside the modules."""
_MOST_FILES = 2_000


class LocalModules:
    """The local modules that were reached, and the names of the installed ones."""

    def __init__(self, *, live: bool) -> None:
        """Create an empty record.

        Args:
            live: tasks run in this process, and find the modules as they are now.
        """
        self.installed: set[str] = set()
        self.missing: set[str] = set()
        """Modules that are not installed here. They may be where the tasks run."""
        self.whole: set[str] = set()
        """Modules all of whose statements count."""
        self.sources: dict[str, ModuleSpec] = {}
        """Those that are read as sources."""
        self.live: dict[str, types.ModuleType] = {}
        """Those that are read from memory."""
        self._folders: dict[str, list[str]] = {}
        self._packages: set[str] = set()
        self._seen: set[str] = {"__main__"}
        self._live = live

    def is_live(self, name: str) -> bool:
        """Return whether tasks find a module, which was reached, as it is in the memory of this process."""
        return name in self.live

    def reach(self, name: str) -> None:
        """Record that a module is imported. What is no module is ignored.

        Raises:
            Refused: it is compiled.
        """
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or top == "wrenlite":
            return
        for each in with_parents(name):
            if each not in self._seen:
                self._seen.add(each)
                self._reach(each)

    def _reach(self, name: str) -> None:
        spec = find_spec(name)
        if spec is None:
            self.missing.update(() if "." in name else [name])
            return
        if is_installed(name, spec):
            self.installed.add(name)
            return
        if spec.submodule_search_locations is not None:
            self._folders[name] = list(spec.submodule_search_locations)
            self._packages.add(name)
        elif "." not in name:
            self._folders[name] = [os.path.dirname(str(spec.origin))]
        if self._live and name in sys.modules:
            self.live[name] = sys.modules[name]
        elif spec.origin is not None:
            self.sources[name] = spec

    def statements(self, name: str, *, exact: bool) -> tuple[tuple[Statement, ...], frozenset[str]]:
        """Return the statements of a module that is read as a source, and all names of modules in it."""
        spec = self.sources[name]
        try:
            text, imports = read_module(name, spec)
        except (LocalExtension, OSError) as error:
            raise Refused(f"{error}") from None
        is_package = spec.submodule_search_locations is not None
        package = name if is_package else name.rpartition(".")[0]
        return statements_of(text, package, str(spec.origin) if exact else ""), imports

    def submodules(self, words: set[str]) -> Iterator[str]:
        """Yield the imported modules of packages that code with these words can refer to as attributes."""
        packages = tuple(f"{name}." for name in self._folders)
        for name in [*sys.modules]:
            is_new = name.startswith(packages) and name not in self._seen
            if is_new and words.issuperset(name.split(".")[1:]):
                yield name

    def add_files(self, parts: dict[str, str]) -> None:
        """Add the digests of the data files beside the modules and in their packages.

        Raises:
            Refused: there are too many, or they cannot be read.
        """
        known: set[tuple[str, ...]] = set()
        for name, paths in sorted(self._folders.items()):
            if "." not in name and tuple(paths) not in known:
                known.add(tuple(paths))
                place = "of" if name in self._packages else "beside"
                parts[f"files {place} {name}"] = digest_of_data(name, paths)


def digest_of_data(owner: str, folders: Iterable[str]) -> str:
    """Return the digest of the data files in folders and below.

    Args:
        owner: the module whose files they are, for messages.
        folders: the folders.

    Raises:
        Refused: there are too many, or they cannot be read.
    """
    folders = list(folders)
    files = list(islice(_data_files(folders), _MOST_FILES + 1))
    if len(files) > _MOST_FILES or not all(map(os.path.isdir, folders)):
        raise Refused(
            f"it names its own file, and the files beside it are not known, or more than {_MOST_FILES:,}",
            "Pass what tasks read there as an argument, or move the module into a package of its own",
        )
    try:
        return digest_of_files(owner, files)
    except OSError as error:
        raise Refused(f"it names its own file, and one beside it cannot be read: {error}") from None


def _data_files(folders: Iterable[str]) -> Iterator[tuple[str, str]]:
    for folder in folders:
        for place, inside, names in os.walk(folder, followlinks=True):
            inside[:] = sorted(name for name in inside if not is_skipped(name))
            for name in sorted(names):
                if not is_skipped(name):
                    path = Path(place, name)
                    yield path.relative_to(folder).as_posix(), str(path)
