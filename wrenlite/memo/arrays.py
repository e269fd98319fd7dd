"""Arrays, scalars and dtypes of numpy as bytes. It is not imported here: who passes arrays has done that."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wrenlite.memo.values import Encoder

_RAW_KINDS = frozenset("biufcSUmM")
"""Kinds of dtypes whose memory is their value. Objects and texts of any length are pointers."""
_NAMED_KINDS = frozenset("biufcSUO")
"""Kinds of dtypes of which nothing counts but their text."""
_USER_DEFINED = 256
"""The first number of a dtype of another package, such as bfloat16."""


def write_array(encoder: Encoder, array: Any) -> bool:
    """Write an array as pickle would send it: dtype, shape, order (C or Fortran) and content.

    Returns:
        Whether this was an array, and of no derived class.
    """
    if type(array) is not sys.modules["numpy"].ndarray:
        return False
    if encoder.seen(array):
        return True
    flags, dtype = array.flags, array.dtype
    is_fortran = flags.f_contiguous and not flags.c_contiguous
    encoder.add_parts("array", dtype, array.shape, is_fortran, flags.writeable)
    if _is_raw(dtype):
        encoder.add_buffer(b"content", _bytes_of(array.T if is_fortran else array))
        if dtype.kind == "U" and encoder.read is not None:
            encoder.read(" ".join(array.reshape(-1).tolist()))
    else:
        encoder.add_items(b"elements", array.reshape(-1).tolist())
    return True


def write_scalar(encoder: Encoder, scalar: Any) -> bool:
    """Write a scalar, and return whether it was one that is not made of others."""
    numpy = sys.modules["numpy"]
    if not isinstance(scalar, numpy.generic) or scalar.dtype.kind not in _RAW_KINDS:
        return False
    encoder.add_buffer(b"scalar " + scalar.dtype.str.encode() + b" ", scalar.tobytes())
    return True


def write_dtype(encoder: Encoder, dtype: Any) -> None:
    """Write a dtype. Equal ones are written equally, whether they are one object or not."""
    is_plain = dtype.fields is None and dtype.subdtype is None and dtype.metadata is None
    if is_plain and dtype.kind in _NAMED_KINDS and dtype.num < _USER_DEFINED:
        encoder.add_parts("dtype", dtype.str)
    else:
        encoder.add_parts("dtype", *dtype.__reduce__())


def _is_raw(dtype: Any) -> bool:
    if dtype.subdtype is not None:
        return _is_raw(dtype.subdtype[0])
    if dtype.kind == "V":
        return all(_is_raw(field[0]) for field in (dtype.fields or {}).values())
    return dtype.kind in _RAW_KINDS


def _bytes_of(array: Any) -> Any:
    """Return the bytes of the elements in C order. They are copied only where they are not in that order."""
    numpy = sys.modules["numpy"]
    flat = numpy.ascontiguousarray(array).reshape(-1)
    return flat.view(numpy.uint8) if flat.nbytes else b""
