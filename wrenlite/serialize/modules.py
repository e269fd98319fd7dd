"""The caller's local modules, as one deterministic zip of their sources and of their packages' data files.

A module is *local* when it is outside the standard library and outside every site-packages folder: beside the
script or notebook, on PYTHONPATH, or installed as editable. Installed modules are expected to be on the
worker. The search starts from the modules that the function and the items need. It follows imports through
the syntax trees, also imports inside functions, so no module is imported or run to find them.

Sources are sent, the run-time state of a module is not. On the worker a finder in front of ``sys.meta_path``
imports the sources under the file names that they have on the caller's machine, so that tracebacks name the
caller's files.

Data files of packages are sent only to workers that do not see the caller's files, and from packages that
are in a zip, as those of a zipapp. Where the folder of a package exists, resources are read from it.
Elsewhere the data files are unpacked into a folder, and the ``__file__`` of the package's modules is in that
folder, so that ``open(Path(__file__).parent / "table.csv")`` finds them too.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Container, Iterable, Iterator, Mapping
from importlib.machinery import ModuleSpec
from types import TracebackType
from typing import Any, NamedTuple

from wrenlite.errors import LocalExtension, RemoteError
from wrenlite.serialize.package_data import Folder, PackageData, read_data

INDEX = "index/files.json"
"""Entry with the file name of each module and the folder of each package. No module has a slash in its name,
so none collides with it."""
DATA = "data/"
"""The names of data files in the zip begin with this. Below it is the tree of packages."""


class ModuleSource(NamedTuple):
    """The source of one local module."""

    name: str
    file: str
    is_package: bool
    text: bytes


class Contents(NamedTuple):
    """What is in a zip of local modules."""

    sources: Mapping[str, ModuleSource]
    packages: Mapping[str, list[Folder]]
    data: Mapping[str, bytes]
    """Data files by their place in the tree of packages."""


class Bundle(NamedTuple):
    """A zip of local modules."""

    blob: bytes
    names: frozenset[str]
    left_out: tuple[str, ...] = ()
    """Data files that are not in the zip, each with the reason."""


_known_installed: set[str] = set(sys.builtin_module_names)


def collect(roots: Iterable[str], *, data: bool = False) -> Bundle | None:
    """Zip the local modules among the given ones and among all that they import.

    Args:
        roots: names of modules. Names that are no modules are ignored.
        data: include the data files of packages. Those of packages in a zip are included in any case.

    Returns:
        The zip; None where there are no local modules.

    Raises:
        LocalExtension: a local module is compiled; the message names it.
    """
    sources, folders, received = _search(roots)
    if not (sources or received):
        return None
    packages = _used_packages(folders, sources)
    sent = {name: places for name, places in packages.items() if data or places[0].archive}
    files, left_out = read_data(sent) if sent else PackageData({}, ())
    if received is not None:
        sources |= received.sources
        packages |= received.packages
        files = {**files, **received.data}
    places = tuple((name, tuple(packages[name])) for name in sorted(packages))
    blob = _zip(tuple(sources[name] for name in sorted(sources)), places, tuple(files.items()))
    return Bundle(blob, frozenset(sources), left_out)


def _search(
    roots: Iterable[str],
) -> tuple[dict[str, ModuleSource], dict[str, list[Folder]], Contents | None]:
    """Find the local modules among the given ones and among all that they import.

    Returns:
        Their sources, the folders of their packages, and the zip from which this program has some itself.
    """
    sources: dict[str, ModuleSource] = {}
    folders: dict[str, list[Folder]] = {}
    received: Contents | None = None
    todo = [name for root in roots if root not in _known_installed for name in with_parents(root)]
    seen = {"__main__"}
    while todo:
        name = todo.pop()
        if name in seen or name in _known_installed or name.partition(".")[0] == "wrenlite":
            continue
        seen.add(name)
        spec = find_spec(name)
        contents = getattr(spec and spec.loader, "bundle_contents", None)
        if contents is not None:  # this program has it from a zip itself, which has all that it imports
            received = contents()
            continue
        if spec is not None and is_installed(name, spec):
            _known_installed.add(name)
            continue
        if spec is None:  # an attribute rather than a module
            continue
        locations = spec.submodule_search_locations
        if locations is not None:
            folders[name] = [Folder(path, _archive_of(path)) for path in locations]
        if spec.origin is None:  # a namespace package
            continue
        text, imports = read_module(name, spec)
        sources[name] = ModuleSource(name, spec.origin, locations is not None, text)
        todo.extend(imports)
    return sources, folders, received


def surely_imported(roots: Iterable[str], local: Container[str]) -> set[str]:
    """Return the modules that are certainly imported with some modules: those and, of local ones, those that
    statements at their top level import, but not in ``try``, ``if``, ``with``, or functions.

    Args:
        roots: names of modules.
        local: names of the local modules.
    """
    import ast

    found: set[str] = set()
    todo = {name for root in roots for name in with_parents(root)}
    while todo:
        name = todo.pop()
        found.add(name)
        spec = find_spec(name) if name in local else None
        if spec is None or spec.origin is None:
            continue
        package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
        try:
            body = ast.parse(read_module(name, spec)[0]).body
        except (SyntaxError, ValueError):  # importing it reports the error
            continue
        statements = (node for node in body if isinstance(node, ast.Import | ast.ImportFrom))
        todo |= {each for node in statements for each in _surely_named(node, package)} - found
    return found


def _surely_named(node: Any, package: str) -> Iterator[str]:
    """Yield the modules that an import statement names; what it takes from a module may be no module."""
    import ast

    if isinstance(node, ast.ImportFrom):
        yield from with_parents(absolute_name(node.module or "", node.level, package))
        return
    for alias in node.names:
        yield from with_parents(alias.name)


def why_not_sent(name: object, install: str) -> str:
    """Return why something is no name of a local module that can be sent; empty where it is one.

    Args:
        name: the name that a user gave.
        install: how to get a package that is missing on workers.
    """
    if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
        return "must be the name of a module, such as 'package.module', or a module"
    if name == "__main__":
        return "what functions and items refer to in __main__ is sent with them; no other code of it is"
    spec = find_spec(name)
    if spec is None:
        return "there is no such module here. Is its folder in sys.path?"
    if name.partition(".")[0] in sys.stdlib_module_names | {"wrenlite"}:
        return "every worker has this module: leave it out"
    if is_installed(name, spec):
        return f"it is installed, and such modules are not sent. Where workers lack it: {install}"
    return ""


def modules_in(name: str) -> Iterator[str]:
    """Yield the name of a local module and, if it is a package, of all modules in it that have a source."""
    import pkgutil

    yield name
    spec = find_spec(name)
    places = spec.submodule_search_locations if spec is not None else None
    for module in pkgutil.iter_modules(places or (), f"{name}."):
        found = find_spec(module.name)
        if found is not None and str(found.origin).endswith(".py"):
            yield from modules_in(module.name)


def _archive_of(folder: str) -> str | None:
    """Return the zip file that a folder of a package is in; None: it is on disk."""
    place = folder
    while not os.path.exists(place) and place != os.path.dirname(place):
        place = os.path.dirname(place)
    return place if os.path.isfile(place) else None


def _used_packages(
    folders: Mapping[str, list[Folder]], sources: Mapping[str, ModuleSource]
) -> dict[str, list[Folder]]:
    """Return the packages that belong to the modules, without folders that only happen to have such a name.

    Any folder may be a namespace package. One belongs to the modules if it contains one, or is in a package.
    """
    parents = {parent for name in sources for parent in with_parents(name)}
    return {
        name: places
        for name, places in folders.items()
        if places and (name in parents or name.rpartition(".")[0] in parents)
    }


def with_parents(name: str) -> Iterator[str]:
    """Yield a name and those of the packages that contain it, the outermost first."""
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        yield ".".join(parts[:length])


def find_spec(name: str) -> ModuleSpec | None:
    """Return where a module would be imported from, without importing it or its parents; None: nowhere."""
    try:
        return _ask_finders(name)
    except Exception:  # a finder, or what is in sys.modules, is anybody's code; the import would fail too
        return None


def _ask_finders(name: str) -> ModuleSpec | None:
    parent, _, _ = name.rpartition(".")
    path: Any = None
    if parent:
        loaded = sys.modules.get(parent)
        attribute = "submodule_search_locations" if loaded is None else "__path__"
        path = getattr(find_spec(parent) if loaded is None else loaded, attribute, None)
        if path is None:
            return None
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        try:
            spec = find(name, path, None) if find else None
        except KeyError:  # a namespace package inside one that is not imported: Python looks it up
            spec = _nested_namespace(name, path)
        if spec is not None:
            return spec  # type: ignore[no-any-return]  # getattr
    return None


def _nested_namespace(name: str, path: Iterable[str]) -> ModuleSpec | None:
    folders = [os.path.join(folder, name.rpartition(".")[2]) for folder in path]
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = [folder for folder in folders if os.path.isdir(folder)]
    return spec if spec.submodule_search_locations else None


def is_installed(name: str, spec: ModuleSpec) -> bool:
    """Return whether a worker has the module: built in, in the standard library or in site-packages."""
    if spec.origin in ("built-in", "frozen"):
        return True
    if spec.origin is not None:
        depth = name.count(".") + (2 if spec.submodule_search_locations is not None else 1)
        return _is_install_folder(_ancestor(spec.origin, depth))
    return all(
        _is_install_folder(_ancestor(folder, name.count(".") + 1))
        for folder in spec.submodule_search_locations or ()
    )


def _ancestor(path: str, levels: int) -> str:
    for _ in range(levels):
        path = os.path.dirname(path)
    return path


@functools.cache
def _is_install_folder(folder: str) -> bool:
    """Return whether a folder of sys.path is one that installers fill."""
    import sysconfig

    paths = sysconfig.get_paths()
    standard = {os.path.realpath(paths[key]) for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    real = os.path.realpath(folder)
    if real in standard or os.path.dirname(real) in standard:  # the second condition is for lib-dynload
        return True
    if os.path.basename(real) in ("site-packages", "dist-packages", _STANDARD_ZIP):
        return True
    return any(name.endswith(".dist-info") for name in _names_in(real))  # pip install --target


_STANDARD_ZIP = f"python{sys.version_info[0]}{sys.version_info[1]}.zip"


def _names_in(place: str) -> Iterable[str]:
    """Return the names in a folder or at the top of a zip; none where it is neither."""
    if os.path.isdir(place):
        try:
            return os.listdir(place)
        except OSError:
            return ()
    import zipfile

    try:
        with zipfile.ZipFile(place) as archive:
            return {name.partition("/")[0] for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return ()


def module_being_imported(trace: TracebackType | None) -> str:
    """Return the module whose import raised an exception, with its file and line, as text for a message.

    Args:
        trace: the traceback of the exception.

    Returns:
        The text; empty where no module was being imported.
    """
    found = ""
    while trace is not None:
        code, spec = trace.tb_frame.f_code, trace.tb_frame.f_globals.get("__spec__")
        # The code of exec() and of runpy has the same name, but is not what the module was loaded from.
        if code.co_name == "<module>" and spec is not None and spec.origin == code.co_filename:
            found = f"the module {spec.name!r} ({code.co_filename}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return found


def note_missing_module(error: BaseException, install: str) -> None:
    """Add what to do to the exception of a task for which the worker lacked a module.

    Args:
        error: the exception, in the caller's process; others than such exceptions are left as they are.
        install: how to get a package that is missing on workers.
    """
    missing = error.__cause__ if isinstance(error, RemoteError) else error
    if not isinstance(missing, ModuleNotFoundError) or not missing.name:
        return
    name = missing.name
    if name.partition(".")[0] == "wrenlite":
        error.add_note(f"Workers elsewhere are without {name}: only the program itself draws and deploys.")
        return
    spec = find_spec(name)
    if spec is None and (package := _own_package(name)):
        error.add_note(f"Your own package {package} has no module {name!r}.")
        return
    if spec is None or is_installed(name, spec):
        error.add_note(f"The worker's Python has no module {name!r}: {install}.")
        return
    place = spec.origin or ", ".join(spec.submodule_search_locations or ())
    error.add_note(
        f"The module {name!r} is your own ({place}), and was not sent: wrenlite sends the modules that are "
        "named in import statements, and not those whose names are computed, as for import_module(). "
        f"Pass modules=[{name!r}], or write `import {name}` inside the function or in a module that it uses."
    )


def _own_package(name: str) -> str:
    """Return the nearest package above a module, and where it is; empty where it is not the user's own."""
    while name := name.rpartition(".")[0]:
        if spec := find_spec(name):
            place = spec.origin or ", ".join(spec.submodule_search_locations or ())
            return "" if is_installed(name, spec) else f"{name!r} ({place})"
    return ""


