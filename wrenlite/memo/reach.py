"""Follows all that a call refers to, and gives each part a name that its user knows.

What exists only by value (the code of ``__main__``, lambdas, closures) is read from the live objects, as
cloudpickle would write it. Local modules are read as sources, as workers import them. Installed packages
count by their versions.
"""

from __future__ import annotations

import hashlib
import os
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from wrenlite.memo.code import LOOK_AT_CODE, words_in, words_of
from wrenlite.memo.definitions import globals_of, kind_of, write_definition
from wrenlite.memo.environment import READS_ENVIRONMENT, variables_that_count
from wrenlite.memo.local_modules import (
    ASKS_FOR_PATHS,
    FINDS_FILES_BY_NAME,
    LOOKS_FOR_SOURCES,
    READS_FILES,
    LocalModules,
    digest_of_data,
)
from wrenlite.memo.packages import versions_of
from wrenlite.memo.refusals import Refused
from wrenlite.memo.sources import (
    COMPUTES_NAMES,
    IMPORTS_BY_NAME,
    LOADS_FILES,
    Statement,
    counted,
    digest_of_order,
)
from wrenlite.memo.values import Encoder, Memory, Named
from wrenlite.serialize.class_table import DEFINITIONS, is_importable, modules_imported_by, travels_by_value

_SHOWN = 10**15
"""Smaller integers are their own digests, so that users see them."""


class Where(NamedTuple):
    """What tasks find where they run."""

    python: str
    """The version of Python."""
    versions: Mapping[str, str] | None = None
    """Versions of packages by normalised name; None: those of this process."""
    modules: tuple[str, ...] = ()
    """Modules that go with the job, whatever its code names."""
    also_sent: tuple[str, ...] = ()
    """Modules that earlier jobs have sent, which code may import by a computed name."""
    environments: tuple[Mapping[str, str] | None, ...] = ()
    """The environment variables of all workers that tasks may run on; None: those of this process."""


