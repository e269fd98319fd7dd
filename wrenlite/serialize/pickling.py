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
import copyreg
import functools
import io
import itertools
import pickle
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from wrenlite.errors import (
    ConfigError,
    DependencyFailed,
    FunctionNotPicklable,
    ItemNotPicklable,
    NotPicklable,
    ValueReleased,
)
from wrenlite.protocol import Buffer, Packed, Plain, Style
from wrenlite.serialize.by_reference import Dependent, References
from wrenlite.serialize.class_table import ClassTable, is_importable, is_random_generator
from wrenlite.serialize.diagnosis import not_picklable_message
from wrenlite.serialize.exception_state import reduce_exception
from wrenlite.serialize.parts import Parts, class_name
from wrenlite.serialize.rebuild import reduce_enum_member
from wrenlite.serialize.signals import raise_if_interrupting
from wrenlite.serialize.sizes import is_picklable
from wrenlite.serialize.unpickling_context import unpickling_with
from wrenlite.texts import counted

if TYPE_CHECKING:
    from wrenlite.seeding import Seed

OUT_OF_BAND_BYTES = 64 * 1024
"""Copying a buffer smaller than this into the stream is cheaper than sending it separately."""

_LARGE_PART_BYTES = 1 << 20
"""What is smaller is no part that a message about a large function names."""

_PLAIN_BYTES = 1024
"""A larger text, and an integer of more bits, is pickled."""
_LOOK_BYTES = 64 << 20
"""After so many more bytes of items the memory is looked at again."""
_CHUNK = 1024
"""Items that are looked at together."""
_CONTAINER_ITERATORS = frozenset({type(iter([])), type(iter(())), type(iter(range(0)))})
_FIXED_SIZE = frozenset({float, bool, complex})
_PACKED_NONE = Packed(pickle.dumps(None, 5))


class JoinedFunctions:
    """A function that is made of several, each of which has a name for messages."""

    method = ""
    """The name of the method that joins them."""

    def named(self) -> dict[str, Callable[..., Any]]:
        """Return the functions by their names."""
        raise NotImplementedError


class Call(NamedTuple):
    """A function with its fixed arguments: the content of a function's blob."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    style: Style
    seed: Seed | None = None
    """From which each task gets a random generator; None: tasks get none."""
    table: Sequence[object] = ()
    """The entries of the job's class table."""


def unpack(packed: Packed | Plain, table: Sequence[object]) -> Any:
    """Unpickle an object; a plain one is returned as it is. Whatever its unpickling raises goes through.

    Args:
        packed: the pickled object.
        table: the class table that it refers to.
    """
    if not isinstance(packed, Packed):
        return packed
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
        if type(obj) in copyreg.dispatch_table:
            return NotImplemented
        if isinstance(obj, Enum):
            return reduce_enum_member(obj)
        if isinstance(obj, BaseException):
            return reduce_exception(obj)
        if is_random_generator(obj):
            return self._classes.reduction_of_generator(obj)
        references = self._classes.references
        reduction = None if references is None else references.reduction_of(obj)
        return NotImplemented if reduction is None else reduction


def is_plain(obj: object) -> bool:
    """Return whether an object is small and ``Plain``: then it needs no pickling."""
    kind = type(obj)
    if kind is int:
        return obj.bit_length() <= _PLAIN_BYTES  # type: ignore[attr-defined, no-any-return]
    if kind is str or kind is bytes:
        return len(obj) <= _PLAIN_BYTES  # type: ignore[arg-type]
    return kind in _FIXED_SIZE


def are_plain(objects: list[Any]) -> bool:
    """Return whether objects are certainly small and ``Plain``, in a fraction of the time of asking each."""
    kinds = set(map(type, objects))
    if kinds <= _FIXED_SIZE:
        return True
    if kinds == {int}:
        return bool(max(max(objects), -min(objects)).bit_length() <= _PLAIN_BYTES)
    longest: int = max(map(len, objects)) if kinds in ({str}, {bytes}) else sys.maxsize
    return longest <= _PLAIN_BYTES


class Packer:
    """Pickles the items of one job, or the values of one function."""

    def __init__(self, classes: ClassTable, *, snapshot: bool) -> None:
        """Create a packer.

        Args:
            classes: the class table to refer to.
            snapshot: copy large buffers at once. Items are copied, because the caller may change an array as
                soon as ``map`` has returned. Values are not, because they are sent before the next task runs.
        """
        self.size = 0
        """Bytes of what was pickled so far."""
        self._classes = classes
        self._snapshot = snapshot

    def pack(self, obj: Any) -> Packed | Plain:
        """Pickle one object, unless it is small and plain. Whatever the pickling raises goes through."""
        if is_plain(obj):
            return obj  # type: ignore[no-any-return]
        return _PACKED_NONE if obj is None else self.pickle(obj)

    def pack_item(self, obj: Any) -> Packed | Plain | Dependent:
        """Pickle an item, which may have values of other tasks in it. Whatever the pickling raises goes
        through.
        """
        packed, references = self.pack(obj), self._classes.references
        if references is None or not isinstance(packed, Packed):
            return packed
        return references.complete(packed)

    def pickle(self, obj: Any) -> Packed:
        """Pickle one object. Whatever the pickling raises goes through."""
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

        if self._classes.references is not None:
            self._classes.references.clear()
        file = io.BytesIO()
        pickler(file, self._classes, stays_in_band).dump(obj)
        packed = Packed(file.getvalue(), tuple(buffers))
        self.size += packed.size
        return packed


