"""Pickling of functions, items and values, and their unpickling.

The function is pickled once per job by cloudpickle. Items and values are pickled one by one by plain pickle
(protocol 5), and by cloudpickle only where that fails. Classes and functions that cannot be imported (they
are defined in a notebook, a script or a function) are written once, into the blob of the function, as the
*class table* of the job. Items and values refer to them by number, which takes about 110 bytes in place of
about 3,000 for an instance of a small dataclass. Both processes resolve a number to the class that they have
already, so an instance that comes back from a worker is an instance of the caller's own class.

Buffers of at least ``OUT_OF_BAND_BYTES`` stay outside the stream (out of band, in the terms of pickle), so
that they can be sent and received without being copied into it.
"""

from __future__ import annotations

import contextlib
import functools
import io
import pickle
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from wrenlite.errors import FunctionNotPicklable, ItemNotPicklable, NotPicklable
from wrenlite.protocol import Buffer, Packed, Style
from wrenlite.serialize.class_table import ClassTable
from wrenlite.serialize.signals import raise_if_interrupting
from wrenlite.serialize.unpickling_context import unpickling_with

OUT_OF_BAND_BYTES = 64 * 1024
"""Copying a buffer smaller than this into the stream is cheaper than sending it separately."""

_LARGE_PART_BYTES = 1 << 20
"""What is smaller is no part that a message about a large function names."""

_ATOMIC_TYPES = frozenset({int, float, str, bytes, bool, complex, type(None)})
"""Instances of these types refer to nothing else, so pickling them needs no class table."""


class Call(NamedTuple):
    """A function with its fixed arguments: the content of a function's blob."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    style: Style
    table: Sequence[object] = ()
    """The entries of the job's class table."""


def unpack(packed: Packed, table: Sequence[object]) -> Any:
    """Unpickle an object. Whatever its unpickling raises goes through.

    Args:
        packed: the pickled object.
        table: the class table that it refers to.
    """
    with unpickling_with(table):
        return pickle.loads(packed.data, buffers=packed.buffers)


class _PlainPickler(pickle.Pickler):
    """Plain pickle, extended by the class table."""

    def __init__(
        self, file: io.BytesIO, classes: ClassTable, buffer_callback: Callable[[pickle.PickleBuffer], bool]
    ) -> None:
        super().__init__(file, 5, buffer_callback=buffer_callback)
        self._classes = classes

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type | types.FunctionType):
            reduction = self._classes.reduction_of(obj)
            if reduction is None:
                raise pickle.PicklingError("only cloudpickle writes classes and functions by value")
            return reduction
        return NotImplemented


class Packer:
    """Pickles the items of one job, or the values of one function."""

    def __init__(self, classes: ClassTable, *, snapshot: bool) -> None:
        """Create a packer.

        Args:
            classes: the class table to refer to.
            snapshot: copy large buffers at once. Items are copied, because the caller may change an array as
                soon as ``map`` has returned. Values are not, because they are sent before the next task runs.
        """
        self._classes = classes
        self._snapshot = snapshot

    def pack(self, obj: Any) -> Packed:
        """Pickle one object. Whatever the pickling raises goes through."""
        if type(obj) in _ATOMIC_TYPES:
            return Packed(pickle.dumps(obj, 5))
        try:
            packed = self._pack_with(_PlainPickler, obj)
        except Exception as error:  # cloudpickle may succeed; if not, its error is the better one
            raise_if_interrupting(error)
            packed = None
        # Plain pickle also writes names of __main__, which no other process can resolve.
        if packed is None or b"__main__" in packed.data:
            packed = self._pack_with(_cloud_pickler(), obj)
        return packed

    def _pack_with(self, pickler: Any, obj: Any) -> Packed:
        buffers: list[Buffer] = []

        def stays_in_band(buffer: pickle.PickleBuffer) -> bool:
            return not _take_out_of_band(buffer, buffers, copy=self._snapshot)

        file = io.BytesIO()
        pickler(file, self._classes, stays_in_band).dump(obj)
        return Packed(file.getvalue(), tuple(buffers))


