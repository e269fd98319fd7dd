"""Runs the tasks of a request in order. On every backend, only this module calls the functions of jobs."""

from __future__ import annotations

import math
import pickle
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import AsyncGeneratorType, CoroutineType, GeneratorType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from wrenlite.errors import (
    BackendError,
    IntegrityError,
    NotFound,
    OutOfMemory,
    RemoteError,
    ResultNotPicklable,
    ServiceUnavailable,
    StoreError,
    TaskError,
    WorkerDied,
    WrenliteError,
    why_final,
)
from wrenlite.map_reduce import MapThenReduce
from wrenlite.protocol import (
    LOCAL_HINTS,
    Cause,
    Hints,
    Missing,
    Outcome,
    Packed,
    Plain,
    Refused,
    Request,
    Style,
    Throttled,
    code_key,
    outcome_of,
    result_key,
    size_of,
)
from wrenlite.serialize import framing
from wrenlite.serialize.class_table import ClassTable
from wrenlite.serialize.diagnosis import error_text, not_picklable_message
from wrenlite.serialize.exceptions import pack_failure
from wrenlite.serialize.modules import module_being_imported
from wrenlite.serialize.pickling import Call, Packer, function_name, is_plain, unpack_call
from wrenlite.serialize.signals import raise_if_interrupting
from wrenlite.serialize.unpickling_context import unpickling_with
from wrenlite.storage.base import Store, digest, get_verified, place_of
from wrenlite.storage.lru import LruCache
from wrenlite.storage.refs import ObjectCache
from wrenlite.worker.calling import MainModule, await_coroutine, environment, filled, starred
from wrenlite.worker.initializing import Initialization
from wrenlite.worker.notes import explain_call, explain_shared_memory, is_from_debugger, item_too_large
from wrenlite.worker.peak_memory import own_peak_bytes

if TYPE_CHECKING:
    from wrenlite.serialize.bundle_importer import BundleImporter
    from wrenlite.task_logging import RecordCollector
    from wrenlite.worker.archives import ArchiveFinder
    from wrenlite.worker.health import Health

_CALLING_MODULES = frozenset({__name__, MapThenReduce.__module__})
"""The modules that call tasks. Their frames are left out of tracebacks."""

_HIDDEN_MODULES = _CALLING_MODULES | {
    unpack_call.__module__,
    ObjectCache.__module__,
    Initialization.__module__,
    *(f"wrenlite.interop.{name}" for name in ("dask", "joblib", "lithops_calls", "pool")),
}
"""Those, the modules that unpickle what tasks need, and those with functions that call the user's."""

KEPT_FUNCTIONS = 8
"""How many functions a worker keeps. Each job has a function of its own, even where two are equal. So the
tasks of one job do not see what those of another leave in a global variable or a default argument."""

_OBJECTS_BYTES = 1 << 30
"""The most bytes of objects behind refs that a worker without a memory limit keeps. A worker with a limit
keeps a quarter of the limit."""
_KEPT_BLOB_BYTES = 4 << 20
"""The blob of a function or of modules is kept after its use only if it is not larger than this."""
RESERVED_BYTES = 272 * 1024
"""The most bytes of a reply that one outcome takes beside its value: output, log records, everything else.
Each byte of output that is not UTF-8 becomes a replacement character of three bytes."""
_GENERATORS = GeneratorType, AsyncGeneratorType
_CPU_AGE_S = 20e-6
"""The processor time at the end of one task is that at the start of the next one, if it is not older. What is
done between two tasks takes a few microseconds."""
_CPU_READING_S = 1e-6
"""The processor time of a shorter task is not read, which takes as long: it had the processor all along."""
_OUTCOME_BYTES = 300
"""Bytes of a reply that an outcome takes beside value and output."""

_NO_INPUT = "EOF when reading a line"
"""The text of the error of ``input()`` where the standard input is empty."""
_TERMINAL_ADVICE = (
    "Executor.inline() runs tasks in the program's own process, where breakpoint() and input() work"
)
_RESULT_ADVICE = "Return what it is made from, or write it to a file or a store and return its name there."
_IMPORT_ADVICE = "put what only the program itself may do under if __name__ == '__main__':"


