"""Whether an object can be pickled by value, and how many bytes its pickle has."""

from __future__ import annotations

import io
from typing import Any

from wrenlite.serialize.class_table import ClassTable
from wrenlite.serialize.signals import raise_if_interrupting


class _Counter(io.BytesIO):
    """A file that only counts what is written, so that a large object is not copied."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def write(self, data: Any) -> int:
        """Count some bytes."""
        size = memoryview(data).nbytes
        self.bytes += size
        return size


def is_picklable(obj: object) -> bool:
    """Return whether an object can be pickled by value."""
    return pickling_error(obj) is None


def pickling_error(obj: object) -> BaseException | None:
    """Return the exception of pickling an object by value; None where it can be pickled."""
    try:
        _pickled_bytes(obj, in_band=False)
    except BaseException as error:  # of the object's own code
        raise_if_interrupting(error)
        return error
    return None


def size_of(obj: object) -> int:
    """Return how many bytes the pickle of an object has; 0 where it cannot be pickled."""
    try:
        return _pickled_bytes(obj, in_band=True)
    except BaseException as error:  # of the object's own code
        raise_if_interrupting(error)
        return 0


def _pickled_bytes(obj: object, *, in_band: bool) -> int:
    from wrenlite.serialize.by_value import CloudPickler

    file = _Counter()
    CloudPickler(file, ClassTable(grows=False), lambda _: in_band).dump(obj)
    return file.bytes
