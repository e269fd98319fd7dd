"""What surrounds a call of a user's function: its module ``__main__`` and environment, and coroutines."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import CoroutineType, ModuleType, SimpleNamespace
from typing import Any

from wrenlite.serialize.pickling import Call


class MainModule(ModuleType):
    """Stands for the caller's ``__main__``: it has the job's own copies of what the caller defined there.

    So pickle finds the classes and functions of ``__main__`` within a task, as ``shelve``, ``joblib.hash``
    and ``multiprocessing`` need it.
    """

    def __init__(self, call: Call) -> None:
        """Create a module with the class table of a call."""
        super().__init__("__main__")
        for entry in call.table:
            name = getattr(entry, "__qualname__", "")
            if name and entry.__module__ == "__main__":
                self._place(name.split("."), entry)

    def _place(self, path: Sequence[str], entry: object) -> None:
        *parents, name = path
        place: Any = self
        for parent in parents:
            place = vars(place).setdefault(parent, SimpleNamespace())
            if isinstance(place, type):  # it has its own attributes
                return
        setattr(place, name, entry)


@contextlib.contextmanager
def as_main(main: ModuleType) -> Iterator[None]:
    """Let a module stand for ``__main__`` within the ``with`` block."""
    before, sys.modules["__main__"] = sys.modules["__main__"], main
    try:
        yield
    finally:
        sys.modules["__main__"] = before


@contextlib.contextmanager
def environment(env: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables within the ``with`` block."""
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


def filled(call: Call, argument: Any) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments of a call whose item brings some of the fixed arguments: ``Style.FILLED``."""
    item, is_star, places, names = argument
    fixed = [places.get(place, each) for place, each in enumerate(call.args)]
    args, named = starred(item) if is_star else ((item,), {})
    return [*args, *fixed], {**named, **names}


def starred(item: Any) -> tuple[Iterable[Any], Mapping[str, Any]]:
    """Return the positional and the keyword arguments that ``starmap`` makes of an item."""
    return ((), item) if isinstance(item, Mapping) else (item, {})


def await_coroutine(coroutine: CoroutineType[Any, Any, Any]) -> Any:
    """Run a coroutine to its end, even if this thread has a running event loop (inline, in a notebook)."""
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()