def worker_path() -> list[str]:
    """Return ``sys.path`` without the caller's own folders: what a local worker may import from."""
    return [folder for folder in sys.path if folder and _is_install_folder(folder)]


def read_module(name: str, spec: ModuleSpec) -> tuple[bytes, frozenset[str]]:
    """Return the source of a module and the names that it imports.

    Raises:
        LocalExtension: it has no source.
    """
    file = str(spec.origin)
    if (contents := getattr(spec.loader, "bundle_contents", None)) is not None:
        source = contents().sources[name]
        return source.text, _imports_in(source.text, file, name)
    if not file.endswith(".py"):
        raise LocalExtension(_extension_message(name, file))
    archive = getattr(spec.loader, "archive", None)
    stat = os.stat(archive or file)
    return _read(file, name, stat.st_mtime_ns, stat.st_size, spec.loader if archive else None)


@functools.lru_cache(maxsize=10_000)
def _read(
    file: str, name: str, mtime_ns: int, size: int, importer: Any = None
) -> tuple[bytes, frozenset[str]]:
    """Return the source of a module and the names that it imports.

    Args:
        file: the file of the module.
        name: the name of the module.
        mtime_ns: when the file was last modified. It is in the cache's key, so an edited file is read again.
        size: the file's size in bytes, for the same reason.
        importer: what reads a file in a zip; None: it is on disk.
    """
    if importer is not None:
        text = importer.get_data(file)
    else:
        with open(file, "rb") as stream:
            text = stream.read()
    return text, _imports_in(text, file, name)


