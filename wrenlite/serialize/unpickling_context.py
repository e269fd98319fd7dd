"""What unpickling in the current thread refers to: a class table, objects behind refs, values, globals.

Pickles of items and values hold numbers of a class table and digests of refs, and functions may begin with
the global variables that an initializer has left. The functions that pickle calls to resolve them
(``class_table.from_table``, ``storage.refs``, ``rebuild.shared_globals``) get no other argument, so they look
here.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from wrenlite.protocol import Stored


class ObjectSource(Protocol):
    """Provides the objects behind refs."""

    def get(self, stored: Stored, definitions: Sequence[object]) -> Any:
        """Return an object.

        Args:
            stored: where its pickle is stored.
            definitions: the classes and functions that the pickle refers to by number.
        """


class _Context(threading.local):
    """The context of one thread. The values of the class are the defaults of every thread."""

    table: Sequence[object] = ()
    """The class table that numbers refer to."""
    objects: ObjectSource | None = None
    """The objects that refs stand for; None: a ``Ref`` unpickles as a ``Ref``."""
    shared_globals: dict[int, dict[str, Any]] | None = None
    """The global variables that the initializer of the worker shares with jobs; None: there is none."""
    values: Sequence[Any] = ()
    """The values of other tasks that the item refers to, as parts of a message."""


context = _Context()
"""The context of the current thread. ``unpickling_with`` sets it; everything else only reads it."""


@contextlib.contextmanager
def unpickling_with(
    table: Sequence[object] | None = None,
    objects: ObjectSource | None = None,
    shared_globals: dict[int, dict[str, Any]] | None = None,
    values: Sequence[Any] | None = None,
) -> Iterator[None]:
    """Set what unpickling in this thread refers to within the ``with`` block.

    Args:
        table: the class table; None: the one of the enclosing block.
        objects: the objects behind refs; None: those of the enclosing block.
        shared_globals: what the initializer shares with jobs; None: as in the enclosing block.
        values: the values of other tasks; None: those of the enclosing block.
    """
    before = context.table, context.objects, context.shared_globals, context.values
    if table is not None:
        context.table = table
    if objects is not None:
        context.objects = objects
    if shared_globals is not None:
        context.shared_globals = shared_globals
    if values is not None:
        context.values = values
    try:
        yield
    finally:
        context.table, context.objects, context.shared_globals, context.values = before