def pack_items(data: Iterable[Any], classes: ClassTable) -> list[Packed]:
    """Pickle every item of a job.

    Args:
        data: the items.
        classes: the job's class table.

    Raises:
        ItemNotPicklable: an item cannot be pickled; the message names it.
    """
    pack = Packer(classes, snapshot=True).pack
    packed = []
    for index, item in enumerate(data):
        classes.source = index
        try:
            packed.append(pack(item))
        except BaseException as error:
            raise ItemNotPicklable(not_picklable_message(f"item {index}", item, error)) from error
    classes.source = None
    return packed


def pack_object(obj: object, classes: ClassTable) -> Packed:
    """Pickle an object with every buffer outside the stream, so that all arrays in it arrive read-only.

    Args:
        obj: any object.
        classes: the class table to refer to.

    Raises:
        ItemNotPicklable: it cannot be pickled; the message names the part that is the reason.
    """
    buffers: list[Buffer] = []

    def stays_in_band(buffer: pickle.PickleBuffer) -> bool:
        return not _take_out_of_band(buffer, buffers, least_bytes=0)

    file = io.BytesIO()
    try:
        _cloud_pickler()(file, classes, stays_in_band).dump(obj)
    except BaseException as error:
        text = not_picklable_message(f"this {type(obj).__name__}", obj, error)
        raise ItemNotPicklable(text) from error
    return Packed(file.getvalue(), tuple(buffers))


def _take_out_of_band(
    buffer: pickle.PickleBuffer,
    buffers: list[Buffer],
    *,
    copy: bool = False,
    least_bytes: int = OUT_OF_BAND_BYTES,
) -> bool:
    """Append a large buffer to the out-of-band buffers.

    Args:
        buffer: what an object offers to leave outside the stream.
        buffers: the out-of-band buffers.
        copy: append a copy.
        least_bytes: a smaller buffer stays in the stream.

    Returns:
        Whether the buffer was appended.
    """
    try:
        raw = buffer.raw()
    except BufferError:  # not contiguous: only a copy in the stream can be sent
        return False
    if raw.nbytes < least_bytes:
        return False
    buffers.append(bytearray(raw) if copy else raw)
    return True


def _stays_in_band(_: pickle.PickleBuffer) -> bool:
    """Keep every buffer in the stream."""
    return True


def pack_call(call: Call, classes: ClassTable) -> bytes:
    """Pickle a function with what it closes over, followed by the class table of its job.

    Args:
        call: the function and its fixed arguments.
        classes: the job's class table.

    Raises:
        FunctionNotPicklable: it cannot be pickled; the message names the part that is the reason.
        ItemNotPicklable: the class of an item cannot be pickled; the message names both.
    """
    file = io.BytesIO()
    pickler = _cloud_pickler()(file, classes, _stays_in_band, defines_entries=True)
    try:
        pickler.dump(tuple(call[:4]))
        written = 0
        while written < len(classes.entries):  # pickling entries may add further entries
            entries = tuple(classes.entries[written:])
            written += len(entries)
            pickler.dump(entries)
        pickler.dump(())
    except BaseException as error:
        raise _not_picklable(call, classes, error) from error
    return file.getvalue()


def _not_picklable(call: Call, classes: ClassTable, error: BaseException) -> NotPicklable:
    """Return the error that names the function, or the item that has brought in a class, as the reason."""
    for entry, item in zip(classes.entries, classes.sources, strict=True):
        if item is not None and not _is_picklable(entry):
            part = {f"class {function_name(entry)}": entry}
            return ItemNotPicklable(not_picklable_message(f"item {item}", _Parts(part), error))
    what = f"the function {function_name(call.function)}"
    parts = {"": call.function, "args": call.args, "kwargs": call.kwargs}
    return FunctionNotPicklable(not_picklable_message(what, _Parts(parts), error))


