"""Objects that are uploaded once and referred to by many tasks: ``executor.put(obj)`` gives a ``Ref``.

A ``Ref`` may be part of any argument, at any depth, or be closed over. On the worker the object itself
stands in its place: unpickling a ``Ref`` there fetches the object, once a worker. Anywhere else a ``Ref``
unpickles as a ``Ref``.
"""

from __future__ import annotations

import contextlib
import pickle
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from wrenlite.errors import NotFound
from wrenlite.protocol import ref_key
from wrenlite.serialize import framing
from wrenlite.serialize.pickling import pack_object
from wrenlite.storage.base import (
    Store,
    digest,
    get_verified,
)

_in_use = threading.local()


class Ref:
    """An object in the store. Pass it in place of the object; tasks get the object.

    The tasks of one worker share one object, so they must not change it: what one puts into a list or a dict
    of it, others find there. Arrays in it are read-only.
    """

    __slots__ = ("digest", "size")

    def __init__(self, digest: str, size: int) -> None:
        self.digest = digest
        self.size = size

    def __repr__(self) -> str:
        return f"<Ref {self.digest[:8]}, {self.size / 2**20:,.1f} MB>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _resolve, (self.digest, self.size)


class Parcel(NamedTuple):
    """An object on its way into the store."""

    ref: Ref
    blob: bytes
    modules: frozenset[str]
    """What its unpickling imports."""


def pack(obj: object) -> Parcel:
    """Pickle an object to be referred to. Raises ItemNotPicklable."""
    packed, modules = pack_object(obj)
    blob = framing.join(framing.frame(framing.portable(packed)))
    return Parcel(Ref(digest(blob), len(blob)), blob, frozenset(modules))


class Objects:
    """A worker's objects, fetched when they are first needed."""

    def __init__(self, store: Store, most_bytes: int, let_go: Callable[[], None]) -> None:
        """Args:
        store: where they lie.
        most_bytes: how much of them is kept, the ones used last; one at least.
        let_go: called when some have to go, for whoever else may hold them.
        """
        self.store = store
        self._most_bytes = most_bytes
        self._let_go = let_go
        self._kept: OrderedDict[str, tuple[Any, int]] = OrderedDict()

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """What this thread unpickles meanwhile has these in the place of its refs."""
        before = getattr(_in_use, "objects", None)
        _in_use.objects = self
        try:
            yield
        finally:
            _in_use.objects = before

    def get(self, wanted: str, size: int) -> Any:
        """The object with that digest and size. Raises NotFound, IntegrityError."""
        if wanted not in self._kept:
            self._make_room(size)
            self._kept[wanted] = self._fetch(wanted), size
        self._kept.move_to_end(wanted)
        return self._kept[wanted][0]

    def _make_room(self, size: int) -> None:
        held = sum(other for _, other in self._kept.values())
        if self._kept and held + size > self._most_bytes:
            self._let_go()
        while self._kept and held + size > self._most_bytes:
            _, (_, freed) = self._kept.popitem(last=False)
            held -= freed

    def _fetch(self, wanted: str) -> Any:
        try:
            blob = get_verified(self.store, ref_key(wanted), wanted)
        except NotFound as error:
            raise NotFound(f"{error}: the object of this Ref has expired; executor.put() it again") from None
        data, buffers = framing.parse(blob)
        return pickle.loads(data, buffers=buffers)


def store_in_use() -> Store:
    """The store of the worker that this thread is running a task of."""
    objects: Objects = _in_use.objects
    return objects.store


def _resolve(digest: str, size: int) -> Any:
    objects: Objects | None = getattr(_in_use, "objects", None)
    return Ref(digest, size) if objects is None else objects.get(digest, size)
