"""Chooses the backend of matplotlib in a worker when a task imports pyplot.

Programs that a task starts would inherit an environment variable, and their Python may be without wrenlite.
"""

from __future__ import annotations

import sys

_PYPLOT, _BACKEND = "matplotlib.pyplot", "module://wrenlite.worker.figures"


class PyplotFinder:
    """Finds no module itself. Before pyplot is imported, it chooses the backend."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Return None: the next finder finds the module."""
        if name == _PYPLOT:
            sys.meta_path.remove(self)
            sys.modules["matplotlib"].use(_BACKEND)
