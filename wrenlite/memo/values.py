"""Anything that can be pickled, as bytes that are equal only for objects that tasks cannot tell apart.

Pickles themselves are no use for this: the order in a set depends on the process, and two equal strings are
written in two ways, depending on whether they are one object. Here, as in a pickle, an object consists of
what its ``__reduce_ex__`` returns. Sets are sorted, and it is only of mutable objects that it counts whether
there are two of them or one twice.
"""

from __future__ import annotations

import copyreg
import enum
import functools
import hashlib
import os
import pickle
import struct
import sys
import threading
import types
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from wrenlite.memo.arrays import write_array, write_dtype, write_scalar
from wrenlite.memo.refusals import Refused, class_name
from wrenlite.serialize.by_reference import ByReference
from wrenlite.serialize.class_table import DEFINITIONS, ClassTable, is_random_generator
from wrenlite.serialize.exception_state import reduce_exception
from wrenlite.serialize.rebuild import reduce_enum_member
from wrenlite.storage.refs import Ref

_LARGE_BYTES = 4096
"""Of longer bytes only the digest is written."""


class Named(NamedTuple):
    """An object that unpickling takes from a module by its name."""

    module: str
    name: str


class Memory:
    """The mutable objects that were written, each with its place. They stay alive, as do their ids."""

    def __init__(self, outer: Memory | None = None) -> None:
        """Create an empty memory.

        Args:
            outer: that of the object in which a set is whose member this is for; None: it is for no member.
        """
        self.places: dict[int, tuple[object, str]] = {}
        self._in_sets: dict[int, object] = {}
        self._outer = outer

    def is_elsewhere(self, key: int) -> bool:
        """Return whether an object was written in a place that has no number, since it is in a set."""
        outer = self._outer
        return key in self._in_sets or (
            outer is not None and (key in outer.places or outer.is_elsewhere(key))
        )

    def add_members(self, memory: Memory) -> None:
        """Add the objects in a member of a set."""
        self._in_sets |= memory.places
        self._in_sets |= memory._in_sets


