"""A scheduler for dask: ``dask.config.set(scheduler=wrenlite.dask_get)`` runs graphs on an executor.

A graph becomes one open job. Tasks that can run one after the other without a loss of parallelism are one
task of it. A task takes the values of others by reference, so these go from worker to worker, through the
store where they are large, and are deleted once the last task that takes them has ended. Only the values that
were asked for come to the client.

dask is imported when it is used, and not with wrenlite.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from wrenlite.dependencies import Shared
from wrenlite.errors import ConfigError, WrenliteError
from wrenlite.executor import Executor
from wrenlite.futures import Future
from wrenlite.interop.concurrent import ConcurrentExecutor
from wrenlite.interop.kept_executor import kept_executor
from wrenlite.open_job import OpenJob
from wrenlite.serialize.traceback_stubs import without_own_frames

Key = Hashable
"""The name of a task in a dask graph: a text, a number, or a tuple that begins with a text."""
Graph = dict[Key, Any]
"""The nodes of a dask graph, as objects of dask's class ``GraphNode``."""

_GROUPS_PER_SLOT = 8
"""Tasks are only joined while at least so many remain for each slot, if the graph has as many."""
_INLINE_BYTES = 16 << 10
"""Larger data that several tasks take is uploaded once."""
_AT_ONCE = 256
"""Tasks that are pickled before the first of them are sent."""


@without_own_frames
def dask_get(
    dsk: Any,
    keys: Any,
    executor: Executor | ConcurrentExecutor | None = None,
    *,
    optimize_graph: bool = True,
    callbacks: Iterable[Any] | None = None,
    pool: Executor | ConcurrentExecutor | None = None,
    initializer: Callable[[], object] | None = None,
    **_: Any,
) -> Any:
    """Compute keys of a dask graph on an executor. It is a dask scheduler, and dask calls it.

    ::

        dask.config.set(scheduler=wrenlite.dask_get)                       # on Executor()
        dask.config.set(scheduler=wrenlite.dask_get, pool=executor)        # on this one
        collection.compute(scheduler=wrenlite.dask_get, executor=executor)

    In a task, and on ``Executor.inline()``, the graph is computed in the calling thread.

    Args:
        dsk: a graph: a mapping, or any object of dask that has one.
        keys: a key, or a list of keys, which may be nested.
        executor: runs the tasks; default: ``pool``, that of ``dask.config``, or else an ``Executor()`` that
            is made once and kept.
        optimize_graph: join tasks into larger ones: chains, and small parts of a large graph.
        callbacks: as dask's schedulers take them; default: those that are registered with dask. ``pretask``
            is called when a task can run. ``posttask`` needs each value here, so that all of them come to
            this process.
        pool: as ``executor``: dask's name for it.
        initializer: a function that each worker calls first, on a local executor for this call alone;
            default: that of ``dask.config``. Where an executor is given, that has its own.

    Raises:
        ConfigError: what was given is no executor of wrenlite.
        WrenliteError: as for ``Executor.stream``. What a task raises is raised, with the key in a note.
    """
    import dask

    executor = executor or pool or dask.config.get("pool", None)
    initializer = initializer or dask.config.get("multiprocessing.initializer", None)
    with ExitStack() as stack:
        if executor is None and initializer is not None:
            executor = stack.enter_context(Executor.local(initializer=initializer))
        chosen = _chosen(executor)
        if chosen.backend.runs_in_caller:
            return dask.get(dsk, keys, callbacks=callbacks)
        with dask.callbacks.local_callbacks(callbacks) as registered:
            return _compute(chosen, dsk, keys, registered, optimize_graph)


def _compute(executor: Executor, dsk: Any, keys: Any, callbacks: Iterable[Any], join: bool) -> Any:
    """Compute keys of a graph: as ``dask_get``."""
    from dask.core import flatten
    from dask.local import nested_get

    wanted = set(flatten(keys)) if isinstance(keys, list) else {keys}
    graph, aliases = _graph(dsk, wanted, [start for start, *_ in callbacks if start])
    run = _Run(executor, graph, {aliases.get(key, key) for key in wanted})
    values = run.values(callbacks, join)
    values |= {alias: values[target] for alias, target in aliases.items() if target in values}
    return nested_get(keys, values)


def _chosen(executor: Any) -> Executor:
    """Return the executor to use.

    Args:
        executor: what was given; None: nothing.
    """
    if isinstance(executor, ConcurrentExecutor):
        return executor._executor
    if isinstance(executor, Executor):
        return executor
    if executor is not None:
        raise ConfigError(
            f"{executor!r:.80} is no wrenlite executor: pass one as executor= of dask_get, or set it by "
            "dask.config.set(pool=executor)"
        )
    return kept_executor()


