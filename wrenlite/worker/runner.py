"""Runs the tasks of a request, in order: the only code that calls a user's function, everywhere."""

from __future__ import annotations

import contextlib
import os
import pickle
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, NamedTuple

from wrenlite.errors import (
    BackendError,
    IntegrityError,
    NotFound,
    OutOfMemory,
    RemoteError,
    ResultNotPicklable,
    ServiceUnavailable,
    StoreError,
    WorkerDied,
)
from wrenlite.map_reduce import MapThenReduce
from wrenlite.protocol import (
    Cause,
    Missing,
    Outcome,
    Packed,
    Refused,
    Request,
    Stored,
    Style,
    Throttled,
    code_key,
    result_key,
)
from wrenlite.serialize import framing
from wrenlite.serialize.class_table import Names, resolving
from wrenlite.serialize.exceptions import pack_failure
from wrenlite.serialize.modules import Shipped
from wrenlite.serialize.pickling import (
    Call,
    Packer,
    explain,
    function_name,
    unpack_call,
)
from wrenlite.storage.base import (
    Store,
    digest,
    get_verified,
)
from wrenlite.storage.refs import Objects

_OWN = frozenset({__name__, MapThenReduce.__module__})
"""Where tasks are called: in tracebacks those frames are nobody's business."""

JOBS = 8
"""Of how many jobs a worker keeps the function. Each job has its own, even where they are equal: what the
tasks of one leave in a global or a default argument, another does not find."""


_OBJECT_BYTES = 1 << 30
"""Of objects behind refs that a worker keeps, where its memory has no limit; otherwise a quarter of that."""
_RECENT_BYTES = 4 << 20
"""Larger blobs are not kept once they are unpickled."""
RESERVED_BYTES = 80 * 1024
"""What one outcome takes of a reply at most, its value apart: its output, and what else there is of it."""
_OUTCOME_BYTES = 300
"""What an outcome takes beside value and output."""


