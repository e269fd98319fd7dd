"""What mkdocstrings does with docstrings: it adds the examples, and reads the ``::`` of reStructuredText."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import griffe

import wrenlite

sys.path.insert(0, str(Path(__file__).parent))  # griffe loads this file by its path
import examples


class Examples(griffe.Extension):
    """Adds its example to the docstring of each object that has one."""

    def __init__(self) -> None:
        self._code = examples.by_path()

    def on_module_members(self, *, mod: griffe.Module, **_: Any) -> None:
        """Leave out what is in the module of the errors and is not for users."""
        if mod.path == "wrenlite.errors":
            for name in mod.members.keys() - set(wrenlite.__all__):
                mod.del_member(name)

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of an object that was loaded."""
        if obj.docstring:
            obj.docstring.value = _without_colons(obj.docstring.value)
        if code := self._code.get(obj.path):
            text = obj.docstring.value if obj.docstring else ""
            parser = griffe.Parser.google
            example = "Examples:\n" + "".join(f"    {line}".rstrip() + "\n" for line in code.splitlines())
            obj.docstring = griffe.Docstring(f"{text}\n\n{example}", parent=obj, parser=parser)


def _without_colons(text: str) -> str:
    """Return a docstring in which an indented block is announced as in Markdown, by one colon or by none."""
    return re.sub(r"::$", ":", re.sub(r"^::$\n", "", text, flags=re.MULTILINE), flags=re.MULTILINE)
