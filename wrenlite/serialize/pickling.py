"""Objects to bytes and back: functions, items and values.

The function is pickled once a job by cloudpickle. Items and values are pickled one by one by
plain pickle (protocol 5), and by cloudpickle only where that fails. Classes and functions that
exist only by value (defined in a notebook, a script or a function) are written once, into the
function's blob, as its *class table*; items and values refer to them by number: 77 bytes in place
of 2,956 for a small dataclass. Since both sides resolve the number to the class they already have,
an instance that comes back from a worker is an instance of the caller's own class.

Buffers of at least ``OUT_OF_BAND`` bytes stay outside the stream, so that they can be sent and
received without being copied into it.
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
from wrenlite.serialize.class_table import Names, resolving

OUT_OF_BAND = 64 * 1024
"""Bytes. Below this a copy is cheaper than the bookkeeping of a buffer of its own."""

_ATOMS = frozenset({int, float, str, bytes, bool, complex, type(None)})
"""Types that refer to nothing else: these need no hooks."""


class Call(NamedTuple):
    """What the function's blob holds, ready to be called."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    style: Style
    table: Sequence[object] = ()


def unpack(packed: Packed, table: Sequence[object]) -> Any:
    """The object that was packed. Raises whatever unpickling it raises."""
    with resolving(table):
        return pickle.loads(packed.data, buffers=packed.buffers)


class _PlainPickler(pickle.Pickler):
    """Plain pickle with the class table."""

    def __init__(self, file: io.BytesIO, names: Names, keep: Callable[[pickle.PickleBuffer], bool]) -> None:
        super().__init__(file, 5, buffer_callback=keep)
        self._names = names

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type | types.FunctionType):
            place = self._names.place(obj)
            if place is None:
                raise pickle.PicklingError("goes by value")
            return place
        return NotImplemented


class Packer:
    """Packs the items of one job, or the values of one function."""

    def __init__(self, names: Names, *, snapshot: bool) -> None:
        """Args:
        names: the class table to refer to.
        snapshot: copy large buffers now. Items are copied, since the caller may change an array as
            soon as ``map`` has returned; a value is not, since it is written before the next task runs.
        """
        self._names = names
        self._snapshot = snapshot

    def pack(self, obj: Any) -> Packed:
        """Pickle one object. Raises whatever the pickling raises."""
        if type(obj) in _ATOMS:
            return Packed(pickle.dumps(obj, 5))
        try:
            packed = self._pack_with(_PlainPickler, obj)
        except Exception:  # whatever plain pickle says, cloudpickle has the last word
            packed = None
        # Plain pickle also takes names of __main__, which no other process can resolve.
        if packed is None or b"__main__" in packed.data:
            packed = self._pack_with(_cloud_pickler(), obj)
        return packed

    def _pack_with(self, pickler: Any, obj: Any) -> Packed:
        buffers: list[Buffer] = []

        def keep(buffer: pickle.PickleBuffer) -> bool:
            return not _keep_apart(buffer, buffers, copy=self._snapshot)

        file = io.BytesIO()
        pickler(file, self._names, keep).dump(obj)
        return Packed(file.getvalue(), tuple(buffers))


def pack_items(data: Iterable[Any], names: Names) -> list[Packed]:
    """Pickle every item. Raises ItemNotPicklable, which names the item."""
    pack = Packer(names, snapshot=True).pack
    packed = []
    for index, item in enumerate(data):
        try:
            packed.append(pack(item))
        except Exception as error:
            raise ItemNotPicklable(explain(f"item {index}", item, error)) from error
    return packed


def pack_object(obj: object) -> tuple[Packed, set[str]]:
    """Pickle an object that stands alone, with what it needs by value; and the modules that it imports.

    Raises ItemNotPicklable, which names the culprit.
    """
    names = Names(grows=True)
    buffers: list[Buffer] = []

    def keep(buffer: pickle.PickleBuffer) -> bool:
        return not _keep_apart(buffer, buffers, least=0)  # so that all arrays are read-only

    file = io.BytesIO()
    try:
        _cloud_pickler()(file, names, keep, owner=True).dump(obj)
    except Exception as error:
        raise ItemNotPicklable(explain(f"this {type(obj).__name__}", obj, error)) from error
    return Packed(file.getvalue(), tuple(buffers)), names.modules


def _keep_apart(
    buffer: pickle.PickleBuffer, buffers: list[Buffer], *, copy: bool = False, least: int = OUT_OF_BAND
) -> bool:
    """Put a buffer beside the stream, where that pays."""
    try:
        raw = buffer.raw()
    except BufferError:  # in no order that can be sent as it lies
        return False
    if raw.nbytes < least:
        return False
    buffers.append(bytearray(raw) if copy else raw)
    return True