class NotRun(Exception):
    """Nothing of a request ran, for a reason that is no task's."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause)
        self.cause = cause


class _Loaded(NamedTuple):
    call: Call
    packer: Packer


class Runner:
    """One worker's functions and modules, and the loop over a request's tasks."""

    def __init__(
        self,
        store: Store,
        *,
        take_output: Callable[[], str] = str,
        memory_limit: int | None = None,
        inline: bool = False,
    ) -> None:
        """Args:
        store: where the code lies.
        take_output: gives what was written to stdout and stderr since it was last called.
        memory_limit: bytes that this process may hold, for the message when it cannot get more.
        inline: this is the caller's own process. It has the local modules, values must not share memory
            with what a task keeps, and a KeyboardInterrupt in a task is the user's own and goes through.
        """
        self._store = store
        self._inline = inline
        self._take_output = take_output
        self._memory_limit = memory_limit
        self._objects = Objects(store, (memory_limit or _OBJECT_BYTES * 4) // 4, self._let_go)
        self._recent: OrderedDict[str, bytes] = OrderedDict()
        self._loaded: OrderedDict[tuple[str, str], _Loaded] = OrderedDict()
        self._modules: tuple[str, Shipped] | None = None

    def run(self, request: Request, begin: Callable[[], None] = lambda: None) -> Iterator[Outcome]:
        """Run the tasks in order and yield each one's outcome as soon as it is there.

        Ends early, without an outcome for the tasks that are left, past ``limits.stop_after_s`` and where
        ``limits.reply_bytes`` has no room for another one. Raises NotRun before any task has run.

        Args:
            request: the batch.
            begin: called once, when the function is loaded and the first task starts.
        """
        with _environment(request.env), self._objects.in_use():
            try:
                loaded = self._load(request)
                items = self._items(request)
            except NotRun:
                raise
            except Exception as error:
                begin()
                yield from self._unloadable(request, error)
                return
            begin()
            stop_at = time.perf_counter() + (request.limits.stop_after_s or float("inf"))
            room = request.limits.reply_bytes
            with resolving(loaded.call.table):
                for task, item in zip(request.tasks, items, strict=True):
                    if time.perf_counter() >= stop_at:
                        return
                    outcome = self._run_task(loaded, task, item)
                    if room is not None or request.limits.store_values:
                        outcome, room = self._fit(outcome, request, loaded.packer, room)
                    yield outcome
                    if room is not None and room < RESERVED_BYTES:
                        return

    def _fit(
        self, outcome: Outcome, request: Request, packer: Packer, room: int | None
    ) -> tuple[Outcome, int | None]:
        """The outcome as it goes into the reply, its value stored where it has to be; the room left."""
        packed = outcome.packed
        assert isinstance(packed, Packed)
        size = packed.size
        wanted = outcome.ok and request.limits.store_values
        if wanted or (room is not None and size > room - RESERVED_BYTES):
            key = result_key(request.job, request.invocation, outcome.task)
            blob = framing.join(framing.frame(framing.portable(packed)))
            size = 0
            try:
                self._store.put(key, blob, if_absent=True)
                outcome = outcome._replace(packed=Stored(key, digest(blob), len(blob)))
            except Exception as error:
                outcome = outcome._replace(ok=False, packed=self._failed(error, packer, ()))
        if room is None:
            return outcome, None
        text = outcome.output
        return outcome, room - size - len(text) * (1 if text.isascii() else 4) - _OUTCOME_BYTES

    def _let_go(self) -> None:
        """Drop functions of earlier jobs, which may hold objects that have to make room."""
        self._loaded.clear()

    def _items(self, request: Request) -> Sequence[Packed]:
        if request.args is None:
            return request.items
        blob = self._fetch(request.args.key, request.args.digest)
        return [Packed(data, buffers) for data, buffers in framing.parse(blob, writable=True)]

    def _run_task(self, loaded: _Loaded, task: int, item: Packed) -> Outcome:
        call, packer = loaded
        started, clock, cpu = time.time(), time.perf_counter(), time.thread_time()
        try:
            packed = self._call(call, packer, task, item)
            ok = True
        except BaseException as error:
            packed = self._failed(error, packer, call.table)
            ok = False
        seconds, cpu_s = time.perf_counter() - clock, time.thread_time() - cpu
        return Outcome(task, ok, packed, started, seconds, cpu_s, self._take_output())

    def _call(self, call: Call, packer: Packer, task: int, item: Packed) -> Packed:
        try:
            argument = pickle.loads(item.data, buffers=item.buffers)
        except Exception as error:
            text = f"item {task} cannot be unpickled on the worker: {type(error).__name__}: {error}"
            if isinstance(error, ModuleNotFoundError):
                text = f"{text}. {_install(error.name)}"
            raise RemoteError(text) from error
        if call.style is Style.ITEM:
            value = call.function(argument, *call.args, **call.kwargs)
        elif call.style is Style.STAR:
            value = call.function(*argument, *call.args, **call.kwargs)
        else:
            value = call.function(*argument[0], **argument[1])
        if isinstance(value, CoroutineType):
            value = _await(value)
        if isinstance(value, GeneratorType | AsyncGeneratorType):
            text = "returned a generator, which cannot leave its process. Return list(...) of it"
            raise ResultNotPicklable(f"{_name(call, argument)} {text}")
        try:
            return packer.pack(value)
        except MemoryError:
            raise
        except Exception as error:
            what = f"what {_name(call, argument)} returned"
            raise ResultNotPicklable(explain(what, value, error)) from error

    def _failed(self, error: BaseException, packer: Packer, table: Any) -> Packed:
        if isinstance(error, KeyboardInterrupt) and self._inline:
            raise error
        if isinstance(error, SystemExit):
            error = _because(error, WorkerDied(f"the task called sys.exit({error.code!r})"))
        elif isinstance(error, MemoryError) and self._memory_limit is not None:
            limit = f"{self._memory_limit / 2**20:,.0f} MB"
            text = (
                f"the task needed more than the {limit} a worker may hold: memory_limit= gives more, or on "
            )
            text += "Lambda wrenlite-setup --memory"
            error = _because(error, OutOfMemory(text))
        elif isinstance(error, ModuleNotFoundError):
            error.add_note(_install(error.name))
        return pack_failure(error, packer, table, hide=_OWN)

    def _unloadable(self, request: Request, error: Exception) -> Iterator[Outcome]:
        """The same failure for each task, as far as they fit into a reply."""
        packed = self._failed(error, Packer(Names(grows=False), snapshot=False), ())
        each = packed.size + _OUTCOME_BYTES
        room = request.limits.reply_bytes
        count = len(request.tasks) if room is None else max(1, (room - RESERVED_BYTES) // each)
        for task in request.tasks[:count]:
            yield Outcome.failed(task, packed, started=time.time())

    def _load(self, request: Request) -> _Loaded:
        if request.modules is not None and not self._inline:
            self._ship(request.modules)
        key = request.job, request.code
        loaded = self._loaded.get(key)
        if loaded is None:
            call = unpack_call(self._code(request.code))
            loaded = _Loaded(call, Packer(Names(call.table, grows=False), snapshot=self._inline))
            self._loaded[key] = loaded
            if len(self._loaded) > JOBS:
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(key)
        return loaded

    def _ship(self, wanted: str) -> None:
        if self._modules is not None:
            if self._modules[0] == wanted:
                return
            self._modules[1].remove()
            self._loaded.clear()  # they hold the old modules
        shipped = Shipped(self._fetch(code_key(wanted), wanted))
        shipped.install()
        self._modules = wanted, shipped

    def _code(self, wanted: str) -> bytes:
        """A function's blob, which the next job with the same function needs again."""
        blob = self._recent.get(wanted)
        if blob is None:
            blob = self._fetch(code_key(wanted), wanted)
            if len(blob) <= _RECENT_BYTES:
                self._recent[wanted] = blob
                if len(self._recent) > JOBS:
                    self._recent.popitem(last=False)
        return blob

    def _fetch(self, key: str, wanted: str) -> bytes:
        try:
            return get_verified(self._store, key, wanted)
        except NotFound:
            raise NotRun(Missing(key)) from None
        except (IntegrityError, BackendError) as error:
            raise NotRun(Refused(error)) from error
        except StoreError as error:
            raise NotRun(Throttled(ServiceUnavailable(str(error)), patient=False)) from error


def _name(call: Call, item: object) -> str:
    """The name of the function that took this item."""
    function = call.function
    return function_name(function.function_for(item) if isinstance(function, MapThenReduce) else function)


def _install(module: str | None) -> str:
    return (
        f"The worker's Python has no module {module!r}: install it where the workers run "
        "(locally: the environment of this process; on Lambda: the layer)."
    )


def _because(cause: BaseException, error: Exception) -> Exception:
    """An error of ours in place of a task's, raised where that was."""
    error.__cause__ = cause
    return error.with_traceback(cause.__traceback__)


def _await(coroutine: CoroutineType[Any, Any, Any]) -> Any:
    """Run a coroutine to its end, also where this thread has a running loop (inline, in a notebook)."""
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


@contextlib.contextmanager
def _environment(env: Mapping[str, str]) -> Iterator[None]:
    """The job's variables, around its tasks only."""
    before = {name: os.environ.get(name) for name in env}
    os.environ.update(env)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
