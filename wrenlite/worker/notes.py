"""Notes that are added to the exceptions of tasks: what wrenlite knows about why they failed."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from types import TracebackType

from wrenlite.protocol import Hints, Style
from wrenlite.serialize.pickling import Call


def explain_call(error: TypeError, call: Call, item: object, calling_modules: Collection[str]) -> None:
    """Add a note on how the item became arguments, where the call itself failed and no code of the user.

    Args:
        error: the exception of the task.
        call: what was called.
        item: the item.
        calling_modules: the modules that call tasks.
    """
    if not all(name in calling_modules for name in _modules(error.__traceback__)):
        return
    if call.style is Style.ITEM and isinstance(item, tuple | list):
        kind = type(item).__name__
        error.add_note(
            f"wrenlite: map passes the item, a {kind}, as one argument; starmap passes its parts as several"
        )
    elif call.style is Style.STAR and not isinstance(item, tuple | list):
        error.add_note(
            "wrenlite: starmap passes the parts of an item as arguments; map passes the item itself"
        )


def explain_shared_memory(error: OSError, hints: Hints) -> None:
    """Add a note on what to use instead of ``multiprocessing``, where the system lacks what it needs.

    Its locks are named semaphores, and its shared memory is files. Both are in ``/dev/shm``. Without that
    folder the error is "Function not implemented" or "No such file or directory", and says no more.

    Args:
        error: the exception of the task.
        hints: the backend's own words.
    """
    modules = _modules(error.__traceback__)
    raised_by = modules[-1] if modules else ""
    if not (raised_by.startswith("multiprocessing.") or ".loky." in raised_by):
        return
    if not os.access("/dev/shm", os.W_OK):  # noqa: S108  # where Linux has it
        error.add_note(
            f"wrenlite: {hints.no_shared_memory}, which locks, queues, pools and shared memory of "
            "multiprocessing need, and so do ProcessPoolExecutor and joblib's processes. Make each part a "
            "task of its own, or use threads (ThreadPoolExecutor, multiprocessing.pool.ThreadPool), or "
            "multiprocessing.Process with a Pipe"
        )


def _modules(trace: TracebackType | None) -> list[str]:
    """Return the names of the modules in a traceback, that of the line that raised last."""
    found = []
    while trace is not None:
        found.append(str(trace.tb_frame.f_globals.get("__name__")))
        trace = trace.tb_next
    return found


def item_too_large(size: int, memory_limit: int | None, hints: Hints) -> str:
    """Return the message for an item that does not fit into the memory of a worker.

    Args:
        size: bytes of the pickled item.
        memory_limit: the most bytes that the worker may hold; None: unknown.
        hints: what to do about it.
    """
    room = "memory" if memory_limit is None else f"{memory_limit / 2**20:,.0f} MB"
    item = f"its item has {size / 2**20:,.0f} MB, pickled"
    return f"{item}, and does not fit into the {room} of a worker: {hints.memory}"


def is_from_debugger(error: BaseException) -> bool:
    """Return whether a debugger ended a task, as it does where its standard input is empty."""
    debugger = sys.modules.get("bdb")
    return debugger is not None and isinstance(error, debugger.BdbQuit)
