"""What the code of a function refers to."""

from __future__ import annotations

import functools
import types

_READS_GLOBAL = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
"""The instructions that read a global variable; the last two do in the body of a class."""


@functools.lru_cache(maxsize=1_000)
def names_in(code: types.CodeType) -> frozenset[str]:
    """Return all names of variables, attributes and modules in a function, inner functions included."""
    inner = [names_in(constant) for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return frozenset(code.co_names).union(*inner)


@functools.lru_cache(maxsize=1_000)
def globals_in(code: types.CodeType) -> frozenset[str]:
    """Return the names of global variables that a function reads, inner functions and classes included."""
    import dis

    names = {each.argval for each in dis.get_instructions(code) if each.opname in _READS_GLOBAL}
    inner = [globals_in(constant) for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return frozenset(names).union(*inner)


def globals_set_in(code: types.CodeType) -> frozenset[str]:
    """Return the names of global variables that a function assigns, inner functions included."""
    import dis

    names = {each.argval for each in dis.get_instructions(code) if each.opname == "STORE_GLOBAL"}
    inner = [globals_set_in(constant) for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return frozenset(names).union(*inner)


def closure_of(function: types.FunctionType) -> dict[str, object]:
    """Return the variables that a function closes over, except those that are not bound yet."""
    held = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            held[name] = cell.cell_contents
        except ValueError:
            continue
    return held