def _graph(
    dsk: Any, wanted: set[Key], starts: Iterable[Callable[[Graph], object]]
) -> tuple[Graph, dict[Key, Key]]:
    """Return the part of a graph that these keys need, without aliases, and the aliases with their targets.

    Args:
        dsk: a graph, as dask passes it.
        wanted: the keys.
        starts: the callbacks that take the graph before it is run, and may put values into it.
    """
    from dask._task_spec import Alias, convert_legacy_graph, cull

    graph = convert_legacy_graph(dsk if isinstance(dsk, Mapping) else dsk.__dask_graph__())
    for start in starts:
        start(graph)
    graph = cull(convert_legacy_graph(graph) if starts else graph, wanted)
    aliases = {key: node.target for key, node in graph.items() if type(node) is Alias}
    for alias, target in aliases.items():
        seen = {alias}
        while target in aliases and target not in seen:
            seen.add(target)
            target = aliases[target]
        if target in seen:
            raise RuntimeError(f"Cycle detected between the following keys: {sorted(map(repr, seen))}")
        aliases[alias] = target
    if not aliases:
        return graph, aliases
    nodes = {
        key: node if aliases.keys().isdisjoint(node.dependencies) else node.substitute(aliases)
        for key, node in graph.items()
        if key not in aliases
    }
    return nodes, aliases


def groups_of(
    graph: Graph, places: Mapping[Key, int], wanted: set[Key], most: int | None
) -> dict[Key, list[Key]]:
    """Join tasks of a graph into groups, each of which has one value: that of its last task.

    A task is joined with those whose values it takes if nobody else takes these, so that they need not
    leave the worker. It waits for no others then, so no task starts later for it. What gets lost is
    parallelism, unless there is only one of them. So the size of the group is limited where there are more.

    Args:
        graph: the graph.
        places: the place of each key in an order in which the tasks can run.
        wanted: the keys whose values are asked for.
        most: the most tasks of a group that is no chain; None: nothing is joined.

    Returns:
        The keys of each group, in an order in which they can run, by the last of them.
    """
    takers = Counter(itertools.chain.from_iterable(node.dependencies for node in graph.values()))
    groups: dict[Key, list[Key]] = {}
    for key in sorted(graph, key=places.__getitem__):
        if not is_task(graph[key]):
            continue
        sources = [each for each in graph[key].dependencies if is_task(graph[each])]
        sources.sort(key=places.__getitem__)
        size = 1 + sum(len(groups.get(each, ())) for each in sources)
        fits = most is not None and (len(sources) == 1 or size <= most)
        if fits and all(takers[each] == 1 and each not in wanted for each in sources):
            groups[key] = [*itertools.chain.from_iterable(map(groups.pop, sources)), key]
        else:
            groups[key] = [key]
    return groups


def is_task(node: Any) -> bool:
    """Return whether a node of a graph is a task, and not data."""
    from dask._task_spec import DataNode

    return type(node) is not DataNode


def dask_tasks(nodes: list[Any], values: dict[Key, Any]) -> Any:
    """Run tasks of a dask graph one after the other, and return the value of the last one.

    Graphs that they compute themselves run in the same thread.

    Args:
        nodes: the tasks. Each takes values of those before it, which no other one takes.
        values: the values that they take of other tasks.
    """
    import dask

    own: set[Key] = set()
    with dask.config.set(scheduler="synchronous"):
        for node in nodes:
            try:
                value = node(values)
            except Exception as error:
                error.add_note(f"wrenlite: it was raised by the dask task {node.key!r}")
                raise
            for key in own.intersection(node.dependencies):
                del values[key]
            values[node.key] = value
            own.add(node.key)
    return value


