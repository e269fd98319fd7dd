"""Texts that every room writes: counted things, and foreign text in a message or on a terminal."""

from __future__ import annotations


def counted(number: int, thing: str) -> str:
    """Return a number with the name of what is counted: ``1 task``, ``2,000 tasks``.

    Args:
        number: how many there are.
        thing: name of one of them, whose plural ends in s.
    """
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
