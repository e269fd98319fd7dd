"""Objects in the store that many tasks refer to: ``executor.put(obj)`` uploads one and returns a ``Ref``.

``job.refs()`` returns those of the values that tasks have left in the store. A ``Ref`` may be part of any
argument, at any depth, or be closed over. When a worker unpickles a ``Ref``, it fetches the object, once per
worker, and the task gets the object itself. In any other process a ``Ref`` unpickles as a ``Ref``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from wrenlite.errors import NotFound
from wrenlite.protocol import Packed, Plain, Stored, ref_key, values_prefix
from wrenlite.serialize import framing
from wrenlite.serialize.by_reference import ByReference, References
from wrenlite.serialize.class_table import ClassTable
from wrenlite.serialize.pickling import pack_object, unpack
from wrenlite.serialize.traceback_stubs import public
from wrenlite.serialize.unpickling_context import context
from wrenlite.storage.base import Store, get_verified, place_of
from wrenlite.storage.lru import LruCache
from wrenlite.texts import sized


@public
class Ref(ByReference):
    """An object in the store, or a small value of a task. Pass it in place of the object, which tasks get.

    The tasks of one worker share one object, so they must not change it: what one task puts into a list or a
    dict, the next tasks find there. Arrays in the object are read-only.
    """

    __slots__ = ("_holder", "_value", "definitions", "digest", "modules", "size")

    def __init__(
        self,
        value: Packed | Stored | Plain,
        definitions: Sequence[object] = (),
        holder: object = None,
        modules: frozenset[str] | None = None,
    ) -> None:
        """Create a reference. ``executor.put`` and ``job.refs`` do this.

        Args:
            value: where the pickled object is stored, or the pickled object itself.
            definitions: the classes and functions that the pickle refers to by number. A ``Ref`` brings them
                into the class table of each job that it is passed to, so that the object's class is the one
                that the job's function knows.
            holder: what must not be freed while the object is needed; None: the object stays where it is.
            modules: names of the modules that unpickling it imports; None: they are not known.
        """
        stored = value if isinstance(value, Stored) else place_of(framing.blob_of(value), "")
        self._value = value
        self._holder = holder
        self.digest = stored.digest
        """The SHA-256 digest of the object's pickle."""
        self.size = stored.size
        """The size of that pickle in bytes."""
        self.definitions = tuple(definitions)
        self.modules = modules

    def __repr__(self) -> str:
        place = " in the store" if isinstance(self._value, Stored) else ""
        return f"<Ref to an object of {sized(self.size)}{place}, {self.digest[:8]}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _resolve, (framing.to_wire(self._value), self.definitions)

    def __copy__(self) -> Ref:
        return self

    def __deepcopy__(self, _: object) -> Ref:
        return self

    def _refer(self, references: References) -> tuple[Any, ...]:
        references.uses_store |= isinstance(self._value, Stored)
        if self._holder is not None:
            references.holders.append(self._holder)
        return self.__reduce__()

    if not TYPE_CHECKING:  # to type checkers, an unknown name stays an error

        def __getattr__(self, name: str) -> NoReturn:
            from wrenlite import other_names  # not at the start of a worker

            raise other_names.missing_attribute(self, name, other_names.REF)


class Kept:
    """Lives as long as what a job has in the store may be needed: the job, its refs and tasks hold it."""

    def __init__(self, holders: tuple[object, ...] = ()) -> None:
        """Create one that has other such objects live as long."""
        self.holders = holders


class PackedObject(NamedTuple):
    """A pickled object that is to be uploaded."""

    ref: Ref
    key: str
    blob: bytes
    holder: object
    """What must not be freed while the object is needed."""
    modules: frozenset[str]
    """Names of the modules that unpickling it imports."""


def pack(obj: object, job: str | None = None) -> PackedObject:
    """Pickle an object that tasks will refer to.

    Args:
        obj: any object.
        job: the object belongs to this job, and is stored where its values are; None: to no job.

    Raises:
        ItemNotPicklable: it cannot be pickled.
    """
    classes = ClassTable(grows=True)
    classes.references = References()
    packed = pack_object(obj, classes)
    holders = tuple(classes.references.holders)
    blob = framing.blob_of(packed)
    stored = place_of(blob, "")
    key = ref_key(stored.digest) if job is None else values_prefix(job) + stored.digest
    holder = (holders or None) if job is None else Kept(holders)
    modules = frozenset(classes.modules)
    ref = Ref(stored._replace(key=key), classes.entries, holder, modules)
    return PackedObject(ref, key, blob, holder, modules)


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

    def get(self, stored: Stored, definitions: Sequence[object] = ()) -> Any:
        """Return an object, which is fetched where it is not in the cache.

        Args:
            stored: where its pickle is stored.
            definitions: the classes and functions that its pickle refers to by number. Each job has its own
                copies of them, and so its own object, but the pickle is fetched once.

        Raises:
            NotFound: the object is not in the store.
            IntegrityError: the stored object has another digest.
        """
        key = stored.digest, tuple(map(id, definitions))
        kept = self._objects.get(key, None)
        if kept is None:
            obj = unpack(self._pickle(stored, keep=bool(definitions)), definitions)
            kept = obj, definitions  # an id is a valid key only while its object lives
            self._objects.put(key, kept, stored.size)
        return kept[0]

    def _pickle(self, stored: Stored, *, keep: bool) -> Packed | Plain:
        """Return the pickle of an object: the stream and its buffers, which arrays in the object share."""
        packed: Packed | Plain | None = self._objects.get(stored.digest, None)
        if packed is None:
            if self._objects.make_room(stored.size):
                self._on_eviction()
            packed = framing.from_blob(self._fetch(stored))
            if keep:
                self._objects.put(stored.digest, packed, stored.size)
        return packed

    def _fetch(self, stored: Stored) -> bytes:
        try:
            return get_verified(self.store, stored.key, stored.digest)
        except NotFound as error:
            is_put = stored.key == ref_key(stored.digest)
            advice = "Call executor.put() again, and pass the new Ref" if is_put else "Run its job again"
            raise NotFound(f"{error}: the object of this Ref has expired. {advice}") from None


def current_objects() -> ObjectCache:
    """Return the objects of the worker that runs a task in this thread."""
    objects = context.objects
    assert isinstance(objects, ObjectCache), "only a worker's runner calls tasks"
    return objects


def current_store() -> Store:
    """Return the store of the worker that runs a task in this thread."""
    return current_objects().store


def _resolve(sent: Any, definitions: Sequence[object]) -> Any:
    """Unpickle a ``Ref``: as the object on a worker, otherwise as itself."""
    value, objects = framing.from_wire(sent), context.objects
    if objects is None:
        return Ref(value, definitions)
    return objects.get(value, definitions) if isinstance(value, Stored) else unpack(value, definitions)
