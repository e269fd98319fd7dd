"""The class table: which classes and functions are pickled by name, which by number, which by value.

By name: the other process imports the module and takes the class from it. By number: the class is an entry of
the job's class table, which both processes have. By value: the class itself is written, and the other process
gets a copy of it.
"""

from __future__ import annotations

import contextvars
import functools
import importlib
import sys
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any

from wrenlite.serialize.by_reference import References
from wrenlite.serialize.modules import absolute_name
from wrenlite.serialize.unpickling_context import context

LruCacheWrapper: type = type(functools.lru_cache(print))

DEFINITIONS: tuple[type, ...] = (
    type,
    types.FunctionType,
    LruCacheWrapper,
    contextvars.ContextVar,
    typing.NewType,
    typing.ParamSpec,
    typing.TypeVar,
    typing.TypeVarTuple,
    getattr(typing, "TypeAliasType", typing.TypeVar),  # Python 3.12
)
"""The types of what code defines under a name. Code that compares such objects asks whether they are the
same one, so a copy is no substitute."""


def from_table(index: int) -> object:
    """Return the class or function with this number in the class table. Only unpickling calls it."""
    return context.table[index]


def is_importable(obj: Any) -> bool:
    """Return whether a worker gets this definition by importing its module."""
    name = getattr(obj, "__module__", None)
    if name == "__main__" or not isinstance(name, str) or travels_by_value(name):
        return False
    found: Any = sys.modules.get(name)
    for part in _qualified_name(obj).split("."):
        found = getattr(found, part, None)
    return found is obj


def _qualified_name(obj: Any) -> str:
    name = getattr(obj, "__qualname__", None) or getattr(obj, "__name__", None)
    return name if isinstance(name, str) else ""


_GENERATORS = frozenset(
    {"Generator", "RandomState", "Random", "MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"}
)
_GENERATOR_PACKAGES = frozenset({"numpy", "random"})
_PROCESS_GENERATORS = (("random", "_inst"), ("numpy.random.mtrand", "_rand"))
"""The generators behind ``random.random``, ``numpy.random.normal`` and so on, which objects of scipy hold
too. Each process has its own."""
_COUNTED_GENERATORS = 64


def is_random_generator(obj: object) -> bool:
    """Return whether an object is a random generator of numpy, of the standard library, or of a subclass."""
    kind = type(obj)
    if kind.__name__ in _GENERATORS and kind.__module__.partition(".")[0] in _GENERATOR_PACKAGES:
        return True
    standard = getattr(sys.modules.get("random"), "Random", None)
    return isinstance(standard, type) and issubclass(kind, standard)


def process_generator(module: str, name: str) -> Any:
    """Return the generator behind the functions of a module, in this process. Only unpickling calls it."""
    return getattr(importlib.import_module(module), name)


def travels_by_value(module: str) -> bool:
    """Return whether the user has called ``cloudpickle.register_pickle_by_value`` for this module."""
    cloudpickle = sys.modules.get("cloudpickle")  # imported already if anybody has called that
    registered = cloudpickle.list_registry_pickle_by_value() if cloudpickle else ()
    while registered and module:
        if module in registered:
            return True
        module = module.rpartition(".")[0]
    return False


