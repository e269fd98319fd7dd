"""``map(…, cache=True)``: what one job has of earlier jobs, and what it leaves to later ones."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from wrenlite.backends.base import Backend
from wrenlite.config import Config
from wrenlite.errors import NotDigestible, StoreError
from wrenlite.map_reduce import MapThenReduce
from wrenlite.memo.blobs import Blobs, Owner
from wrenlite.memo.cache import Cache, cache_of
from wrenlite.memo.digest import Digest, Items, digest_of_call
from wrenlite.memo.found import NO_HITS, Hits
from wrenlite.memo.hits import Definitions, Finder
from wrenlite.memo.keeping import Keeper
from wrenlite.memo.packages import versions_where_tasks_run
from wrenlite.notices import warn
from wrenlite.protocol import Packed, Plain
from wrenlite.serialize.by_reference import Dependent
from wrenlite.serialize.initializers import is_as_sent
from wrenlite.serialize.pickling import Call, function_name, read_items
from wrenlite.texts import counted

_KEY_BYTES = 20
_CONTAINER_ITERATORS = frozenset({type(iter([])), type(iter(())), type(iter(range(0)))})
"""Iterating over these runs no code that could change what the function depends on."""
_USED_TOGETHER = 1_000
"""Values that are read one by one, whose use is written down together."""


class Remembered:
    """The kept values of one job: those that it finds, and those that it leaves."""

    def __init__(self, cache: Cache, backend: Backend, call: Call, digest: Callable[[], Digest]) -> None:
        """Create it before the items are read.

        Args:
            cache: has the values.
            backend: what the job runs on.
            call: the function.
            digest: computes what the digests of all its calls begin with.

        Raises:
            NotDigestible: the calls have no digest.
        """
        self.keys: list[bytes | None] = []
        """The digest of each call, by task number; None: it has none."""
        self.keeper: Keeper | None = None
        """Keeps the values of the job; None: before ``find``, or where the index cannot be used."""
        self._cache = cache
        function = _mapped(call)
        self._name, self._label = function_name(function), label(function)
        self._compute = digest
        self._digest = digest()
        self._items = Items(self._digest)
        self._runs_code = False
        self._blobs = Blobs(cache.folder, backend.store, "" if backend.own_store else repr(backend.store))
        self._first_error = ""
        self._finder: Finder | None = None
        self._number = 0
        self._table: Sequence[object] = ()
        self._defined = 0
        self._waiting: dict[int, bytes] = {}
        self._used: list[bytes] = []
        self._has_warned = False

    def watch(self, data: Iterable[Any]) -> Iterator[Any]:
        """Yield the items, after the digest of each was computed."""
        source = iter(data)
        self._runs_code = type(source) not in _CONTAINER_ITERATORS
        for item in read_items(source):
            self.keys.append(self._key(item, len(self.keys)))
            yield item

    def _key(self, item: Any, task: int) -> bytes | None:
        try:
            return bytes.fromhex(self._items.digest_of(item, task))[:_KEY_BYTES]
        except NotDigestible as error:
            self._first_error = self._first_error or str(error)
            return None

    def find(self, packed: Sequence[Packed | Plain | Dependent], table: Sequence[object]) -> Hits:
        """Return the values that there are, and get ready to keep the others.

        Args:
            packed: the items, as they are sent.
            table: the class table of the job.
        """
        for task, item in enumerate(packed):
            if isinstance(item, Dependent):
                self.keys[task] = None
                self._first_error = self._first_error or f"item {task} takes the value of another task"
        if self._first_error:
            self._warn(self._first_error)
        if self._runs_code and self._compute().hex != self._digest.hex:
            warn(f"cache=True: reading the data has changed what {self._name} depends on: no value is kept")
            return NO_HITS
        try:
            owner = self._define(table)
            hits = self._finder_of_job.find(self.keys)
        except StoreError as error:
            warn(f"cache=True: {error}. This job runs without kept values")
            return NO_HITS
        self.keeper = Keeper(self._cache, self._blobs, owner, self._key_of)
        return hits

    def _define(self, table: Sequence[object]) -> Owner:
        """Take notice of the class table of the job, and return what its values belong to."""
        index, parts = self._cache.index, json.dumps(dict(self._digest.parts))
        self._number = index.call(self._digest.hex, self._label, parts)
        definitions = Definitions(table, self._items)
        self._finder = Finder(self._cache, self._blobs, definitions)
        return Owner(self._number, index.add_definitions(definitions.text) if definitions.are_known else None)

    @property
    def _finder_of_job(self) -> Finder:
        assert self._finder is not None
        return self._finder

    def _key_of(self, task: int) -> bytes | None:
        return self.keys[task] if task < len(self.keys) else None  # a reduction has none

    def _warn(self, reason: str) -> None:
        count = self.keys.count(None)
        whose = "the value of one item is" if count == 1 else f"the values of {counted(count, 'item')} are"
        warn(f"cache=True: {whose} not kept: {reason}")

    # Items that are read one by one

    def begin(self, table: Sequence[object]) -> Hits:
        """Get ready for items that are read one by one, and return no values.

        Args:
            table: the class table of the job, which may grow.
        """
        self._table, self.keys = table, []
        try:
            self.keeper = Keeper(self._cache, self._blobs, self._define(table), self._take_key)
            self._defined = len(table)
        except StoreError as error:
            self._give_up(error)
        return NO_HITS

    def value_of(self, item: Any, task: int) -> Packed | Plain | None:
        """Return the value that there is for an item; None: its task runs, and its value is kept."""
        if self.keeper is None:
            return None
        key = self._key(item, task)
        if key is None:
            if not self._has_warned:
                warn(f"cache=True: values of items are not kept: {self._first_error}")
            self._has_warned = True
            return None
        try:
            value = self._finder_of_job.value(key)
        except StoreError as error:
            self._give_up(error)
            return None
        if value is None:
            self._waiting[task] = key
        else:
            self._used.append(key)
            if len(self._used) >= _USED_TOGETHER:
                self.end()
        return value

    def sent(self) -> None:
        """Take notice that an item was pickled, which may have brought classes into the table."""
        if self.keeper is not None and len(self._table) > self._defined:
            self.keeper.owner, self._defined = self._define(self._table), len(self._table)

    def end(self) -> None:
        """Write down which values were used."""
        if self._used:
            self._cache.use(self._used)
            self._used = []

    def _take_key(self, task: int) -> bytes | None:
        return self._waiting.pop(task, None)

    def _give_up(self, error: StoreError) -> None:
        self.keeper = None
        warn(f"cache=True: {error}. This job goes on without kept values")

    # Values that are gone, and runs

    def run_again_by(self, compute: Callable[[Sequence[int]], Callable[[int], Packed | Plain]]) -> None:
        """Have values that are gone computed by a function, which is called with the tasks."""
        assert self._finder is not None
        self._finder.compute = compute

    def check_code(self) -> None:
        """Keep no values of the job if its code has changed while the items were read."""
        if self.keeper is not None and not self._digest.is_current():
            why = "its code has changed while the items were read"
            warn(f"cache=True: the values of {self._name} are not kept, since {why}")
            self.keeper = None

    def note_run(self, job: str, tasks: int, cached: int) -> None:
        """Write down that the job was submitted, for ``wrenlite cache --why``."""
        if self.keeper is not None:
            try:
                self._cache.index.add_run(job, self._number, tasks, cached)
            except StoreError as error:
                warn(f"cache=True: {error}")


def remembered(
    config: Config,
    backend: Backend,
    call: Call,
    env: Mapping[str, str],
    modules: Iterable[str],
    also_sent: Iterable[str],
    environments: Sequence[Mapping[str, str] | None],
) -> Remembered | None:
    """Return the kept values of a job; None, after a warning, where its calls have no digest.

    Args:
        config: says where the values are.
        backend: what the job runs on.
        call: the function with its fixed arguments.
        env: the environment variables of the tasks.
        modules: the names of the modules of the option ``modules=``.
        also_sent: the names of the modules that earlier jobs have sent.
        environments: the environment variables of all workers that the tasks may run on.
    """
    function = _mapped(call)
    name = function_name(function)
    first = backend.class_table
    if first is not None and not is_as_sent(first):
        why = "has changed since it was sent"
        warn(f"cache=True: the values of {name} are not kept, since the initializer of the executor {why}")
        return None
    digest = partial(
        digest_of_call,
        function,
        args=call.args,
        kwargs=call.kwargs,
        style=call.style,
        seed=call.seed,
        env=env,
        modules=modules,
        versions=versions_where_tasks_run(backend),
        python=f"{sys.version_info[0]}.{sys.version_info[1]}",
        also_sent=also_sent,
        environments=environments,
        initializer=first.initializer[:2] if first is not None and first.initializer else None,
    )
    try:
        return Remembered(cache_of(config), backend, call, digest)
    except NotDigestible as error:
        warn(f"cache=True: the values of {name} are not kept: {error}")
        return None


def _mapped(call: Call) -> Callable[..., Any]:
    """Return the function whose values are kept: of a map and a reduction, that of the map."""
    return call.function.mapper if isinstance(call.function, MapThenReduce) else call.function


def label(function: Callable[..., Any]) -> str:
    """Return the name of a function with the file that it is in, or with its module where that has none."""
    name = function_name(function)
    module = getattr(function, "__module__", None)
    file = getattr(sys.modules.get(str(module)), "__file__", None)
    if file:
        return f"{os.path.abspath(file)}:{name}"
    return name if module in ("__main__", None) else f"{module}.{name}"