def _imports_in(text: bytes, file: str, name: str) -> frozenset[str]:
    """Return the names that a module imports.

    Args:
        text: its source.
        file: its file.
        name: its name.
    """
    import ast

    package = name if os.path.basename(file) == "__init__.py" else name.rpartition(".")[0]
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):  # it is sent as it is: importing it reports the error, as it would here
        return frozenset()
    return frozenset(_imports(tree, package))


def _imports(tree: object, package: str) -> Iterator[str]:
    import ast

    assert isinstance(tree, ast.AST)
    own = package.partition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from with_parents(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = absolute_name(node.module or "", node.level, package)
            if base:
                yield from with_parents(base)
                yield from (f"{base}.{alias.name}" for alias in node.names if alias.name != "*")
        elif isinstance(node, ast.Constant) and _names_module_of(own, node.value):
            yield from with_parents(str(node.value))


def _names_module_of(package: str, value: object) -> bool:
    """Return whether a constant may name a module of a package, as in ``files("mypackage.tables")``.

    Only the names of a module's own package are followed, since any word may be the name of a module.
    """
    if not isinstance(value, str) or not package or not value.startswith(f"{package}."):
        return False
    return all(part.isidentifier() for part in value.split("."))


def absolute_name(module: str, level: int, package: str) -> str:
    """Return the absolute name of a module in an import statement.

    Args:
        module: its name in the statement; empty in ``from . import x``.
        level: the number of dots before the name; 0: the name is absolute.
        package: the package of the importing module; empty: it is in none.

    Returns:
        The name; empty where the statement leaves the top-level package and so raises ImportError.
    """
    if level == 0:
        return module
    parts = package.split(".") if package else []
    if level > len(parts):
        return ""
    return ".".join([*parts[: len(parts) - level + 1], *([module] if module else [])])


@functools.lru_cache(maxsize=4)
def _zip(
    sources: tuple[ModuleSource, ...],
    packages: tuple[tuple[str, tuple[Folder, ...]], ...],
    data: tuple[tuple[str, bytes], ...],
) -> bytes:
    """Return a zip of sources by module name, of data files, and of a listing of the caller's files."""
    import json

    from wrenlite.serialize.zips import make_zip  # the client only: a worker starts without it

    files = {source.name: source.text for source in sources}
    files |= {f"{DATA}{entry}": content for entry, content in data}
    listing = {
        "modules": {source.name: [source.file, source.is_package] for source in sources},
        "packages": {name: [list(folder) for folder in folders] for name, folders in packages},
    }
    files[INDEX] = json.dumps(listing, sort_keys=True).encode()
    return make_zip(files, compress=True)


def _extension_message(name: str, file: str) -> str:
    return (
        f"the module {name!r} is compiled ({file}) and is outside site-packages, so it cannot be sent to "
        "workers as source. Build a wheel of it and install that where the workers run."
    )