class ClassTable:
    """The classes and functions that are pickled by number, and the choice between name, number and value.

    The client has one table for every job, and it grows as items are packed. A worker has one table for every
    function, with the entries that the client sent.
    """

    def __init__(
        self, entries: Iterable[object] = (), *, grows: bool, base: ClassTable | None = None
    ) -> None:
        """Create a table.

        Args:
            entries: the first classes and functions.
            grows: whether a class or function that cannot be imported becomes an entry. Otherwise it is
                pickled by value.
            base: the table of the initializer of the workers, with which this one begins; None: there is
                none.
        """
        self.entries: list[object] = []
        self.sources: list[int | None] = []
        """The item whose pickling has made each entry, for messages; None: the function."""
        self.source: int | None = None
        """The item that is being pickled."""
        self.modules: set[str] = set()
        """Names of the modules that unpickling, or the code that was pickled, imports."""
        self.required: set[str] = set()
        """Names of the modules that unpickling imports, whatever the code that was pickled does."""
        self.generators: list[object] = []
        """The random generators in what is pickled. Jobs warn of those of which tasks get equal copies."""
        self.generators_in_items: list[object] = []
        """Those of the first items, each once for every item that it is in."""
        self.references: References | None = None
        """Takes what travels by reference. None: nothing does, and futures cannot be pickled."""
        self.initializer: tuple[Any, tuple[Any, ...], bytes] | None = None
        """The initializer whose table this is, its arguments and its pickle; None: it is another one."""
        self.inherited = 0
        """How many entries come from the base. The worker has them already."""
        self.share_globals: Callable[[Any, types.FunctionType], Any] | None = None
        """Changes cloudpickle's reduction of a function so that it shares global variables with the
        initializer; None: there is no initializer.
        """
        self._grows = grows
        self._reductions: dict[int, Any] = {}
        self._importable: list[object] = []  # kept alive: an id is a valid key only while its object lives
        for entry in entries:
            self.add(entry)
        if base is not None:
            self._begin_with(base)

    def _begin_with(self, base: ClassTable) -> None:
        """Begin with the entries of another table. Its functions are pickled again: one may be of today."""
        self.inherited = len(base.entries)
        self.share_globals = base.share_globals
        self.modules |= base.modules
        self.required |= base.required
        for entry in base.entries:
            self.add(entry)
            if isinstance(entry, types.FunctionType):
                del self._reductions[id(entry)]

    def is_inherited(self, obj: object) -> bool:
        """Return whether the worker has a class or another definition from its initializer."""
        known = self._reductions.get(id(obj))
        return isinstance(known, tuple) and known[1][0] < self.inherited

    def truncate(self, count: int) -> None:
        """Drop all entries but the first ones."""
        dropped = set(map(id, self.entries[count:]))
        self._reductions = {key: value for key, value in self._reductions.items() if key not in dropped}
        del self.entries[count:], self.sources[count:]

    def copy(self, *, grows: bool) -> ClassTable:
        """Return a table that has the entries of this one, which must live as long."""
        table = ClassTable(grows=grows)
        table.entries, table.sources = [*self.entries], [*self.sources]
        table.inherited, table.share_globals = self.inherited, self.share_globals
        table._reductions = dict(self._reductions)
        table.references = self.references
        return table

    def reduction_of(self, obj: Any) -> Any:
        """Return how to pickle a definition, in the terms of ``reducer_override``.

        Returns:
            A reduce tuple for «by number», NotImplemented for «by name», None for «by value».
        """
        reduction = self._reductions.get(id(obj))
        if reduction is None:
            if is_importable(obj):
                self.require(obj.__module__)
                self._importable.append(obj)
                reduction = self._reductions[id(obj)] = NotImplemented
            elif self._grows and not is_local_function(obj):
                reduction = self.add(obj)
        return reduction

    def require(self, module: str) -> None:
        """Record that unpickling imports a module."""
        self.modules.add(module)
        self.required.add(module)

    def add(self, obj: object) -> Any:
        """Make a class or function an entry, unless it is one already. Return its reduce tuple."""
        if id(obj) not in self._reductions:
            self._reductions[id(obj)] = (from_table, (len(self.entries),))
            self.entries.append(obj)
            self.sources.append(self.source)
        return self._reductions[id(obj)]

    def reduction_of_generator(self, obj: Any) -> Any:
        """Return how to pickle a random generator: that of a process by name, others as pickle does."""
        for module, name in _PROCESS_GENERATORS:
            if getattr(sys.modules.get(module), name, None) is obj:
                return process_generator, (module, name)
        self.generators.append(obj)
        return NotImplemented

    def end_item(self) -> None:
        """Count the generators of the item that was pickled. The first items show whether they share one."""
        if len(self.generators_in_items) < _COUNTED_GENERATORS:
            self.generators_in_items.extend({id(each): each for each in self.generators}.values())
        self.generators.clear()


def is_local_function(obj: Any) -> bool:
    """Return whether this is a lambda or a function within a function: each call makes another one."""
    return isinstance(obj, types.FunctionType | LruCacheWrapper) and "<" in _qualified_name(obj)


def attributes_made_by_slots(cls: type) -> list[str]:
    """Return the names of a class's attributes that ``__slots__`` makes."""
    return [name for name, value in vars(cls).items() if isinstance(value, types.MemberDescriptorType)]


def modules_surely_imported_by(code: types.CodeType, package: str | None) -> set[str]:
    """Return the modules that a function imports whenever it is called.

    These are the import statements before its first branch, and outside of ``try`` and ``with``.

    Args:
        code: the code object of the function.
        package: the package of the function's module, to resolve relative imports.
    """
    import dis

    names: set[str] = set()
    bytecode = dis.Bytecode(code)
    guarded = [(entry.start, entry.end) for entry in bytecode.exception_entries]  # type: ignore[attr-defined]
    constants: list[Any] = []
    for instruction in bytecode:
        if instruction.opcode in dis.hasjrel or instruction.opcode in dis.hasjabs:
            break
        if instruction.opname == "IMPORT_NAME":
            if not any(start <= instruction.offset < end for start, end in guarded):
                names.add(absolute_name(instruction.argval, constants[-2], package or ""))
        elif instruction.opname.startswith("LOAD_"):
            constants.append(instruction.argval)
    return names - {""}


def modules_imported_by(code: types.CodeType, package: str | None) -> set[str]:
    """Return the modules that the import statements in a function's body name, inner functions included.

    Args:
        code: the code object of the function.
        package: the package of the function's module, to resolve relative imports.
    """
    import dis

    names: set[str] = set()
    constants: list[Any] = []
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME":
            level, attributes = constants[-2:]  # the two instructions before push them in this order
            name = absolute_name(instruction.argval, level, package or "")
            if name:
                names.add(name)
                names.update(f"{name}.{attribute}" for attribute in attributes or ())
        elif instruction.opname.startswith("LOAD_"):
            constants.append(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= modules_imported_by(constant, package)
    return names
