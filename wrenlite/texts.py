"""Texts that every room writes: counted things, and foreign text in a message or on a terminal."""

from __future__ import annotations


def counted(number: float, thing: str) -> str:
    """Return a number with the name of what is counted: ``1 task``, ``2,000 tasks``, ``0.5 days``.

    Args:
        number: how many there are.
        thing: name of one of them, whose plural ends in s.
    """
    digits = f"{number:,}" if isinstance(number, int) else f"{number:,.3g}"
    return f"{digits} {thing}{'' if digits == '1' else 's'}"
