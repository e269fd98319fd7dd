"""The caller's local modules, as one deterministic zip of their sources.

A module is *local* when it is outside the standard library and outside every site-packages folder: beside the
script or notebook, on PYTHONPATH, or installed as editable. Installed modules are expected to be on the
worker. The search starts from the modules that the function and the items need. It follows imports through
the syntax trees, also imports inside functions, so no module is imported or run to find them.

Sources are sent, the run-time state of a module is not. On the worker a finder in front of ``sys.meta_path``
imports the sources under the file names that they have on the caller's machine, so that tracebacks name the
caller's files.
"""

from __future__ import annotations

import functools
import io
import os
import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType, TracebackType
from typing import Any, NamedTuple

from wrenlite.errors import LocalExtension, RemoteError

_INDEX = "index/files.json"
"""Entry with the file name of each module. No module has a slash in its name, so none collides with it."""


class ModuleSource(NamedTuple):
    """The source of one local module."""

    name: str
    file: str
    is_package: bool
    text: bytes


class Bundle(NamedTuple):
    """A zip of local modules."""

    blob: bytes
    names: frozenset[str]


_known_installed: set[str] = set(sys.builtin_module_names)


def collect(roots: Iterable[str]) -> Bundle | None:
    """Zip the local modules among the given ones and among all that they import.

    Args:
        roots: names of modules. Names that are no modules are ignored.

    Returns:
        The zip; None where there are no local modules.

    Raises:
        LocalExtension: a local module is compiled; the message names it.
    """
    sources: dict[str, ModuleSource] = {}
    todo = [name for root in roots for name in _with_parents(root)]
    seen = {"__main__"}
    while todo:
        name = todo.pop()
        if name in seen or name in _known_installed or name.partition(".")[0] == "wrenlite":
            continue
        seen.add(name)
        spec = _find_spec(name)
        if spec is not None and _is_installed(name, spec):
            _known_installed.add(name)
            continue
        if spec is None or spec.origin is None:  # an attribute rather than a module, or a namespace package
            continue
        if not spec.origin.endswith(".py"):
            raise LocalExtension(_extension_message(name, spec.origin))
        stat = os.stat(spec.origin)
        text, imports = _read(spec.origin, name, stat.st_mtime_ns, stat.st_size)
        is_package = spec.submodule_search_locations is not None
        sources[name] = ModuleSource(name, spec.origin, is_package, text)
        todo.extend(imports)
    return Bundle(_zip(sources.values()), frozenset(sources)) if sources else None


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        yield ".".join(parts[:length])


def _find_spec(name: str) -> ModuleSpec | None:
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
        path = getattr(_find_spec(parent) if loaded is None else loaded, attribute, None)
        if path is None:
            return None
    for finder in sys.meta_path:
        find_spec = getattr(finder, "find_spec", None)
        spec = find_spec(name, path, None) if find_spec else None
        if spec is not None:
            return spec  # type: ignore[no-any-return]  # getattr
    return None


def _is_installed(name: str, spec: ModuleSpec) -> bool:
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
    if os.path.basename(real) in ("site-packages", "dist-packages") or real.endswith(".zip"):
        return True
    try:  # pip install --target
        return any(name.endswith(".dist-info") for name in os.listdir(real))
    except OSError:
        return False


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
    spec = _find_spec(name)
    if spec is None or _is_installed(name, spec):
        error.add_note(f"The worker's Python has no module {name!r}: {install}.")
        return
    place = spec.origin or ", ".join(spec.submodule_search_locations or ())
    error.add_note(
        f"The module {name!r} is your own ({place}), and was not sent: wrenlite sends the modules that are "
        "named in import statements, and not those whose names are computed, as for import_module(). "
        f"Write `import {name}` inside the function, or in a module that it uses."
    )


def worker_path() -> list[str]:
    """Return ``sys.path`` without the caller's own folders: what a local worker may import from."""
    return [folder for folder in sys.path if folder and _is_install_folder(folder)]


