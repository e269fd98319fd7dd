"""Draws jobs while they run, fed by ``Job.snapshot()``: so far, a line on the terminal."""

from __future__ import annotations

from wrenlite.notebook.terminal import watch

__all__ = ["watch"]
