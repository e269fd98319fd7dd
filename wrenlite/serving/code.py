"""The function of a published job: found by its name, packed as ``map`` packs one, and loaded again."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any, NamedTuple, get_type_hints

from wrenlite import needed_packages
from wrenlite.arguments import check_code_size
from wrenlite.backends.packages import RemotePackages
from wrenlite.errors import ConfigError
from wrenlite.notices import warn
from wrenlite.protocol import Style
from wrenlite.serialize import modules
from wrenlite.serialize.bundle_importer import BundleImporter
from wrenlite.serialize.class_table import ClassTable, is_importable
from wrenlite.serialize.package_data import left_out_message
from wrenlite.serialize.pickling import Call, function_name, pack_call, unpack_call
from wrenlite.serving.publication import Publication
from wrenlite.storage.archives import ArchivesPlace
from wrenlite.storage.base import Store, digest, get_verified
from wrenlite.worker.calling import MainModule


class Code(NamedTuple):
    """A function as it is stored."""

    function: bytes
    """Its ``Call``, pickled."""
    modules: bytes | None
    """A zip of the user's local modules; None: it needs none."""

    @property
    def digests(self) -> tuple[str, str]:
        """The digests of both, as ``Publication`` has them."""
        return digest(self.function), "" if self.modules is None else digest(self.modules)

    def store(self, store: Store, publication: Publication) -> None:
        """Store the code where ``load`` reads it.

        Args:
            store: of the deployment.
            publication: names the job; its digests are those of this code.

        Raises:
            StoreError: it cannot be stored.
        """
        for blob in filter(None, (self.function, self.modules)):
            store.put(publication.code_key(digest(blob)), blob, if_absent=True)


def find_function(target: str) -> Callable[..., Any]:
    """Return the function that ``module:function`` names. Modules are found in the working folder, too.

    Raises:
        ConfigError: there is no such module or function, or importing the module fails.
    """
    name, colon, path = target.strip().partition(":")
    is_file = name.endswith(".py")
    if is_file or not (colon and all(part.isidentifier() for part in (*name.split("."), *path.split(".")))):
        hint = f", such as {os.path.basename(name)[:-3]}:{path}" if is_file and path else ""
        raise ConfigError(f"{target!r} names no function: write MODULE:FUNCTION{hint}")
    if (folder := os.getcwd()) not in sys.path:
        sys.path.insert(0, folder)
    try:
        found: Any = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise ConfigError(f"{target}: importing {name} fails: {error}") from error
        raise ConfigError(
            f"{target}: there is no module {error.name!r}, neither in {folder} nor among the installed ones"
        ) from None
    except Exception as error:
        raise ConfigError(f"{target}: importing {name} fails: {type(error).__name__}: {error}") from error
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise ConfigError(f"{target}: {name} ({found.__name__}) has no {part!r}") from None
    if not callable(found):
        raise ConfigError(f"{target} is no function, but of type {type(found).__name__}")
    return found  # type: ignore[no-any-return]


def pack(function: Callable[..., Any], packages: RemotePackages | None = None) -> Code:
    """Return a function as ``map`` would send it, with the user's local modules and their data files.

    Args:
        function: the function.
        packages: those that are found where it runs; None: they are not checked.

    Raises:
        FunctionNotPicklable: it cannot be pickled, or is too large.
        LocalExtension: a local module is compiled.
        PackageMissing: it imports a package that is missing there; the message has the command that adds it.
    """
    call, table = Call(_with_types(function), (), {}, Style.CALL), ClassTable(grows=True)
    blob = pack_call(call, table)
    check_code_size(call, len(blob), _MOST_BYTES)
    bundle = modules.collect(table.modules, data=True)
    if packages is not None:
        needed_packages.check(packages, function, table, bundle.names if bundle else frozenset())
    if bundle is not None and bundle.left_out:
        warn(left_out_message(bundle.left_out))
    return Code(blob, bundle.blob if bundle else None)


_MOST_BYTES = 50 << 20


def _with_types(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function whose annotations are types, since it is sent without the names in texts.

    Args:
        function: it is returned as it is where it has no such annotations, or is imported where it runs.
    """
    if not isinstance(function, FunctionType) or is_importable(function):
        return function
    if not any(isinstance(each, str) for each in function.__annotations__.values()):
        return function
    try:
        types = get_type_hints(function, include_extras=True)
    except Exception:  # of whatever the texts say: calling the function says it, too
        return function
    own = function.__globals__, function.__name__, function.__defaults__, function.__closure__
    made = FunctionType(function.__code__, *own)
    made.__dict__.update(function.__dict__)
    for name in ("__kwdefaults__", "__module__", "__qualname__", "__doc__"):
        setattr(made, name, getattr(function, name))
    made.__annotations__ = types
    return made


def load(store: Store, publication: Publication, archives: ArchivesPlace | None = None) -> Callable[..., Any]:
    """Return the function of a published job. This process imports its modules from then on.

    Args:
        store: of the deployment.
        publication: names the job and its code.
        archives: where packages are that are not installed; None: there are none.

    Raises:
        StoreError: the code cannot be read. IntegrityError: it was changed. What importing it raises goes
            through.
    """
    if archives is not None:
        from wrenlite.worker.archives import install  # few functions have some

        install(archives)
    if publication.modules:
        blob = get_verified(store, publication.code_key(publication.modules), publication.modules)
        BundleImporter(blob).install()
    blob = get_verified(store, publication.code_key(publication.function), publication.function)
    call = unpack_call(blob)
    if any(getattr(each, "__module__", "") == "__main__" for each in call.table):
        sys.modules["__main__"] = MainModule(call)
    return call.function


def target_of(function: Callable[..., Any]) -> str:
    """Return ``module:function`` for people."""
    return f"{getattr(function, '__module__', None) or '__main__'}:{function_name(function)}"
