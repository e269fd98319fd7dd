"""Imports the modules of a bundle on a worker, and finds the data files of their packages."""

from __future__ import annotations

import errno
import io
import json
import os
import pathlib
import sys
import zipfile
from importlib.machinery import ModuleSpec, PathFinder
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

from wrenlite.serialize.modules import DATA, INDEX, Contents, ModuleSource, with_parents
from wrenlite.serialize.package_data import Folder

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


class BundleImporter:
    """A finder and loader of the modules in a bundle. A worker puts it into ``sys.meta_path``."""

    def __init__(self, blob: bytes) -> None:
        """Create an importer of the modules in the zip ``blob``."""
        self._archive = zipfile.ZipFile(io.BytesIO(blob))
        self._archive.filename = "modules.zip"  # zipfile.Path shows it
        index = json.loads(self._archive.read(INDEX))
        modules: dict[str, tuple[str, bool]] = index["modules"]
        self._sources = {
            name: ModuleSource(name, file, is_package, self._archive.read(name))
            for name, (file, is_package) in modules.items()
        }
        self._folders: dict[str, list[Folder]] = {
            name: [Folder(*folder) for folder in folders] for name, folders in index["packages"].items()
        }
        self._sent = frozenset(self._folders)  # without folders of data, which are added later
        parents = {parent for name in self._sources for parent in with_parents(name.rpartition(".")[0])}
        self._namespaces = (parents | set(self._folders)) - set(self._sources) - {""}
        self._data = {name for name in self._archive.namelist() if name.startswith(DATA)}
        self._unpacked: str | None = None

    def install(self) -> None:
        """Put this importer before every other finder."""
        sys.meta_path.insert(0, self)

    def remove(self) -> None:
        """Remove this importer, the modules that were imported through it, and the unpacked data files."""
        sys.meta_path.remove(self)
        for name in (*self._sources, *self._namespaces):
            sys.modules.pop(name, None)
        if self._unpacked is not None:
            import shutil

            shutil.rmtree(self._unpacked, ignore_errors=True)

    def bundle_contents(self) -> Contents:
        """Return what is in the bundle, to be sent on."""
        data = {name.removeprefix(DATA): self._archive.read(name) for name in self._data}
        packages = {name: folders for name, folders in self._folders.items() if name in self._sent}
        return Contents(self._sources, packages, dict(sorted(data.items())))

    # Finder of the import protocol

    def find_spec(self, name: str, path: Any = None, target: object = None) -> ModuleSpec | None:
        """Return the spec of a module of the bundle; None: it is in no package of the bundle.

        Raises:
            ModuleNotFoundError: a package of the bundle has the module, but it was not sent. Another finder
                would import it on the caller's machine, and nowhere else.
        """
        source = self._sources.get(name)
        if source is None and name not in self._namespaces and not self._add_folder(name):
            return None
        is_package = source is None or source.is_package
        origin = source.file if source else None
        spec = ModuleSpec(name, self, origin=origin, is_package=is_package)  # type: ignore[arg-type]
        spec.has_location = source is not None
        if is_package:
            spec.submodule_search_locations = self._places(name)
        if source is None:  # other parts of a namespace package may be installed
            installed = PathFinder.find_spec(name, path)
            if installed is not None and installed.origin is None:
                places = *self._places(name), *(installed.submodule_search_locations or ())
                spec.submodule_search_locations = list(dict.fromkeys(places))
        return spec

    def _add_folder(self, name: str) -> bool:
        """Make a folder of data a namespace package, if a package of the bundle contains it."""
        parent, _, last = name.rpartition(".")
        if not self._is_package(parent):
            return False
        places = [os.path.join(place, last) for place in self._places(parent)]
        for place in places:
            if os.path.isfile(f"{place}.py") or os.path.isfile(os.path.join(place, "__init__.py")):
                raise ModuleNotFoundError(f"No module named {name!r}: it was not sent", name=name)
        packed = f"{_entry(name)}/"
        if any(map(os.path.isdir, places)) or any(entry.startswith(packed) for entry in self._data):
            self._namespaces.add(name)
            above = self._folders.get(parent, ())
            self._folders[name] = [Folder(os.path.join(each.path, last), each.archive) for each in above]
        return name in self._namespaces

    def _is_package(self, name: str) -> bool:
        return name in self._namespaces or (name in self._sources and self._sources[name].is_package)

    # Loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Return None: an ordinary module object will do (loader of the import protocol)."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Run the source in the module's namespace (loader of the import protocol)."""
        source = self._sources.get(module.__name__)
        if source is None:
            return
        for place in self._places(self._package_of(source)):
            module.__file__ = os.path.join(place, os.path.basename(source.file))
        exec(self.get_code(source.name), module.__dict__)

    def get_code(self, name: str) -> CodeType:
        """Compile the source under the file name that it has on the caller's machine."""
        source = self._sources[name]
        return compile(source.text, source.file, "exec", dont_inherit=True)

    def get_source(self, name: str) -> str:
        """Return the source of a module. ``linecache`` asks for it when a traceback is printed."""
        from importlib.util import decode_source

        return decode_source(self._sources[name].text) if name in self._sources else ""

    def is_package(self, name: str) -> bool:
        """Return whether a module is a package. ``runpy`` and ``inspect`` ask for it."""
        return self._is_package(name)

    # Data files

    def get_resource_reader(self, name: str) -> PackageResources:
        """Return what ``importlib.resources`` reads the data files of a package, or beside a module, from."""
        if self._is_package(name):
            return PackageResources(self._tree(name))
        parent, folder = name.rpartition(".")[0], os.path.dirname(self._sources[name].file)
        beside = pathlib.Path(folder) if os.path.isdir(folder) else self._tree(parent)
        return PackageResources(beside)

    def get_data(self, path: str) -> bytes:
        """Return the content of a file of a package, as ``pkgutil.get_data`` asks for it.

        Raises:
            FileNotFoundError: it is neither on this machine nor in the bundle.
        """
        if os.path.isfile(path):
            with open(path, "rb") as stream:
                return stream.read()
        for source in self._sources.values():
            if path == source.file:
                return source.text
        for name, folders in self._folders.items():
            for folder in folders:
                if path.startswith(folder.path + os.sep):
                    entry = f"{_entry(name)}/{os.path.relpath(path, folder.path).replace(os.sep, '/')}"
                    if entry in self._data:
                        return self._archive.read(entry)
        raise FileNotFoundError(errno.ENOENT, "not sent with its package, or not there", path)

    def _tree(self, package: str) -> Traversable:
        """Return the folder of a package: on this machine, or in the bundle."""
        places = self._places(package)
        return pathlib.Path(places[0]) if places else zipfile.Path(self._archive, f"{_entry(package)}/")

    def _package_of(self, source: ModuleSource) -> str:
        return source.name if source.is_package else source.name.rpartition(".")[0]

    def _places(self, package: str) -> list[str]:
        """Return the folders of a package on this machine: the caller's, or the one of its unpacked data."""
        folders = [folder.path for folder in self._folders.get(package, ()) if folder.archive is None]
        found = list(filter(os.path.isdir, folders))
        if found or not folders or not self._data:
            return found
        unpacked = os.path.join(self._unpack(), *_entry(package).split("/"))
        os.makedirs(unpacked, exist_ok=True)
        return [unpacked]

    def _unpack(self) -> str:
        """Unpack all data files. Return the folder."""
        if self._unpacked is None:
            import tempfile

            self._unpacked = tempfile.mkdtemp(prefix="wrenlite-data-")
            self._archive.extractall(self._unpacked, sorted(self._data))
        return self._unpacked


class PackageResources:
    """The reader of one package's data files: what ``importlib.resources`` needs of a ``ResourceReader``."""

    def __init__(self, tree: Traversable) -> None:
        """Create a reader of the data files in a folder."""
        self._tree = tree

    def files(self) -> Traversable:
        """Return the folder of the package."""
        return self._tree


def _entry(package: str) -> str:
    """Return the name of a package's folder in the zip."""
    return DATA + package.replace(".", "/")