def pack_items(
    data: Iterable[Any], classes: ClassTable, style: Style = Style.ITEM, first: int = 0
) -> list[Packed | Plain | Dependent]:
    """Pickle items of a job.

    Args:
        data: the items.
        classes: the job's class table.
        style: how they become the arguments of the function.
        first: the number of the first of them.

    Raises:
        ItemNotPicklable: an item cannot be pickled; the message names it.
        ConfigError: they take half of the memory that was available.
        RuntimeError: a function that ``map`` or the like calls for an item has raised StopIteration.
    """
    packer = Packer(classes, snapshot=True)
    packed: list[Packed | Plain | Dependent] = []
    looked_at = 0

    def add(item: Any) -> None:
        nonlocal looked_at
        classes.source = first + len(packed)
        packed.append(_pack_item(packer, item, first + len(packed), style))
        if packer.size - looked_at >= _LOOK_BYTES:
            looked_at = packer.size
            _check_memory(len(packed), packer.size)
        if classes.generators:
            classes.end_item()

    source = iter(data)
    # Other data may yield one object again and again, changed: each item is pickled before the next is read.
    while type(source) in _CONTAINER_ITERATORS and (chunk := list(itertools.islice(source, _CHUNK))):
        if are_plain(chunk):
            packed += chunk
        else:
            for item in chunk:
                add(item)
    for item in read_items(source):
        if is_plain(item):
            packed.append(item)
        else:
            add(item)
    classes.source = None
    return packed


def _pack_item(packer: Packer, item: Any, number: int, style: Style) -> Packed | Plain | Dependent:
    try:
        return packer.pack_item(item)
    except (ConfigError, DependencyFailed, ValueReleased):  # of a future that cannot be used here
        raise
    except BaseException as error:
        what = _name_of_item(number, style)
        text = not_picklable_message(what, _for_message(item, style), error, in_item=True)
        raise ItemNotPicklable(text) from error


def _check_memory(count: int, size: int) -> None:
    """Check that the pickled items of a job leave room for more.

    Args:
        count: how many there are.
        size: their bytes.

    Raises:
        ConfigError: they take more than is still available.
    """
    from wrenlite.memory import available_bytes  # workers do not need it

    if size > available_bytes():
        raise ConfigError(
            f"the first {counted(count, 'item')} of data are {size / 2**30:.1f} GB pickled, which is half of "
            "the memory that was free. buffersize=100 reads the data while the values are read; or pass "
            "names of files in place of what is in them"
        )


def read_items(data: Iterable[Any]) -> Iterator[Any]:
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


def _for_message(item: Any, style: Style) -> object:
    """Return an item as its user gave it: those of ``submit`` and ``starmap`` as arguments."""
    if style is Style.FILLED:
        return item[0]
    if style is Style.CALL:
        args, kwargs = item
    elif style is Style.STAR and type(item) in (tuple, list, dict):
        args, kwargs = ((), item) if type(item) is dict else (item, {})
    else:
        return item
    numbered = {f"argument {number}": value for number, value in enumerate(args)}
    return Parts(numbered | {f"argument {name!r}": value for name, value in kwargs.items()})


def _name_of_item(index: int, style: Style) -> str:
    return "the call of submit" if style is Style.CALL else f"item {index}"


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
        # Jobs write these classes and functions later; where that fails, this is the place to say so.
        for entry in classes.entries:
            _cloud_pickler()(io.BytesIO(), ClassTable(grows=False), _stays_in_band).dump(entry)
    except BaseException as error:
        text = not_picklable_message(f"this {class_name(type(obj))}", obj, error)
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


