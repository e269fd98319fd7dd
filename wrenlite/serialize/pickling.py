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
import inspect
import io
import pickle
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from wrenlite.errors import FunctionNotPicklable, ItemNotPicklable
from wrenlite.protocol import Buffer, Packed, Style
from wrenlite.serialize.class_table import ClassTable
from wrenlite.serialize.unpickling_context import unpickling_with

OUT_OF_BAND_BYTES = 64 * 1024
"""Copying a buffer smaller than this into the stream is cheaper than sending it separately."""

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
        except Exception:  # cloudpickle may succeed; if not, its error is the better one
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
        RuntimeError: a function that ``map`` or the like calls for an item has raised StopIteration.
    """
    pack = Packer(classes, snapshot=True).pack
    packed = []
    for index, item in enumerate(_read(data)):
        try:
            packed.append(pack(item))
        except Exception as error:
            raise ItemNotPicklable(not_picklable_message(f"item {index}", item, error)) from error
    return packed


def _read(data: Iterable[Any]) -> Iterator[Any]:
    """Yield the items of a job.

    Where ``map(f, …)`` is the data, a StopIteration of ``f`` would end it, as if there were no more items. It
    is converted, as Python does for generators. An iterator of the user's own may end as it likes.
    """
    iterator = iter(data)
    builtin = type(iterator).__module__ in ("builtins", "itertools")
    while True:
        try:
            item = next(iterator)
        except StopIteration as end:
            inner = end.__traceback__.tb_next if end.__traceback__ else None
            if builtin and inner is not None and inner.tb_frame.f_code.co_name != "__next__":
                name = inner.tb_frame.f_code.co_qualname
                raise RuntimeError(f"the data ended early: {name} raised StopIteration") from end
            return
        yield item


def pack_object(obj: object) -> tuple[Packed, set[str]]:
    """Pickle an object independently of any job, with the classes and functions that it needs.

    Args:
        obj: any object.

    Returns:
        The pickled object, and the names of the modules that it needs.

    Raises:
        ItemNotPicklable: it cannot be pickled; the message names the part that is the reason.
    """
    classes = ClassTable(grows=True)
    buffers: list[Buffer] = []

    def stays_in_band(buffer: pickle.PickleBuffer) -> bool:
        return not _take_out_of_band(buffer, buffers, least_bytes=0)  # so all arrays arrive read-only

    file = io.BytesIO()
    try:
        _cloud_pickler()(file, classes, stays_in_band, defines_entries=True).dump(obj)
    except Exception as error:
        text = not_picklable_message(f"this {type(obj).__name__}", obj, error)
        raise ItemNotPicklable(text) from error
    return Packed(file.getvalue(), tuple(buffers)), classes.modules


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
    except Exception as error:
        what = f"the function {function_name(call.function)}"
        raise FunctionNotPicklable(not_picklable_message(what, call, error)) from error
    return file.getvalue()


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
    parts: dict[str, object] = {f"argument {number}": value for number, value in enumerate(call.args)}
    parts |= {f"{name}=": value for name, value in call.kwargs.items()}
    try:
        found = inspect.getclosurevars(call.function)
        parts |= {repr(name): value for name, value in {**found.globals, **found.nonlocals}.items()}
    except TypeError:  # not a Python function
        parts["itself"] = call.function
    sizes: dict[str, int] = {}
    for name, value in parts.items():
        with contextlib.suppress(ItemNotPicklable):
            sizes[name] = pack_object(value)[0].size
    return ", ".join(
        f"{name} {sizes[name] / 2**20:,.1f} MB" for name in sorted(sizes, key=lambda name: -sizes[name])[:3]
    )


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
        error: the exception of its pickling.
        advice: what to do.
    """
    where = find_unpicklable_part(obj)
    return f"{what} cannot be pickled{where}: {type(error).__name__}: {error}. {advice}"


def _cloud_pickler() -> Any:
    from wrenlite.serialize.by_value import CloudPickler

    return CloudPickler


_SEARCH_DEPTH = 12
_SEARCH_WIDTH = 1_000
"""Levels, and parts per level, that are searched: enough for any object that a person wrote, but not for the
elements of all data."""


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
    return f" at {path.strip('. ')} (type {type(obj).__qualname__})" if path else ""


def _is_picklable(obj: object) -> bool:
    import cloudpickle

    try:
        cloudpickle.dumps(obj, 5)
    except Exception:
        return False
    return True


def _refuses_pickling(obj: object) -> bool:
    """Return whether an object itself, rather than a part of it, is the reason that pickling fails."""
    if isinstance(obj, type):  # cloudpickle writes a class by its attributes
        return False
    try:
        obj.__reduce_ex__(5)
    except Exception:
        return True
    return False


def _parts(obj: Any) -> Iterator[tuple[str, object]]:
    """Yield the parts of an object, each with the text that leads to it in a path."""
    if isinstance(obj, Call):
        yield from (("", obj.function), (" args", obj.args), (" kwargs", obj.kwargs))
    elif isinstance(obj, dict):
        for key, value in obj.items():
            yield f"[{key!r}]", value
    elif isinstance(obj, list | tuple | set | frozenset):
        yield from ((f"[{index}]", value) for index, value in enumerate(obj))
    elif isinstance(obj, types.FunctionType):
        yield from _parts_of_function(obj)
    elif isinstance(obj, types.MethodType):
        yield " self", obj.__self__
    elif not _refuses_pickling(obj):
        yield from _attributes(obj)


def _attributes(obj: object) -> Iterator[tuple[str, object]]:
    for name in ("func", "args", "keywords"):  # functools.partial
        if hasattr(obj, name):
            yield f".{name}", getattr(obj, name)
    for name, value in getattr(obj, "__dict__", {}).items():
        yield f".{name}", value


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
