"""The key by which processes of ``multiprocessing`` know each other, for workers on the caller's machine.

A proxy of a ``Manager`` that a task gets connects to the manager's process, which asks for the key of the
program that started it. The key travels over the pipe of requests, and only there. Neither side imports
``multiprocessing``, which takes 10 ms, unless the program or a task does.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from wrenlite.serialize import framing

_MODULE = "multiprocessing.process"


def current_key() -> bytes | None:
    """Return the key of this process; None where nothing here has imported ``multiprocessing``."""
    module = sys.modules.get(_MODULE)
    process = getattr(module, "current_process", None)  # absent while another thread imports the module
    return None if process is None else bytes(process().authkey)


class KeyOnWorker:
    """What a worker knows of the key of this process."""

    def __init__(self) -> None:
        """Begin with a new worker, which has no key."""
        self._sent: bytes | None = None

    def renew(self) -> list[memoryview]:
        """Return the message to the worker with the key; nothing where it has the key, or there is none."""
        key = current_key()
        if key == self._sent or key is None:
            return []
        self._sent = key
        return framing.frame(key)


def use_key(key: bytes) -> None:
    """Let this process have a key, now or when ``multiprocessing`` is imported."""
    if _MODULE in sys.modules:
        sys.modules[_MODULE].current_process().authkey = key
        return
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _KeySetter)]
    sys.meta_path.insert(0, _KeySetter(key))


class _KeySetter:
    """A finder that sets the key as soon as ``multiprocessing`` is imported."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def find_spec(self, name: str, path: Any = None, target: object = None) -> ModuleSpec | None:
        if name != _MODULE:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path)
        loader: Any = spec.loader if spec is not None else None
        if loader is not None:
            load = loader.exec_module

            def load_and_set(module: ModuleType) -> None:
                load(module)
                module.current_process().authkey = self._key

            loader.exec_module = load_and_set
        return spec