class Reach:
    """The parts of a call: all that it refers to."""

    def __init__(self, where: Where, words: Iterable[str] = (), *, exact: bool = False) -> None:
        """Create one that has followed nothing.

        Args:
            where: where the tasks run.
            words: names in code that calls what is followed.
            exact: positions and docstrings of code count.
        """
        self.parts: dict[str, str] = {}
        """The digest of each part by its name."""
        self.left_out: set[str] = set()
        """The names of what does not count in the modules that were reached."""
        self.texts: set[str] = set()
        """The words in the texts of values."""
        self.words: set[str] = set(words)
        """All names in the code that was followed."""
        self._where = where
        self._memory = Memory()
        self._names: dict[int, tuple[object, str]] = {}
        self._taken: set[str] = set()
        self._queue: list[tuple[str, Any]] = []
        self._globals: dict[tuple[int, str], str] = {}
        self._modules = LocalModules()
        self._words_here: set[str] = set()
        """The words of the code that exists only by value, and the names of what it refers to."""
        self._started_in: set[str] = set()
        self._exact = exact

    def follow(self, values: Mapping[str, Any]) -> None:
        """Add values as parts, and all that they refer to.

        Args:
            values: the values, by the names of the parts.

        Raises:
            NotDigestible: something has no digest.
        """
        for name, value in values.items():
            self._add(name, value)
        try:
            for name in self._where.modules:
                self._reach_whole(name)
            before = -1
            while before != (before := self._extent()):
                self._define()
                self._follow_modules()
            self._check_where_code_is_from()
            self._add_modules()
        except Refused as error:
            raise error.error("the function") from error.__cause__

    def _extent(self) -> int:
        """Return a number that grows with what was found."""
        modules = self._modules
        of_modules = len(modules.sources) + len(modules.installed)
        of_values = len(self._names) + len(self._globals) + len(self.texts)
        return of_values + len(self.words) + of_modules

    def _add(self, name: str, value: Any) -> None:
        self._write(name, name, lambda encoder: encoder.add(value))

    def _write(self, name: str, owner: str, write: Callable[[Encoder], None]) -> None:
        encoder = Encoder(self.refer, name, self._memory, self._read)
        try:
            write(encoder)
        except Refused as error:
            raise error.error(owner) from error.__cause__
        except RecursionError:
            raise Refused("it is nested too deeply").error(owner) from None
        self.parts[name] = encoder.digest()

    # What is written in place of definitions

    def refer(self, obj: Any) -> str:
        """Return what is written in place of a definition or module, and follow it."""
        known = self._names.get(id(obj))
        if known is not None:
            return known[1]
        name = self._refer(obj)
        self._names[id(obj)] = obj, name
        return name

    def _refer(self, obj: Any) -> str:
        if isinstance(obj, types.ModuleType):
            return self._refer_to_module(obj)
        if isinstance(obj, types.BuiltinFunctionType):
            owner = obj.__self__
            module = owner.__name__ if isinstance(owner, types.ModuleType) else obj.__module__ or "builtins"
            return self._refer_by_name(module, obj.__qualname__)
        if isinstance(obj, Named):
            return self._refer_by_name(*obj)
        if is_importable(obj):
            return self._refer_by_name(obj.__module__, _name_of(obj))
        name = self._free_name(f"{kind_of(obj)} {_full_name(obj)}")
        self._queue.append((name, obj))
        return name

    def _refer_to_module(self, module: types.ModuleType) -> str:
        name = module.__name__
        if sys.modules.get(name) is not module or name == "__main__" or travels_by_value(name):
            raise Refused(f"the module {name} cannot be imported by its name", "Pass what tasks need of it")
        self._modules.reach(name)
        self._take_words(name.split("."))
        return f"module {name}"

    def _reach_whole(self, module: str) -> None:
        self._modules.reach(module)
        self._modules.whole.add(module)

    def _read(self, text: str) -> None:
        """Take the words of a text in a value: a package may look a class up by a name in a setting."""
        self.texts.update(words_of(text))

    def _refer_by_name(self, module: str, name: str) -> str:
        self._modules.reach(module)
        if not name:
            self._modules.whole.add(module)
        if module != "builtins":  # all code refers to it
            self._take_words(module.lstrip("_").split("."))  # _pickle is pickle
        self._take_words(name.split("."))
        return f"{module}.{name}"

    def _take_words(self, words: Iterable[str]) -> None:
        """Take the true names of what code refers to, which may have other names there."""
        self._words_here.update(words)
        self.words |= self._words_here

    def _free_name(self, name: str) -> str:
        number, free = 1, name
        while free in self._taken:
            number += 1
            free = f"{name} ({number})"
        self._taken.add(free)
        return free

    # What exists only by value

    def _define(self) -> None:
        while self._queue:
            name, obj = self._queue.pop()
            if isinstance(obj, types.FunctionType):
                self._follow_code(obj)
            self._write(name, name, lambda encoder, obj=obj: self._write_definition(encoder, obj))  # type: ignore[misc]

    def _write_definition(self, encoder: Encoder, obj: Any) -> None:
        write_definition(encoder, obj, exact=self._exact)
        if isinstance(obj, types.FunctionType):
            for name, value in globals_of(obj):
                encoder.add_parts("global", name)
                if isinstance(value, (*DEFINITIONS, types.ModuleType, types.BuiltinFunctionType)):
                    encoder.add(value)
                else:
                    encoder.add(self._constant(obj.__globals__, name, value))

    def _follow_code(self, function: types.FunctionType) -> None:
        self._take_words(words_in(function.__code__))
        for name in sorted(modules_imported_by(function.__code__, function.__globals__.get("__package__"))):
            self._modules.reach(name)
        if isinstance(file := function.__globals__.get("__file__"), str):
            self._started_in.add(os.path.dirname(os.path.abspath(file)))

    def _constant(self, variables: dict[str, Any], name: str, value: Any) -> str:
        """Return the name of a part for a global variable."""
        key = id(variables), name
        if key not in self._globals:
            module = variables.get("__name__", "__main__")
            full_name = name if module == "__main__" else f"{module}.{name}"
            self._globals[key] = part = self._free_name(f"constant {full_name}")
            if type(value) in (int, bool, type(None)) and -_SHOWN < (value or 0) < _SHOWN:
                self.parts[part] = repr(value)
            else:
                self._add(part, value)
        return self._globals[key]

    # Modules

    @property
    def _everything(self) -> bool:
        """Whether code may refer to what it does not name."""
        return self._imports_by_name or not self.words.isdisjoint(COMPUTES_NAMES)

    @property
    def _imports_by_name(self) -> bool:
        return self.words >= {"sys", "modules"} or not self.words.isdisjoint(IMPORTS_BY_NAME)

    def _follow_modules(self) -> None:
        """Follow what counts of the modules that were reached so far."""
        modules, everything = self._modules, self._everything
        if self._imports_by_name or not self.words.isdisjoint(FINDS_FILES_BY_NAME):
            for name in self._where.also_sent:
                modules.reach(name)
        for name in [*modules.submodules(self.words)]:
            modules.reach(name)
        for name in [*modules.sources]:
            for each in self._counted(name):
                self.words |= each.words
                for imported in sorted(each.imports):
                    modules.reach(imported)
            for imported in sorted(modules.statements(name, exact=self._exact)[1]) if everything else ():
                modules.reach(imported)

    def _counted(self, module: str) -> list[Statement]:
        """Return the statements of a module that count."""
        statements, _ = self._modules.statements(module, exact=self._exact)
        everything = self._everything or module in self._modules.whole
        return counted(statements, self.words | self.texts, everything=everything)

    def _check_where_code_is_from(self) -> None:
        """Check that no code comes from a place that is not known.

        Raises:
            Refused: it may.
        """
        if not self.words.isdisjoint(LOADS_FILES):
            raise Refused("it may load code from a file whose path it computes", "Import it as a module")
        if self._modules.missing and self.words >= {"sys", "path"} and self._where.versions is None:
            raise Refused(
                f"it imports {min(self._modules.missing)}, which is not found here, and may change sys.path",
                "Change sys.path before map is called, outside of the function",
            )

    def _add_modules(self) -> None:
        """Add the parts of the modules that were reached, and the packages."""
        modules = self._modules
        for name in modules.sources:
            found = self._counted(name)
            self.left_out.update(each.name for each in modules.statements(name, exact=self._exact)[0])
            self.left_out.difference_update(each.name for each in found)
            self.parts[f"module {name}"] = digest_of_order(found)
            for each in found:
                if each.name:
                    self.parts[f"{each.kind} {name}.{each.name}"] = each.digest
            if "__file__" in self.words:
                self.parts[f"file {name}"] = str(modules.sources[name].origin)
        self._add_files()
        for package, version in versions_of(modules.installed, self._where.versions).items():
            self.parts[f"package {package}"] = version
        if modules.missing and (versions := self._where.versions) is not None:
            self.parts["packages"] = hashlib.sha256(repr(sorted(versions.items())).encode()).hexdigest()
        self._add_environment()

    def _add_files(self) -> None:
        """Add the data files of packages; where code may find them, also those beside other code."""
        sources = not LOOKS_FOR_SOURCES.isdisjoint(self.words | self.texts)
        beside = not self.words.isdisjoint(READS_FILES)
        self._modules.add_files(self.parts, beside=beside, sources=sources)
        asks_here = not self._words_here.isdisjoint(READS_FILES)
        if self._started_in and (asks_here or not self.words.isdisjoint(ASKS_FOR_PATHS)):
            folders = sorted(self._started_in)
            self.parts["files beside the program"] = digest_of_data("it", folders, sources=sources)

    def _add_environment(self) -> None:
        """Add the environment variables where code may read one."""
        computes_name = "os" in self.words and self._everything
        if computes_name or not self.words.isdisjoint(READS_ENVIRONMENT):
            for name, value in variables_that_count(self._where.environments, self.words | self.texts):
                self.parts[f"env {name}"] = hashlib.sha256(value.encode(errors="surrogatepass")).hexdigest()

    @property
    def modules(self) -> list[str]:
        """The names of the local modules that were reached."""
        return [*self._modules.sources]

    @property
    def looks_at_code(self) -> bool:
        """Whether code that was followed may read docstrings or positions of code."""
        return not self.words.isdisjoint(LOOK_AT_CODE)


def _full_name(obj: Any) -> str:
    module = getattr(obj, "__module__", None)
    return _name_of(obj) if module in ("__main__", None) else f"{module}.{_name_of(obj)}"


def _name_of(obj: Any) -> str:
    return str(getattr(obj, "__qualname__", None) or getattr(obj, "__name__", None) or type(obj).__name__)
