"""What cannot be part of a digest, and where it is."""

from __future__ import annotations

import re
from typing import Any

from wrenlite.errors import NotDigestible

_STATE = re.compile(r"(?:\[[01]\])?\['(\w+)'\]")


class Refused(Exception):
    """Something has no digest. ``at`` says where it is while the exception rises."""

    def __init__(self, what: str, advice: str = "") -> None:
        """Create an exception.

        Args:
            what: what has no digest, and why, as the end of a sentence.
            advice: what to do, as a sentence; empty: pass something else.
        """
        super().__init__(what)
        self.what = what
        self.advice = advice or "Make it inside the function, or pass what it is made from"
        self.place = ""

    def inside(self, step: str) -> Refused:
        """Record the place in a container, and return this exception."""
        self.place = step + self.place
        return self

    def in_state(self) -> Refused:
        """Record that the place is in the state of an object, and return this exception."""
        self.place = _STATE.sub(r".\1", self.place, count=1)
        return self

    def error(self, owner: str) -> NotDigestible:
        """Return the error that is raised, with the name of the part that this was found in."""
        return NotDigestible(f"{owner}{self.place} has no digest: {self.what}. {self.advice}")


def class_name(kind: type[Any]) -> str:
    """Return the name of a class for messages, with its module unless that is obvious."""
    module = kind.__module__
    return kind.__qualname__ if module in ("builtins", "__main__") else f"{module}.{kind.__qualname__}"