class NotRun(Exception):
    """No task of a request was run, for a reason that is no fault of a task."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause)
        self.cause = cause


class _LoadedFunction(NamedTuple):
    call: Call
    packer: Packer
    main: ModuleType
    """The module ``__main__`` while its tasks run."""
    takes_item_alone: bool
    """Whether it is called with the item as it is, and nothing else."""


def _read_no_output() -> str:
    """Return no output: what an inline task writes goes where the caller's own output goes."""
    return ""


def _report_nothing() -> None:
    """Do nothing when the first task starts, or when a value is stored."""


class Runner:
    """Runs requests, and keeps functions, modules and objects for the next ones."""

    load_s = 0.0
    """Seconds in which the code of the last request was got and unpickled; 0: it was here."""

    def __init__(
        self,
        store: Store,
        *,
        read_output: Callable[[], str] = _read_no_output,
        records_file: int | None = None,
        memory_limit: int | None = None,
        inline: bool = False,
        hints: Hints = LOCAL_HINTS,
        health: Health | None = None,
        max_tasks: int | None = None,
        initialization: Initialization | None = None,
    ) -> None:
        """Create a runner.

        Args:
            store: holds functions, modules, objects and large values.
            read_output: returns what was written to stdout and stderr since its last call.
            records_file: the file descriptor of the file that has the log records of the task that runs;
                None: they are only in memory.
            memory_limit: the most bytes that this process may hold, for the message when it gets no more.
            inline: this is the caller's own process. It has the local modules already, values must not share
                memory with what a task keeps, and a KeyboardInterrupt is meant for the caller.
            hints: what messages advise when memory is missing.
            health: tells whether this process can run further tasks; None: it always can.
            max_tasks: tasks that it runs at most; None: any number.
            initialization: what runs before the first task; None: nothing.
        """
        self.archives: ArchiveFinder | None = None  # fetches packages that tasks import, and are not there
        self._cpu, self._cpu_read_at = 0.0, -math.inf
        """The processor time when it was last read, and when: reading it takes as long as a short task."""
        self.worn_out = False
        """Whether this process must be replaced before anything else runs."""
        self._health = health
        self._burdened = False
        self._tasks_left = max_tasks or sys.maxsize
        self._initialization = initialization or Initialization()
        self.store = store
        """Counts its requests."""
        self._inline = inline
        self._read_output = read_output
        self._records_file = records_file
        self._memory_limit = memory_limit
        self._hints = hints
        objects_bytes = _OBJECTS_BYTES if memory_limit is None else memory_limit // 4
        self._objects = ObjectCache(store, objects_bytes, self._drop_functions)
        self._blobs: LruCache[str, bytes] = LruCache(2 * KEPT_FUNCTIONS)  # with the modules of each
        self._functions: LruCache[tuple[str, str], _LoadedFunction] = LruCache(KEPT_FUNCTIONS)
        self._modules: tuple[str, BundleImporter] | None = None
        self._records: RecordCollector | None = None

    def run(
        self,
        request: Request,
        report_begin: Callable[[], None] = _report_nothing,
        report_storing: Callable[[], None] = _report_nothing,
    ) -> Iterator[Outcome]:
        """Run the tasks in order, and yield the outcome of each as soon as it has ended.

        The first task always runs. The others get no outcome once ``limits.stop_after_s`` has passed, once
        ``limits.reply_bytes`` has no room for another outcome, and once this process is worn out. A task that
        failed because of that gets none either where what earlier requests left here may be the reason.

        Args:
            request: the batch.
            report_begin: called once, when the function is loaded and the first task starts.
            report_storing: called when a task has ended and its value is about to be stored.

        Raises:
            NotRun: no task was run.
        """
        self._burdened = self._health is not None and self._health.is_burdened()
        self._read_output()  # of processes that outlived their tasks: it is no task's
        self._collect_records(request.log_levels)
        if self._initialization.waits:
            self._initialize(request)
        shared_globals = self._initialization.shared_globals
        with (
            environment(request.env),
            unpickling_with(objects=self._objects, shared_globals=shared_globals),
        ):
            tasks_left = self._tasks_left
            yield from self._outcomes(request, report_begin, report_storing)
            if tasks_left == self._tasks_left and self.worn_out:
                text = "a worker had no memory or file descriptors left, and was replaced"
                raise NotRun(Throttled(ServiceUnavailable(text), waits_without_limit=False))

    def _initialize(self, request: Request) -> None:
        """Run the initializer. What it writes and logs comes with the first task.

        Raises:
            NotRun: it failed, or its modules cannot be fetched.
        """
        if request.modules is not None and not self._inline:
            self._install_modules(request.modules, request.carried)
        try:
            self._initialization.run()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and self._inline:
                raise
            self.worn_out = not self._inline
            failed = self._initialization.failure(self._explain_error(error), self._read_output())
            table = self._initialization.table
            packer = Packer(ClassTable(table, grows=False), snapshot=False)
            packed = pack_failure(failed, packer, table, hidden_modules=_HIDDEN_MODULES)
            raise NotRun(Refused(failed, failure=packed)) from error

    def _outcomes(
        self, request: Request, report_begin: Callable[[], None], report_storing: Callable[[], None]
    ) -> Iterator[Outcome]:
        try:
            function = self._load(request)
            items = self._items(request)
        except NotRun as error:
            self._observe(error)
            if self.worn_out and self._burdened:
                return
            raise
        except BaseException as error:  # the modules of the function may even call sys.exit
            report_begin()
            yield from self._fail_all(request, error)
            return
        report_begin()
        yield from self._run_all(request, function, items, report_storing)

    def _run_all(
        self,
        request: Request,
        function: _LoadedFunction,
        items: Sequence[Packed | Plain],
        report_storing: Callable[[], None],
    ) -> Iterator[Outcome]:
        self._cpu_read_at = -math.inf
        stop_at = time.perf_counter() + (request.limits.stop_after_s or math.inf)
        room = request.limits.reply_bytes
        is_limited = room is not None or request.limits.value_bytes is not None
        with unpickling_with(table=function.call.table):
            for task, item in zip(request.tasks, items, strict=True):
                outcome = self._run_task(request, function, task, item)
                if is_limited:
                    packer = function.packer
                    outcome, room = self._fit_into_reply(outcome, request, packer, room, report_storing)
                if self._gives_back():
                    return
                yield outcome
                is_full = room is not None and room < RESERVED_BYTES
                # After a task, not before: a busy machine may hold this process up before the first one.
                if self.worn_out or is_full or time.perf_counter() >= stop_at:
                    return

    def _gives_back(self) -> bool:
        """Return whether the task that has ended runs again elsewhere. Otherwise it counts."""
        if self.worn_out and self._burdened:
            return True
        self._tasks_left -= 1
        if not self._tasks_left or (self._health is not None and self._health.is_damaged()):
            self.worn_out = True
        return False

    def _observe(self, error: BaseException) -> None:
        """Find out whether an error shows that this process is worn out."""
        if self._health is not None and self._health.is_worn_out(error):
            self.worn_out = True

    def _fit_into_reply(
        self,
        outcome: Outcome,
        request: Request,
        packer: Packer,
        room: int | None,
        report_storing: Callable[[], None],
    ) -> tuple[Outcome, int | None]:
        """Store the value of an outcome where it does not fit into the reply, or is too large to be sent.

        Args:
            outcome: the outcome of a task.
            request: the batch.
            packer: the packer for values of the task's function.
            room: the bytes that are left of the reply; None: the reply has no limit.
            report_storing: called before a value is stored.

        Returns:
            The outcome as it is sent, and the bytes that are left of the reply after it.
        """
        packed = outcome.packed
        size = size_of(packed)
        largest = request.limits.value_bytes
        too_large = outcome.ok and largest is not None and size > largest
        if too_large or (room is not None and size > room - RESERVED_BYTES):
            key = result_key(request.job, request.invocation, outcome.task)
            blob = framing.blob_of(cast(Packed | Plain, packed))
            size = 0
            report_storing()
            try:
                self.store.put(key, blob)
                outcome = outcome._replace(packed=place_of(blob, key))
            except Exception as error:
                packed, final = self._pack_error(error, packer, (), request)
                outcome = outcome._replace(ok=False, packed=packed, final=final)
        if room is None:
            return outcome, None
        text = outcome.output
        size += len(text) * (1 if text.isascii() else 4) + len(outcome.records) + _OUTCOME_BYTES
        return outcome, room - size

    def _collect_records(self, levels: Mapping[str, int] | None) -> None:
        """Collect what the tasks of a request log, where it asks for that."""
        if self._records is None and levels is not None:
            from wrenlite.task_logging import RecordCollector  # imports logging: only where it is needed

            self._records = RecordCollector(self._records_file)
        if self._records is not None:
            self._records.apply(levels)

    def _drop_functions(self) -> None:
        """Drop functions of earlier jobs, because they may refer to objects that must make room."""
        self._functions.clear()

    def _items(self, request: Request) -> Sequence[Packed | Plain]:
        if request.args is None:
            return request.items
        blob = self._fetch(request.args.key, request.args.digest)
        return [cast(Packed | Plain, framing.from_wire(item)) for item in framing.parse(blob, writable=True)]

    def _run_task(
        self, request: Request, function: _LoadedFunction, task: int, item: Packed | Plain
    ) -> Outcome:
        started, clock = time.time(), time.perf_counter()
        if clock - self._cpu_read_at > _CPU_AGE_S:
            self._cpu, self._cpu_read_at = time.thread_time(), clock
            clock = time.perf_counter()  # the processor's clock is read outside the other one's interval
        clock -= self._fetching_s()
        main_before, sys.modules["__main__"] = sys.modules["__main__"], function.main
        packed: Packed | Plain
        try:
            if function.takes_item_alone and type(item) is not Packed:
                packed = value = function.call.function(item)
                if not is_plain(value):
                    packed = self._pack(function, item, value)
            else:
                packed = self._call(function, task, item)
            ok, final = True, ""
        except BaseException as error:
            packed, final = self._pack_error(error, function.packer, function.call.table, request)
            ok = False
        finally:
            sys.modules["__main__"] = main_before
        cpu_s = seconds = time.perf_counter() - self._fetching_s() - clock
        if seconds > _CPU_READING_S:
            cpu_before, self._cpu, self._cpu_read_at = self._cpu, time.thread_time(), time.perf_counter()
            cpu_s = min(self._cpu - cpu_before, seconds)
        logged = self._records.take() if self._records is not None else b""
        return outcome_of((task, ok, packed, started, seconds, cpu_s, self._read_output(), logged, final, 0))

    def _fetching_s(self) -> float:
        """Return the seconds so far in which packages were fetched: they are not those of a task."""
        return 0.0 if self.archives is None else self.archives.waited_s

    def _call(self, function: _LoadedFunction, task: int, item: Packed | Plain) -> Packed | Plain:
        """Call the user's function with an item, and pickle the value."""
        call = function.call
        argument: Any = item
        if isinstance(item, Packed):
            what = "the arguments of submit" if call.style is Style.CALL else f"item {task}"
            argument = self._unpickle_item(what, item)
        kwargs = call.kwargs if call.seed is None else {**call.kwargs, "rng": call.seed.generator(task)}
        try:
            if call.style is Style.ITEM:
                value = call.function(argument, *call.args, **kwargs)
            elif call.style is Style.STAR:
                args, named = starred(argument)
                value = call.function(*args, *call.args, **named, **kwargs)
            else:
                args, named = argument if call.style is Style.CALL else filled(call, argument)
                value = call.function(*args, **{**named, **kwargs})
        except TypeError as error:
            explain_call(error, call, argument, _CALLING_MODULES)
            raise
        return self._pack(function, argument, value)

    def _pack(self, function: _LoadedFunction, argument: object, value: Any) -> Packed | Plain:
        """Pickle the value that the user's function has returned for an argument."""
        call = function.call
        if isinstance(value, CoroutineType):
            value = await_coroutine(value)
        if isinstance(value, _GENERATORS):
            text = "returned a generator, which cannot be sent to another process. Return list(...) of it"
            raise ResultNotPicklable(f"{_called_name(call, argument)} {text}")
        try:
            return function.packer.pack(value)
        except MemoryError:
            raise
        except BaseException as error:  # of the value's own code
            what = f"the value that {_called_name(call, argument)} returned"
            raise ResultNotPicklable(not_picklable_message(what, value, error, _RESULT_ADVICE)) from error

    def _unpickle_item(self, what: str, item: Packed) -> Any:
        try:
            return pickle.loads(item.data, buffers=item.buffers)
        except BaseException as error:  # of the item's own code
            raise_if_interrupting(error)
            if isinstance(error, MemoryError) and self._memory_limit is not None:
                raise OutOfMemory(item_too_large(item.size, self._memory_limit, self._hints)) from error
            raise RemoteError(f"{what} cannot be unpickled on the worker: {error_text(error)}") from error

    def _pack_error(
        self, error: BaseException, packer: Packer, table: Sequence[object], request: Request
    ) -> tuple[Packed, str]:
        """Pickle the exception of a task; where wrenlite knows more about it, an exception that says so.

        Returns:
            The pickle, and why the task is not run again: see ``why_final``.
        """
        if isinstance(error, KeyboardInterrupt) and self._inline:
            raise error
        self._observe(error)
        final = why_final(request.limits.retried, error, explained := self._explain_error(error))
        return pack_failure(explained, packer, table, hidden_modules=_HIDDEN_MODULES), final

    def _explain_error(self, error: BaseException) -> BaseException:
        """Return an exception that says what wrenlite knows about the exception of a task."""
        reason = error.__cause__ if isinstance(error, RemoteError) else error  # of an item: why it failed
        importing = module_being_imported(reason.__traceback__ if reason else None)
        if isinstance(error, SystemExit):
            when = f" while it was imported: {_IMPORT_ADVICE}" if importing else ""
            text = f"{importing or 'the task'} called sys.exit({error.code!r}){when}"
            return _replace_error(error, WorkerDied(text))
        if isinstance(error, MemoryError) and self._memory_limit is not None:
            limit, held = (f"{each / 2**20:,.0f} MB" for each in (self._memory_limit, own_peak_bytes()))
            text = f"the task needed more than the {limit} that a worker may hold (it had held up to {held})"
            text = f"{text}: {self._hints.memory}"
            is_explained = isinstance(error, OutOfMemory)  # its item does not fit
            return error if is_explained else _replace_error(error, OutOfMemory(text))
        if importing:
            error.add_note(f"wrenlite: {importing} raised this while it was imported on the worker")
        elif not self._inline and is_from_debugger(error):
            text = f"the task called a debugger, and a worker has no terminal. {_TERMINAL_ADVICE}"
            return _replace_error(error, TaskError(text))
        elif not self._inline and isinstance(error, EOFError) and str(error) == _NO_INPUT:
            error.add_note(f"The standard input of a worker is empty. {_TERMINAL_ADVICE}")
        elif isinstance(error, OSError):
            explain_shared_memory(error, self._hints)
        return error

    def _fail_all(self, request: Request, error: BaseException) -> Iterator[Outcome]:
        """Yield the same failure for every task, for as many tasks as fit into a reply."""
        packer = Packer(ClassTable(grows=False), snapshot=False)
        packed, final = self._pack_error(error, packer, (), request)
        outcome_bytes = packed.size + _OUTCOME_BYTES
        room = request.limits.reply_bytes
        count = len(request.tasks) if room is None else max(1, (room - RESERVED_BYTES) // outcome_bytes)
        for task in request.tasks[:count]:
            if self._gives_back():
                return
            yield Outcome.failed(task, packed, started=time.time(), final=final)
            if self.worn_out:
                return

    def _load(self, request: Request) -> _LoadedFunction:
        """Return the function of a request, with its local modules installed."""
        began, self.load_s = time.perf_counter(), 0.0
        if request.modules is not None and not self._inline:
            self._install_modules(request.modules, request.carried)
        key = request.job, request.code
        function = self._functions.get(key, None)
        if function is None:
            blob = self._code_blob(request.code, request.carried)
            call = _unpickle_call(blob, self._initialization.table)
            packer = Packer(ClassTable(call.table, grows=False), snapshot=self._inline)
            is_alone = call.style is Style.ITEM and not (call.args or call.kwargs or call.seed)
            function = _LoadedFunction(call, packer, MainModule(call), is_alone)
            self._functions.put(key, function)
            self.load_s = time.perf_counter() - began
        return function

    def _install_modules(self, wanted: str, carried: Sequence[bytes]) -> None:
        """Make the modules of the zip with this digest importable, in place of those of another zip."""
        if self._modules is not None:
            installed, importer = self._modules
            if installed == wanted:
                return
            importer.remove()
            self._functions.clear()  # they refer to the old modules
        from wrenlite.serialize.bundle_importer import BundleImporter  # a worker starts without zipfile

        importer = BundleImporter(self._code_blob(wanted, carried))
        importer.install()
        self._modules = wanted, importer

    def _code_blob(self, wanted: str, carried: Sequence[bytes]) -> bytes:
        """Return the blob of a function or of modules: a kept one, the request's own, or the store's.

        It is kept because the next job with an equal function needs it.

        Args:
            wanted: its digest.
            carried: the code in the request.
        """
        blob = self._blobs.get(wanted, None)
        if blob is None:
            found = (each for each in map(_decompressed, carried) if digest(each) == wanted)
            blob = next(found, None) or self._fetch(code_key(wanted), wanted)
            if len(blob) <= _KEPT_BLOB_BYTES:
                self._blobs.put(wanted, blob)
        return blob

    def _fetch(self, key: str, expected_digest: str) -> bytes:
        try:
            return get_verified(self.store, key, expected_digest)
        except NotFound:
            raise NotRun(Missing(key)) from None
        except IntegrityError:
            raise NotRun(Missing(key, damaged=True)) from None
        except BackendError as error:
            raise NotRun(Refused(error)) from error
        except StoreError as error:
            raise NotRun(Throttled(ServiceUnavailable(str(error)), waits_without_limit=False)) from error


def _decompressed(carried: bytes) -> bytes:
    import zlib  # not at the start of a worker

    return zlib.decompress(carried)


def _unpickle_call(blob: bytes, base: Sequence[object]) -> Call:
    """Unpickle a function with its fixed arguments, whose class table begins with that of the initializer.

    Raises:
        RemoteError: the user's own code failed. Other errors, such as that of a missing module, go through:
            they say what to do as they are.
    """
    try:
        return unpack_call(blob, base)
    except Exception as error:
        raise_if_interrupting(error)
        clear = isinstance(error, ImportError | MemoryError | WrenliteError)
        if clear or module_being_imported(error.__traceback__):
            raise
        what = "the function of this job, what it refers to, or args= or kwargs="
        raise RemoteError(f"{what} cannot be unpickled on the worker: {error_text(error)}") from error


def _called_name(call: Call, item: object) -> str:
    """Return the name of the function that got this item."""
    function = call.function
    return function_name(function.function_for(item) if isinstance(function, MapThenReduce) else function)


def _replace_error(cause: BaseException, error: Exception) -> Exception:
    """Return an error to report in place of a task's exception, with the traceback of that exception."""
    error.__cause__ = cause
    return error.with_traceback(cause.__traceback__)