@functools.lru_cache(maxsize=10_000)
def _read(file: str, name: str, mtime_ns: int, size: int) -> tuple[bytes, frozenset[str]]:
    """Return the source of a module and the names that it imports.

    Args:
        file: the file of the module.
        name: the name of the module.
        mtime_ns: when the file was last modified. It is in the cache's key, so an edited file is read again.
        size: the file's size in bytes, for the same reason.
    """
    import ast

    with open(file, "rb") as stream:
        text = stream.read()
    package = name if os.path.basename(file) == "__init__.py" else name.rpartition(".")[0]
    try:
        tree = ast.parse(text)
    except SyntaxError:  # it is sent as it is: importing it on the worker reports the error, as it would here
        return text, frozenset()
    return text, frozenset(_imports(tree, package))


def _imports(tree: object, package: str) -> Iterator[str]:
    import ast

    assert isinstance(tree, ast.AST)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _with_parents(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = absolute_name(node.module or "", node.level, package)
            if base:
                yield from _with_parents(base)
                yield from (f"{base}.{alias.name}" for alias in node.names if alias.name != "*")


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


def _zip(sources: Iterable[ModuleSource]) -> bytes:
    """Return a zip of the sources by module name, and of a listing of their files."""
    import json

    from wrenlite.serialize.zips import make_zip  # the client only: a worker starts without it

    files, listing = {}, {}
    for source in sources:
        files[source.name] = source.text
        listing[source.name] = [source.file, source.is_package]
    files[_INDEX] = json.dumps(listing, sort_keys=True).encode()
    return make_zip(files, compress=True)


def _extension_message(name: str, file: str) -> str:
    return (
        f"the module {name!r} is compiled ({file}) and is outside site-packages, so it cannot be sent to "
        "workers as source. Build a wheel of it and install that where the workers run."
    )


class BundleImporter:
    """A finder and loader of the modules in a bundle. A worker puts it into ``sys.meta_path``."""

    def __init__(self, blob: bytes) -> None:
        """Create an importer of the modules in the zip ``blob``."""
        import json
        import zipfile

        with zipfile.ZipFile(io.BytesIO(blob)) as archive:
            index: dict[str, tuple[str, bool]] = json.loads(archive.read(_INDEX))
            self._sources = {
                name: ModuleSource(name, file, is_package, archive.read(name))
                for name, (file, is_package) in index.items()
            }
        self._namespaces = {
            parent
            for name in self._sources
            for parent in _with_parents(name.rpartition(".")[0])
            if parent and parent not in self._sources
        }

    def install(self) -> None:
        """Put this importer before every other finder."""
        sys.meta_path.insert(0, self)

    def remove(self) -> None:
        """Remove this importer, and the modules that were imported through it."""
        sys.meta_path.remove(self)
        for name in (*self._sources, *self._namespaces):
            sys.modules.pop(name, None)

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Return the spec of a module of the bundle (finder of the import protocol)."""
        source = self._sources.get(name)
        if source is not None:
            spec = ModuleSpec(name, self, origin=source.file, is_package=source.is_package)  # type: ignore[arg-type]
            spec.has_location = True
            return spec
        if name in self._namespaces:
            return ModuleSpec(name, None, is_package=True)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Return None: an ordinary module object will do (loader of the import protocol)."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Run the source in the module's namespace (loader of the import protocol)."""
        exec(self.get_code(module.__name__), module.__dict__)

    def get_code(self, name: str) -> CodeType:
        """Compile the source under the file name that it has on the caller's machine."""
        source = self._sources[name]
        return compile(source.text, source.file, "exec", dont_inherit=True)

    def get_source(self, name: str) -> str:
        """Return the source of a module. ``linecache`` asks for it when a traceback is printed."""
        from importlib.util import decode_source

        return decode_source(self._sources[name].text)

    def is_package(self, name: str) -> bool:
        """Return whether a module is a package. ``runpy`` and ``inspect`` ask for it."""
        return self._sources[name].is_package
