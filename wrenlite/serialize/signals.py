"""Exceptions that a signal handler of the caller's program raises while something is pickled.

Such an exception (a time limit by SIGALRM, as in tests) can come up at any line that runs in the main thread.
It is the caller's, and must not be taken for an error of what was being pickled.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import CodeType
from typing import Any


def raise_if_interrupting(error: BaseException) -> None:
    """Raise an exception again if a signal handler has raised it, or if it is a KeyboardInterrupt."""
    if isinstance(error, KeyboardInterrupt) or _comes_from_handler(error):
        raise error


def _comes_from_handler(error: BaseException) -> bool:
    """Return whether a frame of the traceback runs a signal handler. Handlers run in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        return False
    handlers = set(_handler_codes())
    trace = error.__traceback__
    while trace is not None and handlers:
        if trace.tb_frame.f_code in handlers:
            return True
        trace = trace.tb_next
    return False


def _handler_codes() -> Iterator[CodeType]:
    """Yield the code of each signal handler that is written in Python."""
    import signal

    for number in signal.valid_signals():
        handler: Any = signal.getsignal(number)
        handler = getattr(handler, "func", handler)  # functools.partial
        for function in (handler, getattr(handler, "__call__", None)):  # noqa: B004  # of an object
            if isinstance(code := getattr(function, "__code__", None), CodeType):
                yield code