class Encoder:
    """Writes objects as bytes."""

    def __init__(
        self,
        refer: Callable[[Any], str],
        part: str = "",
        memory: Memory | None = None,
        read: Callable[[str], object] | None = None,
    ) -> None:
        """Create an encoder that has written nothing.

        Args:
            refer: takes a class, a function, a module or the like, and returns what is written in its place.
            part: the name of the part of the call that is written.
            memory: the objects in the other parts, as they are in one pickle; None: there are none.
            read: called with each text; None: nobody needs them.
        """
        self.out = bytearray()
        self.read = read
        self._refer = refer
        self._part = part
        self._memory = Memory() if memory is None else memory
        self._count = 0

    def digest(self) -> str:
        """Return the digest of all that was written."""
        return hashlib.sha256(self.out).hexdigest()

    def add(self, obj: Any) -> None:
        """Write an object.

        Raises:
            Refused: it, or something in it, has no digest.
        """
        write = _WRITERS.get(type(obj))
        if write is not None:
            write(self, obj)
        else:
            self._add_other(obj)

    def add_items(self, tag: bytes, items: Sequence[Any]) -> None:
        """Write a tag and the items of a sequence."""
        self.out += b"%b%d:" % (tag, len(items))
        each = None
        try:
            for each in items:
                self.add(each)
        except Refused as error:
            place = next(number for number, item in enumerate(items) if item is each)
            raise error.inside(f"[{place}]") from None

    def add_parts(self, tag: str, *parts: Any) -> None:
        """Write an object as what it consists of."""
        self.out += f"{len(tag)}:{tag}{len(parts)}:".encode()
        for each in parts:
            self.add(each)

    def add_buffer(self, tag: bytes, data: Any) -> None:
        """Write a tag and the content of a contiguous buffer."""
        size = memoryview(data).nbytes
        self.out += b"%b%d:" % (tag, size)
        self.out += hashlib.sha256(data).digest() if size > _LARGE_BYTES else bytes(data)

    def seen(self, obj: object) -> bool:
        """Write the place where a mutable object was written before; return False where it was not."""
        key = id(obj)
        found = self._memory.places.get(key)
        if found is not None:
            self._add_text(b"again", found[1])
            return True
        if self._memory.is_elsewhere(key):
            raise Refused(f"a {class_name(type(obj))} is in a set, and in another place too")
        self._memory.places[key] = obj, f"{self._part} {self._count}"
        self._count += 1
        return False

    def add_referred(self, obj: Any) -> None:
        """Write what refers to a definition, a module or the like."""
        self._add_text(b"D", self._refer(obj))

    def _add_text(self, tag: bytes, text: str) -> None:
        data = text.encode("utf-8", "surrogatepass")
        self.out += b"%b%d:" % (tag, len(data)) + data

    def _add_dict(self, entries: dict[Any, Any]) -> None:
        if self.seen(entries):
            return
        self.out += b"d%d:" % len(entries)
        key: Any = None
        try:
            for key, value in entries.items():
                self.add(key)
                self.add(value)
        except Refused as error:
            raise error.inside(f"[{key!r:.40}]") from None

    def _add_members(self, tag: bytes, members: Iterable[Any]) -> None:
        """Write the members of a set in the order of what is written of them."""
        written = []
        for member in members:
            memory = Memory(self._memory)
            encoder = Encoder(self._refer, self._part, memory, self.read)
            encoder.add(member)
            written.append(bytes(encoder.out))
            self._memory.add_members(memory)
        self.out += b"%b%d:" % (tag, len(written))
        for each in sorted(written):
            self.out += b"%d:" % len(each) + each

    def _add_other(self, obj: Any) -> None:
        """Write an object that is of no basic type."""
        kind = type(obj)
        if obj is os.environ or obj is getattr(os, "environb", None):
            self.add_referred(Named("os", "environ"))
        elif issubclass(kind, _REFERRED) or (kind is types.BuiltinFunctionType and _has_module(obj)):
            self.add_referred(obj)
        elif kind.__module__ == "numpy" and (write_scalar(self, obj) or write_array(self, obj)):
            pass
        elif kind.__module__ == "numpy.dtypes":
            write_dtype(self, obj)
        elif isinstance(obj, ByReference):
            self._add_reference(obj)
        elif (parts := _parts_of(obj)) is not None:
            self.add_parts(class_name(kind), *parts)
        elif isinstance(obj, enum.Enum) or kind.__module__ in _IMMUTABLE or not self.seen(obj):
            self._add_reduced(obj)

    def _add_reference(self, obj: ByReference) -> None:
        if not isinstance(obj, Ref):
            raise Refused("a job or a future as data is not kept", "Pass job.results() or future.result()")
        if obj.modules is None:
            raise Refused("it is not known which code the object of this Ref needs", "Pass executor.put(...)")
        if not self.seen(obj):
            modules = [Named(name, "") for name in sorted(obj.modules)]
            self.add_parts("Ref", obj.digest, obj.definitions, *modules)

    def _add_reduced(self, obj: Any) -> None:
        reduction = _reduction_of(obj)
        if isinstance(reduction, str):
            self.add_referred(Named(pickle.whichmodule(obj, reduction), reduction))  # type: ignore[attr-defined]
            return
        make, arguments, state, items, entries, set_state = (*reduction, None, None, None, None)[:6]
        try:
            self.add_parts("object", make, arguments)
            self.add_parts("state", state, [*(items or ())], [*(entries or ())], set_state)
            self.add_parts("docstrings", *_docstrings_for(type(obj), state))
        except Refused as error:
            raise error.in_state() from None


def _add_unseen(tag: bytes, write: Callable[[Encoder, bytes, Any], None]) -> Callable[[Encoder, Any], None]:
    def add(encoder: Encoder, obj: Any) -> None:
        if not encoder.seen(obj):
            write(encoder, tag, obj)

    return add


def _add_int(encoder: Encoder, number: int) -> None:
    encoder.out += b"i%x;" % number


def _add_float(encoder: Encoder, number: float) -> None:
    encoder.out += b"." + struct.pack("<d", number)


def _add_complex(encoder: Encoder, number: complex) -> None:
    encoder.out += b"j" + struct.pack("<dd", number.real, number.imag)


def _add_str(encoder: Encoder, text: str) -> None:
    encoder.add_buffer(b"s", text.encode("utf-8", "surrogatepass"))
    if encoder.read is not None:
        encoder.read(text)


def _add_pickle_buffer(encoder: Encoder, buffer: pickle.PickleBuffer) -> None:
    view = memoryview(buffer)
    encoder.add_parts("buffer", view.readonly, view.format, view.shape)
    encoder.add_buffer(b"content", buffer.raw())


def is_users(obj: Any) -> bool:
    """Return whether a class or function is in the standard library or in ``__main__``, and in no package."""
    return str(obj.__module__).partition(".")[0] in sys.stdlib_module_names | {"__main__"}


