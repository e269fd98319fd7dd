"""Objects that are uploaded once and referred to by many tasks: ``executor.put(obj)`` returns a ``Ref``.

A ``Ref`` may be part of any argument, at any depth, or be closed over. When a worker unpickles a ``Ref``, it
fetches the object, once per worker, and the task gets the object itself. In any other process a ``Ref``
unpickles as a ``Ref``.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from wrenlite.errors import NotFound
from wrenlite.protocol import ref_key
from wrenlite.serialize import framing
from wrenlite.serialize.class_table import ClassTable
from wrenlite.serialize.pickling import pack_object
from wrenlite.serialize.traceback_stubs import public
from wrenlite.serialize.unpickling_context import context, unpickling_with
from wrenlite.storage.base import Store, digest, get_verified
from wrenlite.storage.lru import LruCache
from wrenlite.texts import sized


@public
class Ref:
    """An object in the store. Pass it in place of the object; tasks get the object.

    The tasks of one worker share one object, so they must not change it: what one task puts into a list or a
    dict, the next tasks find there. Arrays in the object are read-only.
    """

    __slots__ = ("definitions", "digest", "size")

    def __init__(self, digest: str, size: int, definitions: Sequence[object] = ()) -> None:
        """Create a reference. ``executor.put`` does this.

        Args:
            digest: the SHA-256 digest of the object's pickle.
            size: the size of that pickle in bytes.
            definitions: the classes and functions that the pickle refers to by number. A ``Ref`` brings them
                into the class table of each job that it is passed to, so that the object's class is the one
                that the job's function knows.
        """
        self.digest = digest
        self.size = size
        self.definitions = tuple(definitions)

    def __repr__(self) -> str:
        return f"<Ref to an object of {sized(self.size)} in the store, {self.digest[:8]}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _resolve, (self.digest, self.size, self.definitions)

    if not TYPE_CHECKING:  # to type checkers, an unknown name stays an error

        def __getattr__(self, name: str) -> NoReturn:
            from wrenlite import other_names  # not at the start of a worker

            raise other_names.missing_attribute(self, name, other_names.REF)


class PackedObject(NamedTuple):
    """A pickled object that is to be uploaded."""

    ref: Ref
    blob: bytes
    modules: frozenset[str]
    """Names of the modules that unpickling it imports."""


def pack(obj: object) -> PackedObject:
    """Pickle an object that tasks will refer to.

    Args:
        obj: any object.

    Raises:
        ItemNotPicklable: it cannot be pickled.
    """
    classes = ClassTable(grows=True)
    packed = pack_object(obj, classes)
    blob = framing.join(framing.frame(framing.to_wire(packed)))
    return PackedObject(Ref(digest(blob), len(blob), classes.entries), blob, frozenset(classes.modules))


class ObjectCache:
    """The objects behind refs on one worker, fetched when a task first needs them."""

    def __init__(self, store: Store, limit_bytes: int, on_eviction: Callable[[], None]) -> None:
        """Create an empty cache.

        Args:
            store: the store of the objects.
            limit_bytes: the most bytes of pickles whose objects are kept. A single larger object is kept too.
            on_eviction: called when objects are dropped to make room, to drop other references to them.
        """
        self.store = store
        self._objects: LruCache[Any, Any] = LruCache(limit_bytes)
        self._on_eviction = on_eviction

    def get(self, digest: str, size: int, definitions: Sequence[object] = ()) -> Any:
        """Return an object, which is fetched where it is not in the cache.

        Args:
            digest: the SHA-256 digest of its pickle.
            size: the size of its pickle in bytes.
            definitions: the classes and functions that its pickle refers to by number. Each job has its own
                copies of them, and so its own object, but the pickle is fetched once.

        Raises:
            NotFound: the object is not in the store.
            IntegrityError: the stored object has another digest.
        """
        key = digest, tuple(map(id, definitions))
        kept = self._objects.get(key, None)
        if kept is None:
            data, buffers = self._pickle(digest, size, keep=bool(definitions))
            with unpickling_with(definitions):
                obj = pickle.loads(data, buffers=buffers)
            kept = obj, definitions  # an id is a valid key only while its object lives
            self._objects.put(key, kept, size)
        return kept[0]

    def _pickle(self, digest: str, size: int, *, keep: bool) -> Any:
        """Return the pickle of an object: the stream and its buffers, which arrays in the object share."""
        parsed = self._objects.get(digest, None)
        if parsed is None:
            if self._objects.make_room(size):
                self._on_eviction()
            parsed = framing.parse(self._fetch(digest))
            if keep:
                self._objects.put(digest, parsed, size)
        return parsed

    def _fetch(self, digest: str) -> bytes:
        try:
            return get_verified(self.store, ref_key(digest), digest)
        except NotFound as error:
            raise NotFound(
                f"{error}: the object of this Ref has expired. Call executor.put() again, and pass the new "
                "Ref"
            ) from None


def current_store() -> Store:
    """Return the store of the worker that runs a task in this thread."""
    objects = context.objects
    assert isinstance(objects, ObjectCache), "only a worker's runner calls tasks"
    return objects.store


def _resolve(digest: str, size: int, definitions: Sequence[object]) -> Any:
    """Unpickle a ``Ref``: as the object on a worker, otherwise as itself."""
    objects = context.objects
    return Ref(digest, size, definitions) if objects is None else objects.get(digest, size, definitions)
