"""The initializer of a worker, which runs once, before the first task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import CoroutineType
from typing import Any

from wrenlite.errors import InitializerFailed
from wrenlite.protocol import Buffer
from wrenlite.serialize.diagnosis import error_text
from wrenlite.serialize.pickling import unpack_call
from wrenlite.serialize.unpickling_context import unpickling_with
from wrenlite.texts import printable
from wrenlite.worker.calling import MainModule, as_main, await_coroutine

_ADVICE = "Correct it, make a new executor, and map again"
_OUTPUT_CHARACTERS = 2000


class Initialization:
    """What a worker knows of its initializer."""

    def __init__(
        self, name: str = "", blob: Buffer = b"", *, report_end: Callable[[], None] = lambda: None
    ) -> None:
        """Take an initializer that has not run.

        Args:
            name: its name, for messages.
            blob: its pickle; empty: there is none.
            report_end: called when it has returned.
        """
        self.name = name
        self.waits = bool(blob)
        """Whether it has not run."""
        self.table: Sequence[object] = ()
        """Its class table, with which those of all jobs begin."""
        self.shared_globals: dict[int, dict[str, Any]] = {}
        """The global variables that it has left, for the functions of jobs."""
        self._blob = blob
        self._report_end = report_end

    def run(self) -> None:
        """Run the initializer. Whatever it raises goes through."""
        self.shared_globals.clear()
        with unpickling_with((), shared_globals=self.shared_globals):
            call = unpack_call(self._blob)
            self.table = call.table
            with unpickling_with(self.table), as_main(MainModule(call)):
                value = call.function(*call.args)
                if isinstance(value, CoroutineType):
                    await_coroutine(value)
        self.waits, self._blob = False, b""
        self._report_end()

    def failure(self, error: BaseException, output: str) -> InitializerFailed:
        """Return the error of the tasks that cannot run because the initializer has raised an exception.

        Args:
            error: the exception.
            output: what the initializer has written.
        """
        text = f"the initializer {self.name} raised {error_text(error)}, so no task can run. {_ADVICE}"
        written = printable(output).strip()
        if written:
            text += f". Its last output:\n{written[-_OUTPUT_CHARACTERS:]}"
        failed = InitializerFailed(text)
        failed.__cause__ = error
        return failed