def _docstrings_for(kind: type, state: Any) -> list[Any]:
    """Return the docstrings of functions that an object of a package holds: it may compute with them."""
    held = () if is_users(kind) or not isinstance(state, dict) else state.values()
    return [each.__doc__ for each in held if isinstance(each, types.FunctionType)]


_WRITERS: dict[type, Callable[[Encoder, Any], None]] = {
    type(None): lambda encoder, _: encoder.out.extend(b"N"),
    type(Ellipsis): lambda encoder, _: encoder.out.extend(b"_"),
    type(NotImplemented): lambda encoder, _: encoder.out.extend(b"?"),
    bool: lambda encoder, truth: encoder.out.extend(b"T" if truth else b"F"),
    int: _add_int,
    float: _add_float,
    complex: _add_complex,
    str: _add_str,
    bytes: lambda encoder, data: encoder.add_buffer(b"b", data),
    bytearray: _add_unseen(b"bytearray", Encoder.add_buffer),
    tuple: lambda encoder, items: encoder.add_items(b"t", items),
    list: _add_unseen(b"l", Encoder.add_items),
    dict: Encoder._add_dict,
    set: _add_unseen(b"set", Encoder._add_members),
    frozenset: lambda encoder, members: encoder._add_members(b"frozenset", members),
    pickle.PickleBuffer: _add_pickle_buffer,
    Named: Encoder.add_referred,
    types.CellType: _add_unseen(
        b"cell", lambda encoder, tag, cell: encoder.add_items(tag, _contents_of(cell))
    ),
}


_IMMUTABLE = frozenset(
    {
        *(
            "datetime",
            "decimal",
            "fractions",
            "ipaddress",
            "pathlib",
            "pathlib._local",
            "re",
            "uuid",
            "zoneinfo",
        ),
    }
)
"""Modules whose objects are all immutable: whether there are two, or one twice, does not count."""
_REFERRED = (*DEFINITIONS, types.ModuleType)


def _has_module(function: Any) -> bool:
    """Return whether a function in C is no method of an object."""
    return function.__self__ is None or isinstance(function.__self__, types.ModuleType)


def _contents_of(cell: types.CellType) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:  # nothing is bound yet
        return ()


_PARTS: tuple[tuple[Any, Callable[[Any], tuple[Any, ...]]], ...] = (
    (types.MethodType, lambda made: (made.__func__, made.__self__)),
    (types.BuiltinFunctionType, lambda made: (made.__self__, made.__name__)),
    (staticmethod | classmethod, lambda made: (made.__func__,)),
    (property, lambda made: (made.fget, made.fset, made.fdel)),
    (functools.cached_property, lambda made: (made.func, made.attrname)),
    (functools.singledispatchmethod, lambda made: (made.func, made.dispatcher)),
    (types.MappingProxyType, lambda made: (dict(made),)),
    (types.MemberDescriptorType | types.GetSetDescriptorType, lambda made: (made.__name__,)),
)
"""What immutable objects consist of that plain pickle does not write, or writes with what changes."""


def _parts_of(obj: Any) -> tuple[Any, ...] | None:
    """Return what an object of one of these types consists of. Its class counts where it is derived."""
    parts = next((parts(obj) for kind, parts in _PARTS if isinstance(obj, kind)), None)
    if parts is None or (is_users(type(obj)) and type(obj).__module__ != "__main__"):
        return parts
    return *parts, type(obj), getattr(obj, "__dict__", None)


def _reduction_of(obj: Any) -> Any:
    """Return what pickle would write of an object, in the terms of ``__reduce_ex__``."""
    kind, reduction = type(obj), NotImplemented
    try:
        if kind in copyreg.dispatch_table:
            return copyreg.dispatch_table[kind](obj)
        if isinstance(obj, enum.Enum):
            reduction = reduce_enum_member(obj)
        elif isinstance(obj, BaseException):
            reduction = reduce_exception(obj)
        elif is_random_generator(obj):
            reduction = ClassTable(grows=False).reduction_of_generator(obj)
        elif isinstance(obj, threading.local):
            return copyreg.__newobj__, (kind,), vars(obj)  # type: ignore[attr-defined]
        return obj.__reduce_ex__(5) if reduction is NotImplemented else reduction
    except RecursionError:
        raise
    except Exception as error:  # of the object's own code
        raise Refused(f"it is a {class_name(kind)}, and {error}") from error