def unpack_call(blob: bytes) -> Call:
    """Unpickle what ``pack_call`` pickled. Whatever importing and unpickling raise goes through."""
    unpickler = pickle.Unpickler(io.BytesIO(blob))
    function, args, kwargs, style = unpickler.load()
    table: list[object] = []
    while entries := unpickler.load():
        table.extend(entries)
    return Call(function, args, kwargs, style, table)


def largest_parts(call: Call) -> str:
    """Return the three largest parts of a function's pickle with their sizes, as text for a message."""
    sizes: dict[str, int] = {}
    seen: set[int] = set()

    def measure(parts: dict[str, object]) -> None:
        for name, value in parts.items():
            size = _size(value)
            inner = _variables(value) if size >= _LARGE_PART_BYTES and id(value) not in seen else {}
            seen.add(id(value))
            if inner:
                measure(inner)
            elif size:
                sizes[name] = max(size, sizes.get(name, 0))

    measure({f"argument {number}": value for number, value in enumerate(call.args)})
    measure({f"{name}=": value for name, value in call.kwargs.items()})
    measure(_variables(call.function) or {"itself": call.function})
    largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
    shown = [name for name in largest if sizes[name] >= _LARGE_PART_BYTES] or largest
    return ", ".join(f"{name} {sizes[name] / 2**20:,.1f} MB" for name in shown)


def _variables(function: Any) -> dict[str, object]:
    """Return what a function holds, with names for a message; nothing for what is not made of parts."""
    if isinstance(function, functools.partial):
        given = {f"argument {number} of the partial": value for number, value in enumerate(function.args)}
        named = {f"{name}= of the partial": value for name, value in function.keywords.items()}
        return {**given, **named, "its function": function.func}
    if isinstance(function, types.MethodType):
        return {**_instance_variables(function.__self__), function.__name__: function.__func__}
    if isinstance(function, types.FunctionType):
        code = function.__code__
        held = {name: value for name, value in function.__globals__.items() if name in _all_names(code)}
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            with contextlib.suppress(ValueError):  # the variable is not bound yet
                held[name] = cell.cell_contents
        defaults = function.__defaults__ or ()
        held.update(zip(code.co_varnames[code.co_argcount - len(defaults) :], defaults, strict=False))
        held.update(function.__kwdefaults__ or {})
        return {repr(name): value for name, value in held.items()}
    return _instance_variables(function) if callable(function) and not isinstance(function, type) else {}


def _instance_variables(obj: object) -> dict[str, object]:
    return {f"attribute {name!r}": value for name, value in getattr(obj, "__dict__", {}).items()}