def pack_call(call: Call, names: Names) -> bytes:
    """Pickle a function with what it closes over, and the class table of its job after it.

    Raises FunctionNotPicklable, which names the culprit.
    """
    file = io.BytesIO()
    pickler = _cloud_pickler()(file, names, lambda _: True, owner=True)
    try:
        pickler.dump(tuple(call[:4]))
        written = 0
        while written < len(names.table):  # what the entries refer to may lengthen the table
            entries = tuple(names.table[written:])
            written += len(entries)
            pickler.dump(entries)
        pickler.dump(())
    except Exception as error:
        whole = (call.function, call.args, call.kwargs)
        suspect = call.function if not (call.args or call.kwargs) else whole
        what = f"the function {function_name(call.function)}"
        raise FunctionNotPicklable(explain(what, suspect, error)) from error
    return file.getvalue()


def unpack_call(blob: bytes) -> Call:
    """What ``pack_call`` packed. Raises whatever importing and unpickling raises."""
    unpickler = pickle.Unpickler(io.BytesIO(blob))
    function, args, kwargs, style = unpickler.load()
    table: list[object] = []
    while entries := unpickler.load():
        table.extend(entries)
    return Call(function, args, kwargs, style, table)


def largest_parts(call: Call) -> str:
    """What takes the most room in a function that is too large to travel: three parts, with their sizes."""
    parts: dict[str, object] = {f"argument {number}": value for number, value in enumerate(call.args)}
    parts |= {f"{name}=": value for name, value in call.kwargs.items()}
    try:
        found = inspect.getclosurevars(call.function)
        parts |= {repr(name): value for name, value in {**found.globals, **found.nonlocals}.items()}
    except TypeError:  # no Python function
        parts["itself"] = call.function
    sizes: dict[str, int] = {}
    for name, value in parts.items():
        with contextlib.suppress(ItemNotPicklable):
            sizes[name] = pack_object(value)[0].size
    return ", ".join(
        f"{name} {sizes[name] / 2**20:,.1f} MB" for name in sorted(sizes, key=lambda name: -sizes[name])[:3]
    )


def function_name(function: Any) -> str:
    """A short name for messages: ``ndvi``, ``<lambda>``, ``partial(ndvi)``."""
    if isinstance(function, functools.partial):
        return f"partial({function_name(function.func)})"
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return str(name).rpartition("<locals>.")[2]


def explain(what: str, obj: object, error: BaseException) -> str:
    """A message for something that cannot be pickled, with the path to the culprit where it is found."""
    where = find_culprit(obj)
    mend = "Make it inside the function, or pass what it is made from."
    return f"{what} cannot be pickled{where}: {type(error).__name__}: {error}. {mend}"


def _cloud_pickler() -> Any:
    from wrenlite.serialize.by_value import CloudPickler

    return CloudPickler


_DEPTH = 12
_WIDTH = 1_000
"""Parts looked at on each level: enough for any object that somebody wrote, not for all data."""


def find_culprit(obj: object) -> str:
    """The path to the innermost part that cannot be pickled: `` at closure variable 'db'.lock (a lock)``."""
    path = ""
    for _ in range(_DEPTH):
        for step, part in islice(_parts(obj), _WIDTH):
            if not _pickles(part):
                path, obj = path + step, part
                break
        else:
            break
    return f" at {path.strip('. ')} (a {type(obj).__qualname__})" if path else ""


def _pickles(obj: object) -> bool:
    import cloudpickle

    try:
        cloudpickle.dumps(obj, 5)
    except Exception:
        return False
    return True


def _parts(obj: Any) -> Iterator[tuple[str, object]]:
    """What an object is made of, each with the words that lead to it."""
    if isinstance(obj, dict):
        for key, value in obj.items():
            yield f"[{key!r}]", value
    elif isinstance(obj, list | tuple | set | frozenset):
        for index, value in enumerate(obj):
            yield f"[{index}]", value
    elif isinstance(obj, types.FunctionType):
        yield from _parts_of_function(obj)
    elif isinstance(obj, types.MethodType):
        yield " self", obj.__self__
    else:
        for name in ("func", "args", "keywords"):  # functools.partial
            if hasattr(obj, name):
                yield f".{name}", getattr(obj, name)
        for name, value in getattr(obj, "__dict__", {}).items():
            yield f".{name}", value


def _parts_of_function(function: types.FunctionType) -> Iterator[tuple[str, object]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield f" closure variable {name!r}", cell.cell_contents
        except ValueError:  # not bound yet
            continue
    for name in function.__code__.co_names:
        if name in function.__globals__:
            yield f" global variable {name!r}", function.__globals__[name]
    for index, value in enumerate(function.__defaults__ or ()):
        yield f" default argument {index}", value
