"""Warnings to the user, at the line of the program that called wrenlite."""

from __future__ import annotations

import sys
import warnings


def warn(text: str) -> None:
    """Issue a UserWarning. Python shows it once for each line of the program, unless told otherwise.

    Args:
        text: the message.
    """
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith("wrenlite."):
        level, frame = level + 1, frame.f_back
    warnings.warn(f"wrenlite: {text}", UserWarning, stacklevel=level)
