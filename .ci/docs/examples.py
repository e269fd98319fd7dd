"""The examples of public names, in ``docs/examples/``: where each of them belongs in the reference.

A heading names what a block of code is an example of: a name of the package, such as ``Executor.map`` or
``interop.lithops.Storage``, or several. One that begins with a dot is in the class or module
of the one before.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import wrenlite

FOLDER = Path(__file__).parents[2] / "docs" / "examples"

_SECTION = re.compile(r"^## (?P<names>[^\n]+)\n+```pycon\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


class Example(NamedTuple):
    """A section of a page of examples."""

    names: list[str]
    code: str
    """Statements with prompts, and what they print."""
    line: int
    """The line of the page on which the code begins, from 0."""


def read(page: Path) -> Iterator[Example]:
    """Yield the examples of a page."""
    text = page.read_text()
    for section in _SECTION.finditer(text):
        line = text.count("\n", 0, section.start("code"))
        yield Example(list(_whole_names(section["names"].split(", "))), section["code"], line)


def _whole_names(names: list[str]) -> Iterator[str]:
    """Yield the names of a heading, each with the class or module that it is in."""
    holder = ""
    for name in names:
        whole = f"{holder}{name}" if name.startswith(".") else name
        above, _, last = whole.rpartition(".")
        holder = whole if last[0].isupper() and not last.isupper() else above
        yield whole


@functools.cache
def by_path() -> dict[str, str]:
    """Return the example of each object that shows one, by the object's path: its module and qualified name.

    Where a heading names a class and some of its attributes, the class shows the example.
    """
    return {
        path_of(name): example.code
        for page in pages()
        for example in read(page)
        for name in example.names
        if name.rpartition(".")[0] not in example.names
    }


def pages() -> list[Path]:
    """Return the pages of examples."""
    return sorted(FOLDER.glob("*.md"))


def path_of(name: str) -> str:
    """Return the path of the object that a public name stands for: where it is defined.

    The gallery has one name for each object, and needs packages that are missing where the site is built.

    Raises:
        AttributeError: there is no such name.
    """
    if name.startswith("gallery."):
        return f"wrenlite.{name}"
    place, _, last = f"wrenlite.{name}".rpartition(".")
    holder = pkgutil.resolve_name(place)
    thing = getattr(holder, last, None)
    if inspect.isclass(holder):
        owner = next(base for base in holder.__mro__ if last in {*vars(base), *_annotations(base)})
        return f"{owner.__module__}.{owner.__qualname__}.{last}"
    if hasattr(thing, "__qualname__"):
        return f"{thing.__module__}.{thing.__qualname__}"
    return f"{_module_of(last)}.{last}" if place == "wrenlite" else f"{place}.{last}"


def _annotations(each: type) -> dict[str, Any]:
    return vars(each).get("__annotations__", {})


def _module_of(name: str) -> str:
    """Return the module in which a public constant is defined."""
    for module in wrenlite._MODULES:
        if name in vars(importlib.import_module(f"wrenlite.{module}")):
            return f"wrenlite.{module}"
    raise AttributeError(name)
