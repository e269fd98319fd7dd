"""Compiled code as bytes, without what has no effect: comments, files, lines and docstrings."""

from __future__ import annotations

import dis
import functools
import re
import types
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wrenlite.memo.values import Encoder

_OF_CODE = (
    *("co_name", "co_qualname", "co_flags", "co_names", "co_varnames", "co_cellvars", "co_freevars"),
    *("co_argcount", "co_posonlyargcount", "co_kwonlyargcount", "co_exceptiontable"),
)
"""What compiled code is, beside its instructions and constants."""
_OF_POSITION = ("co_filename", "co_firstlineno", "co_linetable")

_NOTES = frozenset({"__doc__", "__firstlineno__", "__static_attributes__"})
"""Attributes that the compiler gives to a class, and that say nothing of what it does."""

LOOK_AT_CODE = frozenset(
    {
        *("__doc__", "getdoc", "inspect", "_getframe", "currentframe", "getsource", "linecache", "traceback"),
        *("f_lineno", "f_code", "f_back", "tb_lineno", "tb_frame", "tb_next", "__traceback__"),
        *(
            "co_filename",
            "co_firstlineno",
            "co_lines",
            "co_positions",
            "co_consts",
            "co_linetable",
            "__code__",
        ),
        *("__firstlineno__", "__static_attributes__", "getsourcelines", "getsourcefile", "doctest"),
    }
)
"""Where code has one of these names, positions and docstrings count as well: its values may have them."""

_READ_CHARACTERS = 100_000
_WORD = re.compile(r"[^\W\d]\w*")


def write_code(encoder: Encoder, code: types.CodeType, *, exact: bool) -> None:
    """Write a code object.

    Args:
        encoder: writes it.
        code: the code object.
        exact: include positions and docstrings.
    """
    read, encoder.read = encoder.read, None  # its names are words already
    try:
        _write(encoder, code, exact=exact)
    finally:
        encoder.read = read


def _write(encoder: Encoder, code: types.CodeType, *, exact: bool) -> None:
    encoder.add_parts("code", *(getattr(code, name) for name in _OF_CODE))
    used, instructions = _uses(code)
    encoder.add(instructions)
    if exact:
        encoder.add_parts("position", *(getattr(code, name) for name in _OF_POSITION))
        encoder.add(next((each for each in code.co_consts[:1] if isinstance(each, str)), None))
    for constant in used:
        if isinstance(constant, types.CodeType):
            _write(encoder, constant, exact=exact)
        else:
            encoder.add(constant)


def _uses(code: types.CodeType) -> tuple[list[Any], bytes]:
    """Return the constants that code uses, in the order of its instructions, and these without their numbers.

    A docstring is a constant that no instruction uses, or that the body of a class assigns to ``__doc__``.
    """
    constants, instructions = [], bytearray(code.co_code)
    is_class = not code.co_flags & 1  # it has no fast local variables (CO_OPTIMIZED)
    extended = 0
    for at in range(0, len(instructions), 2):
        operation, argument = instructions[at], instructions[at + 1] | extended
        extended = argument << 8 if operation == dis.EXTENDED_ARG else 0
        if operation in dis.hasconst:
            instructions[at + 1] = 0
            constants.append(None if is_class and _is_note(code, at + 2) else code.co_consts[argument])
    return constants, bytes(instructions)


def _is_note(code: types.CodeType, at: int) -> bool:
    """Return whether the instruction at an offset assigns something which says nothing of a class."""
    operation, argument = code.co_code[at : at + 2] or (0, 0)
    return operation == dis.opmap["STORE_NAME"] and code.co_names[argument] in _NOTES


def words_of(text: str) -> list[str]:
    """Return the words of a text that may be names; of a very long one none, since it is data."""
    return _WORD.findall(text) if len(text) <= _READ_CHARACTERS else []


@functools.lru_cache(maxsize=10_000)
def words_in(code: types.CodeType) -> frozenset[str]:
    """Return all names by which code may refer to something, also those in its strings."""
    return frozenset(_words(code))


def _words(code: types.CodeType) -> Iterator[str]:
    for name in _names_in_class(code) if _NOTES & {*code.co_names} else code.co_names:
        yield from name.split(".")
    for constant in _uses(code)[0]:
        if isinstance(constant, types.CodeType):
            yield from words_in(constant)
        else:
            yield from _words_of_constant(constant)


def _names_in_class(code: types.CodeType) -> Iterator[str]:
    """Yield the names in code, but for those that the compiler assigns in the body of a class."""
    for each in dis.get_instructions(code):
        if each.opcode in dis.hasname and not (each.opname == "STORE_NAME" and each.argval in _NOTES):
            yield each.argval


def _words_of_constant(constant: Any) -> Iterator[str]:
    if isinstance(constant, str) and "<locals>" not in constant:  # that is the name of a class in a function
        yield from words_of(constant)
    elif isinstance(constant, tuple | frozenset):
        for each in constant:
            yield from _words_of_constant(each)
