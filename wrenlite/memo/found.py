"""The values that a job begins with, as it takes them over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from wrenlite.protocol import Packed, Plain, Stored


class Hits(NamedTuple):
    """The values that a job begins with."""

    values: Mapping[int, Packed | Stored | Plain]
    """By task number. What is ``Stored`` is read by ``readers``."""
    tables: Mapping[int, Sequence[object]]
    """The class tables of those that refer to another one than that of the job."""
    readers: Mapping[int, Callable[[Callable[[], object]], Packed | Plain]]
    """Each takes what is to be called before a request to the store."""


NO_HITS = Hits(MappingProxyType({}), MappingProxyType({}), MappingProxyType({}))
"""No values."""