def _all_names(code: types.CodeType) -> set[str]:
    """Return the names of globals and attributes in a function and in the functions inside it."""
    inner = [_all_names(constant) for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return set(code.co_names).union(*inner)


def _size(obj: object) -> int:
    """Return how many bytes the pickle of an object has; 0 where it has none."""
    try:
        return len(_pickle_by_value(obj))
    except BaseException as error:
        raise_if_interrupting(error)
        return 0


def _pickle_by_value(obj: object) -> bytes:
    file = io.BytesIO()
    _cloud_pickler()(file, ClassTable(grows=False), _stays_in_band).dump(obj)
    return file.getvalue()


def function_name(function: Any) -> str:
    """Return a short name for messages: ``ndvi``, ``<lambda>``, ``partial(ndvi)``."""
    if isinstance(function, functools.partial):
        return f"partial({function_name(function.func)})"
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return str(name).rpartition("<locals>.")[2]


_ADVICE = "Make it inside the function, or pass what it is made from."


def not_picklable_message(what: str, obj: object, error: BaseException, advice: str = _ADVICE) -> str:
    """Return a message that says why an object cannot be pickled and what to do.

    Args:
        what: the name of the object for the message.
        obj: the object.
        error: the exception of its pickling. It is raised again where it has nothing to do with pickling.
        advice: what to do.
    """
    raise_if_interrupting(error)
    where = find_unpicklable_part(obj)
    return f"{what} cannot be pickled{where}: {type(error).__name__}: {error}. {advice}"


def _cloud_pickler() -> Any:
    from wrenlite.serialize.by_value import CloudPickler

    return CloudPickler


_SEARCH_DEPTH = 12
_SEARCH_WIDTH = 1_000
"""Levels, and parts per level, that are searched: enough for any object that a person wrote, but not for the
elements of all data."""


_OF_ONE_PROCESS = frozenset(
    {"asyncio", "concurrent", "multiprocessing", "queue", "socket", "subprocess", "threading"}
)
"""Packages whose objects stand for something that only one process has, so that their parts, such as the lock
of a future, say nothing to a user."""


class _Parts(dict[str, object]):
    """Parts to search, by the text that leads to each."""


def find_unpicklable_part(obj: object) -> str:
    """Return the path to the innermost part that cannot be pickled, as text for a message.

    For example `` at closure variable 'db'.lock (type lock)``; empty where no part is found.
    """
    path = ""
    for _ in range(_SEARCH_DEPTH):
        for step, part in islice(_parts(obj), _SEARCH_WIDTH):
            if not _is_picklable(part):
                path, obj = path + step, part
                break
        else:
            break
    return f" at {path.strip('. ')} (type {type(obj).__qualname__})" if path.strip() else ""


def _is_picklable(obj: object) -> bool:
    try:
        _pickle_by_value(obj)
    except BaseException as error:
        raise_if_interrupting(error)
        return False
    return True


def _refuses_pickling(obj: object) -> bool:
    """Return whether an object itself, rather than a part of it, is the reason that pickling fails."""
    if type(obj).__module__.partition(".")[0] in _OF_ONE_PROCESS:
        return True
    try:
        obj.__reduce_ex__(5)
    except BaseException as error:
        raise_if_interrupting(error)
        return True
    return False


def _parts(obj: Any) -> Iterator[tuple[str, object]]:
    """Yield the parts of an object, each with the text that leads to it in a path."""
    if isinstance(obj, _Parts):
        yield from ((f" {name}", value) for name, value in obj.items())
    elif isinstance(obj, dict):
        for key, value in obj.items():
            yield f"[{key!r}]", value
    elif isinstance(obj, list | tuple | set | frozenset):
        yield from ((f"[{index}]", value) for index, value in enumerate(obj))
    elif isinstance(obj, types.FunctionType):
        yield from _parts_of_function(obj)
    elif isinstance(obj, types.MethodType):
        yield " self", obj.__self__
    elif isinstance(obj, type):  # cloudpickle writes a class by its attributes
        yield from ((f" base class {base.__qualname__}", base) for base in obj.__bases__)
        yield from ((f" attribute {name!r}", value) for name, value in _own_attributes(obj))
    elif not _refuses_pickling(obj):
        yield from _attributes(obj)
        yield f" class {type(obj).__qualname__}", type(obj)


def _own_attributes(cls: type) -> list[tuple[str, object]]:
    """Return the attributes of a class itself, methods last, since they often refer to the class."""
    made = types.GetSetDescriptorType | types.MemberDescriptorType  # by Python, for __dict__ and __slots__
    found = [(name, value) for name, value in vars(cls).items() if not isinstance(value, made)]
    return sorted(found, key=lambda each: callable(each[1]))


def _attributes(obj: object) -> Iterator[tuple[str, object]]:
    for name in ("func", "args", "keywords"):  # functools.partial
        if hasattr(obj, name):
            yield f".{name}", getattr(obj, name)
    for name in (*getattr(type(obj), "__slots__", ()), *getattr(obj, "__dict__", ())):
        if hasattr(obj, name):
            yield f".{name}", getattr(obj, name)


def _parts_of_function(function: types.FunctionType) -> Iterator[tuple[str, object]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield f" closure variable {name!r}", cell.cell_contents
        except ValueError:  # the variable is not bound yet
            continue
    for name in function.__code__.co_names:
        if name in function.__globals__:
            yield f" global variable {name!r}", function.__globals__[name]
    for index, value in enumerate(function.__defaults__ or ()):
        yield f" default argument {index}", value