class PickledCall:
    """A pickled function with what it closes over, followed by the class table of its job."""

    def __init__(self, call: Call, classes: ClassTable) -> None:
        """Pickle a function.

        Args:
            call: the function and its fixed arguments.
            classes: the job's class table.

        Raises:
            FunctionNotPicklable: it cannot be pickled; the message names the part that is the reason.
            ItemNotPicklable: the class of an item cannot be pickled; the message names both.
        """
        self._call = call
        self._file = io.BytesIO()
        self._pickler: Any = None
        self._written = classes.inherited
        self.blob = self.extended(classes)
        """The function with the entries of the table at the time."""
        self.holders: tuple[object, ...] = ()
        """What must not be freed while the function is needed: see ``Ref``."""
        if classes.references is not None:
            self.holders = tuple(classes.references.holders)
            classes.references.clear()

    def extended(self, classes: ClassTable) -> bytes:
        """Return the function as it was pickled, with all entries that the table has now. Raises as above."""
        if self._pickler is None and len(classes.entries) == self._written and self._is_name(classes):
            return pickle.dumps(tuple(self._call[:5]), 5) + _END_OF_ENTRIES
        try:
            with _in_function(classes.references):
                self._write(classes)
        except BaseException as error:
            raise _not_picklable(self._call, classes, error) from error
        return self._file.getvalue() + _END_OF_ENTRIES

    def _write(self, classes: ClassTable) -> None:
        if self._pickler is None:
            self._pickler = _cloud_pickler()(self._file, classes, _stays_in_band, defines_entries=True)
            self._pickler.dump(tuple(self._call[:5]))
        while self._written < len(classes.entries):  # pickling entries may add further entries
            entries = tuple(classes.entries[self._written :])
            self._written += len(entries)
            self._pickler.dump(entries)

    def _is_name(self, classes: ClassTable) -> bool:
        """Return whether this is nothing but a function that workers import: that takes no cloudpickle."""
        function, args, kwargs, _, seed, _ = self._call
        if args or kwargs or seed is not None or type(function) not in _NAMED or not is_importable(function):
            return False
        classes.require(function.__module__)
        return True


_END_OF_ENTRIES = pickle.dumps((), 5)
_NAMED = frozenset({types.FunctionType, types.BuiltinFunctionType})


@contextlib.contextmanager
def _in_function(references: References | None) -> Iterator[None]:
    """Record within the ``with`` block that a function is pickled, which has no values of other tasks."""
    if references is None:
        yield
        return
    references.clear()
    references.in_item = False
    try:
        yield
    finally:
        references.in_item = True


def pack_call(call: Call, classes: ClassTable) -> bytes:
    """Pickle a function with what it closes over, followed by the class table of its job: see above."""
    return PickledCall(call, classes).blob


def _not_picklable(call: Call, classes: ClassTable, error: BaseException) -> NotPicklable:
    """Return the error that names the function, or the item that has brought in a class, as the reason."""
    for entry, item in zip(classes.entries, classes.sources, strict=True):
        if item is not None and not is_picklable(entry):
            kind = "class" if isinstance(entry, type) else "function"
            what, parts = _name_of_item(item, call.style), Parts({f"{kind} {function_name(entry)}": entry})
            return ItemNotPicklable(not_picklable_message(what, parts, error))
    joined = isinstance(call.function, JoinedFunctions)
    for name, part in parts_of_call(call).items():
        if is_picklable(part):
            continue
        if name in ("args", "kwargs"):
            owner = f"{method_name(call.function, call.style)}({function_name(call.function)}, …)"
            text = not_picklable_message(f"{name}=", Parts({name: part}), error, owner=owner)
        else:
            what = f"{name}={function_name(part)}" if joined else f"the function {function_name(part)}"
            text = not_picklable_message(what, part, error)
        return FunctionNotPicklable(text)
    what = f"the function {function_name(call.function)}"
    return FunctionNotPicklable(not_picklable_message(what, parts_of_call(call), error))


def parts_of_call(call: Call) -> Parts:
    """Return a function and its fixed arguments by their names for a message."""
    functions = call.function.named() if isinstance(call.function, JoinedFunctions) else {"": call.function}
    return Parts({**functions, "args": call.args, "kwargs": call.kwargs})


def unpack_call(blob: Buffer, base: Sequence[object] = ()) -> Call:
    """Unpickle what ``pack_call`` pickled. Whatever importing and unpickling raise goes through.

    Args:
        blob: the pickled call.
        base: the class table of the worker's initializer.
    """
    unpickler = pickle.Unpickler(io.BytesIO(blob))
    table = list(base)
    with unpickling_with(base):
        function, args, kwargs, style, seed = unpickler.load()
        while entries := unpickler.load():
            table.extend(entries)
    return Call(function, args, kwargs, style, seed, table)


def method_name(function: object, style: Style) -> str:
    """Return the name of the method of an executor that takes a function of this style."""
    if isinstance(function, JoinedFunctions):
        return function.method
    return {Style.STAR: "starmap", Style.CALL: "submit"}.get(style, "map")


def function_name(function: Any) -> str:
    """Return a short name for messages: ``ndvi``, ``<lambda>``, ``partial(ndvi)``."""
    if isinstance(function, functools.partial):
        return f"partial({function_name(function.func)})"
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return str(name).rpartition("<locals>.")[2]


def _cloud_pickler() -> Any:
    from wrenlite.serialize.by_value import CloudPickler

    return CloudPickler