class _Run:
    """One graph on its way through an executor."""

    def __init__(self, executor: Executor, graph: Graph, wanted: set[Key]) -> None:
        from dask.order import order

        self._executor = executor
        self._graph = graph
        self._wanted = wanted
        self._places = order(graph)

    def values(self, callbacks: Iterable[Any], join: bool) -> dict[Key, Any]:
        """Run the graph, and return the values that are asked for.

        Args:
            callbacks: those of dask.
            join: whether tasks are joined into larger ones.
        """
        graph = self._graph
        most = max(1, len(graph) // (self._executor.workers * _GROUPS_PER_SLOT)) if join else None
        groups = groups_of(graph, self._places, self._wanted, most)
        values = {key: graph[key].value for key in self._wanted if key not in groups}
        with _told(callbacks, graph, groups, self._wanted, self._places.__getitem__) as told:
            if groups:
                self._run(groups, values, told)
        return values

    def _run(self, groups: dict[Key, list[Key]], values: dict[Key, Any], told: _Told) -> None:
        sources = {key: _outside(self._graph, keys) for key, keys in groups.items()}
        takers = Counter(itertools.chain.from_iterable(sources.values()))
        names = list(groups)
        numbers = {key: number for number, key in enumerate(names)}
        job = self._executor.stream(dask_tasks, keep=True)
        try:
            calls = self._calls(groups, sources, takers, partial(_future, job, numbers))
            while chunk := list(itertools.islice(calls, _AT_ONCE)):
                job._add_all(chunk)
            job.close()
            for future in job.as_completed():
                key = names[future.index]
                # Asking for a value brings it here: that of a task that has none raises its exception.
                is_needed = key in self._wanted or told.needs_values or job.state(future.index) != "done"
                value = _result(future, key) if is_needed else None
                told.ended(key, future, value)
                if key in self._wanted:
                    values[key] = value
                takers.subtract(sources[key])
                over = [numbers[each] for each in sources[key] if not takers[each] and each in numbers]
                self._executor._submission.forget_values(job, over)
        except BaseException:
            job.cancel()
            raise

    def _calls(
        self,
        groups: dict[Key, list[Key]],
        sources: dict[Key, set[Key]],
        takers: Mapping[Key, int],
        future: Callable[[Key], Future[Any] | None],
    ) -> Iterator[tuple[Any, Any]]:
        """Yield the arguments of ``dask_tasks`` for each group.

        Args:
            groups: as ``groups_of`` returns them.
            sources: the keys whose values each group takes.
            takers: the number of groups that take the value of each key.
            future: returns the future of a group; None where the key is that of data.
        """
        data: dict[Key, Any] = {}
        for key, keys in groups.items():
            values: dict[Key, Any] = {}
            for source in sources[key]:
                if (made := future(source)) is not None:
                    values[source] = made if takers[source] == 1 else Shared(made)
                    continue
                if source not in data:
                    data[source] = self._data(source, takers[source])
                values[source] = data[source]
            yield ([self._graph[each] for each in keys], values), {}

    def _data(self, key: Key, takers: int) -> Any:
        """Return data of the graph as tasks get it: itself, or a reference where it is large.

        Args:
            key: its key.
            takers: the number of groups that take it.
        """
        from dask.sizeof import sizeof

        value = self._graph[key].value
        return (
            self._executor._submission.put(value, temporary=True)
            if takers > 1 and sizeof(value) > _INLINE_BYTES
            else value
        )


def _result(future: Future[Any], key: Key) -> Any:
    """Return the value of a task, or raise its error, which names the key where no task could do that."""
    try:
        return future.result()
    except WrenliteError as error:
        error.add_note(f"wrenlite: it runs the dask task {key!r}")
        raise


def _outside(graph: Graph, keys: list[Key]) -> set[Key]:
    """Return the keys of other tasks whose values a group takes."""
    taken = itertools.chain.from_iterable(graph[key].dependencies for key in keys)
    return set(taken).difference(keys)


def _future(job: OpenJob[Any], numbers: Mapping[Key, int], key: Key) -> Future[Any] | None:
    number = numbers.get(key)
    return None if number is None else job._make_future(number)


class _Told:
    """What dask's callbacks are told of a run: the graph as it is run, and dask's record of its state."""

    needs_values = False
    """Whether the values of all tasks are wanted here."""

    def ended(self, key: Key, future: Future[Any], value: Any) -> None:
        """Tell that a task has ended.

        Args:
            key: its key.
            future: its future.
            value: its value; None where that is not needed.
        """


class _ToldState(_Told):
    """As ``_Told``, where there are callbacks."""

    def __init__(
        self, callbacks: Sequence[Sequence[Any]], graph: Graph, wanted: set[Key], place: Callable[[Key], int]
    ) -> None:
        """Tell that a run begins.

        Args:
            callbacks: dask's callbacks, each as its five functions.
            graph: the graph as it is run.
            wanted: the keys whose values are asked for.
            place: returns the place of a key in the order of the tasks.
        """
        from dask.local import start_state_from_dask

        self._graph = graph
        self._wanted = wanted
        self._place = place
        _, starts, self._before, self._after, _ = (
            [each for each in column if each] for column in zip(*callbacks, strict=True)
        )
        self.needs_values = bool(self._after)
        self.state: dict[str, Any] = start_state_from_dask(graph, cache={}, sortkey=place, keys=wanted)
        for start in starts:
            start(graph, self.state)
        self._start_ready()

    def _start_ready(self) -> None:
        while self.state["ready"]:
            key = self.state["ready"].pop()
            self.state["running"].add(key)
            for tell in self._before:
                tell(key, self._graph, self.state)

    def ended(self, key: Key, future: Future[Any], value: Any) -> None:
        """As that of ``_Told``."""
        from dask.local import finish_task

        self.state["cache"][key] = value
        finish_task(self._graph, key, self.state, self._wanted, self._place)
        for tell in self._after:
            tell(key, value, self._graph, self.state, future.stats().worker)
        self._start_ready()


@contextlib.contextmanager
def _told(
    callbacks: Iterable[Any],
    graph: Graph,
    groups: dict[Key, list[Key]],
    wanted: set[Key],
    place: Callable[[Key], int],
) -> Iterator[_Told]:
    """Tell dask's callbacks of a run that goes on in the ``with`` block, and of how it has ended."""
    from dask._task_spec import GraphNode

    callbacks, told = list(callbacks), _Told()
    if not callbacks:
        yield told
        return
    joined = {key: node for key, node in graph.items() if not is_task(node)}
    joined |= {key: GraphNode.fuse(*map(graph.__getitem__, keys), key=key) for key, keys in groups.items()}
    failed = True
    try:
        told = _ToldState(callbacks, joined, wanted, place)
        yield told
        failed = False
    finally:
        for *_, finish in callbacks:
            if finish:
                finish(joined, getattr(told, "state", {}), failed)
