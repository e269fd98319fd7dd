"""The local modules that a call reaches, and the files beside them."""

from __future__ import annotations

import os
import sys
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

FINDS_FILES_BY_NAME = frozenset(
    {
        *("resources", "importlib_resources", "pkg_resources", "resource_filename", "pkgutil", "get_data"),
        *("find_spec", "find_loader", "get_loader"),
    }
)
"""Code with one of these words may read files of a package or module that it names by a text."""
ASKS_FOR_PATHS = frozenset(
    {
        *("getfile", "getsourcefile", "getabsfile", "getsource", "getsourcelines", "co_filename"),
        *("inspect", "linecache", "_getframe", "currentframe"),
    }
)
"""Code with one of these words may ask where a function is from, also one of the program."""
READS_FILES = (
    FINDS_FILES_BY_NAME
    | ASKS_FOR_PATHS
    | {
        *("__file__", "__path__", "__spec__", "__loader__", "__cached__", "origin", "get_filename"),
        *("submodule_search_locations", "get_source", "get_code", "modulefinder", "PathFinder"),
    }
)
"""Code with one of these words may read files beside the modules."""
LOOKS_FOR_SOURCES = frozenset({"py", "pyi"})
"""Where code or a value has one of these words, sources are data too: ``files(package) / "template.py"``."""
_NO_DATA = frozenset({"__pycache__", "node_modules", ".git", ".ipynb_checkpoints", ".DS_Store"})
_MOST_FILES = 2_000


class LocalModules:
    """The local modules that were reached, and the names of the installed ones."""

    def __init__(self) -> None:
        """Create an empty record."""
        self.installed: set[str] = set()
        self.missing: set[str] = set()
        """Modules that are not installed here. They may be where the tasks run."""
        self.whole: set[str] = set()
        """Modules all of whose statements count."""
        self.sources: dict[str, ModuleSpec] = {}
        """Those that are read as sources."""
        self._folders: dict[str, list[str]] = {}
        self._packages: set[str] = set()
        self._seen: set[str] = {"__main__"}

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
        if spec.origin is not None:
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

    def add_files(self, parts: dict[str, str], *, beside: bool, sources: bool) -> None:
        """Add the digests of the data files in the packages, and of those beside the modules.

        Args:
            parts: takes them.
            beside: also add those beside modules that are in no package.
            sources: sources are data too.

        Raises:
            Refused: there are too many, or they cannot be read.
        """
        known: set[tuple[str, ...]] = set()
        for name, paths in sorted(self._folders.items()):
            is_package = name in self._packages
            if "." not in name and (is_package or beside) and tuple(paths) not in known:
                known.add(tuple(paths))
                place = "of" if is_package else "beside"
                parts[f"files {place} {name}"] = digest_of_data(name, paths, sources=sources)


def digest_of_data(owner: str, folders: Iterable[str], *, sources: bool) -> str:
    """Return the digest of the data files in folders and below.

    Args:
        owner: the module whose files they are, for messages.
        folders: the folders. One in an archive stands for the archive.
        sources: sources are data too.

    Raises:
        Refused: there are too many, or they cannot be read.
    """
    files = list(islice(_data_files(folders, sources=sources), _MOST_FILES + 1))
    if len(files) > _MOST_FILES:
        raise Refused(
            f"more than {_MOST_FILES:,} files are beside the code of {owner}, which may read them",
            "Move the code into a package of its own, and pass what tasks read as an argument",
        )
    try:
        return digest_of_files(owner, files)
    except OSError as error:
        raise Refused(f"a file beside the code of {owner} cannot be read: {error}") from None


def _data_files(folders: Iterable[str], *, sources: bool) -> Iterator[tuple[str, str]]:
    for folder in folders:
        if not os.path.isdir(folder):
            archives = (each for each in Path(folder).parents if each.is_file())
            yield from ((each.name, str(each)) for each in archives)
        for place, inside, names in os.walk(folder, followlinks=True):
            inside[:] = sorted(name for name in inside if not _is_skipped(name, sources=sources))
            for name in sorted(names):
                path = Path(place, name)
                if not _is_skipped(name, sources=sources) and path.is_file():
                    yield path.relative_to(folder).as_posix(), str(path)


def _is_skipped(name: str, *, sources: bool) -> bool:
    """Return whether a file or folder is no data. Local workers see hidden files too."""
    if name in _NO_DATA:
        return True
    if name.endswith((".py", ".pyi")):
        return not sources
    return is_skipped(name.lstrip("."))
