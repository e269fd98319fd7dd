"""Local modules as workers import them: which of their statements count for a call.

A worker imports the sources, so all statements at the top level of a module run, and count. Only those are
left out that do nothing but define a name which no code that counts has, not even in a string: a function
without decorators, a simple class, or a constant. Where code looks names up that it computes, none is left
out.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from typing import NamedTuple

from wrenlite.memo.code import words_in, write_code
from wrenlite.memo.values import Encoder
from wrenlite.serialize.class_table import modules_imported_by

COMPUTES_NAMES = frozenset(
    {
        *("getattr", "setattr", "delattr", "hasattr", "globals", "vars", "dir", "eval", "exec"),
        *("__dict__", "__getattribute__", "__globals__", "__builtins__", "__subclasses__", "f_globals"),
        *("attrgetter", "methodcaller", "getattr_static", "getmembers", "getmodule", "inspect", "_getframe"),
        *(
            "resolve_name",
            "find_class",
            "pickle",
            "cloudpickle",
            "dill",
            "joblib",
            "read_pickle",
            "allow_pickle",
        ),
        *("gc", "runpy", "locals", "builtins"),
    }
)
"""Code with one of these words may refer to what it does not name."""
IMPORTS_BY_NAME = frozenset({"import_module", "__import__", "find_spec"})
"""Code with one of these words may import what it does not name."""
LOADS_FILES = frozenset(
    {"spec_from_file_location", "SourceFileLoader", "SourcelessFileLoader", "ExtensionFileLoader", "run_path"}
)
"""Code with one of these words may run a file whose path it computes."""


class Statement(NamedTuple):
    """A statement at the top level of a module, or several that count together."""

    kind: str
    """``helper``, ``class`` or ``constant``; empty: it counts whatever its names are."""
    name: str
    """What it defines; empty where it counts anyway."""
    digest: str
    words: frozenset[str]
    """The names by which it may refer to something."""
    imports: frozenset[str]
    """Modules that it imports, at once or when it is called, and names that may be such."""


@functools.lru_cache(maxsize=2_000)
def statements_of(text: bytes, package: str, exact_file: str) -> tuple[Statement, ...]:
    """Return the statements of a module.

    Args:
        text: its source.
        package: the package that relative imports in it refer to.
        exact_file: its file, where positions and docstrings count; empty: they do not.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):  # importing it reports the error
        return (Statement("", "", hashlib.sha256(text).hexdigest(), frozenset(), frozenset()),)
    docstrings = [_docstrings_that_count(node) for node in tree.body]
    if not exact_file:
        _strip_docstrings(tree)
    futures = [node for node in tree.body if _is_future(node)]
    bound = Counter(name for node in tree.body for name in _names_bound(node))
    statements = []
    for node, texts in zip(tree.body, docstrings, strict=True):
        if _never_runs(node) or _is_future(node) or (_is_text(node) and not exact_file):
            continue
        kind, defined = _definition(node)
        if bound[defined] > 1 or defined.startswith("__"):
            kind = defined = ""
        statements.append(_statement(kind, defined, [*futures, node], package, exact_file, texts))
    return tuple(statements)


def _statement(
    kind: str, name: str, nodes: list[ast.stmt], package: str, exact_file: str, docstrings: list[str | None]
) -> Statement:
    code = compile(ast.Module(nodes, []), exact_file or "<module>", "exec", dont_inherit=True)
    encoder = Encoder(str)
    write_code(encoder, code, exact=bool(exact_file))
    encoder.add_parts("docstrings", *docstrings)
    words = frozenset() if _is_list_of_names(nodes[-1]) else words_in(code)
    return Statement(kind, name, encoder.digest(), words, frozenset(modules_imported_by(code, package)))


def _is_list_of_names(node: ast.stmt) -> bool:
    """Return whether a statement is ``__all__ = [...]``, which refers to nothing by itself."""
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"


_DOCUMENTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_IGNORE_DOCSTRINGS = frozenset(
    {
        *(
            "object",
            "ABC",
            "ABCMeta",
            "Enum",
            "IntEnum",
            "StrEnum",
            "Flag",
            "IntFlag",
            "NamedTuple",
            "TypedDict",
        ),
        *(
            "TypedDict",
            "Protocol",
            "Generic",
            "Exception",
            "ValueError",
            "RuntimeError",
            "dataclass",
            "total_ordering",
        ),
        *(
            "property",
            "setter",
            "staticmethod",
            "classmethod",
            "cached_property",
            "abstractmethod",
            "overload",
        ),
        *(
            "cache",
            "lru_cache",
            "wraps",
            "contextmanager",
            "singledispatch",
            "register",
            "njit",
            "jit",
            "vectorize",
        ),
    }
)
"""Decorators and bases that do not compute with docstrings. Others may, as those of prompts and tools do."""


def _docstrings_that_count(statement: ast.stmt) -> list[str | None]:
    """Return the docstrings of functions and classes that are given to what may read it: see above."""
    inside = (node for node in ast.walk(statement) if isinstance(node, _DOCUMENTED))
    return [ast.get_docstring(node, clean=False) for node in inside if _is_handed_over(node)]


def _is_handed_over(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    """Return whether a function or class is given to a decorator, base or metaclass that may read it."""
    given = [*node.decorator_list, *getattr(node, "bases", ())]
    given += [each.value for each in getattr(node, "keywords", ())]
    return not _IGNORE_DOCSTRINGS.issuperset(map(_last_name, given))


def _last_name(node: ast.expr) -> str:
    while isinstance(node, ast.Call | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _strip_docstrings(tree: ast.AST) -> None:
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED):
            first = node.body[0] if node.body else None
            if first is not None and _is_text(first):
                node.body[:1] = [] if len(node.body) > 1 else [ast.copy_location(ast.Pass(), first)]


def _is_text(node: ast.stmt) -> bool:
    value = node.value if isinstance(node, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _never_runs(node: ast.stmt) -> bool:
    """Return whether a statement is ``if __name__ == "__main__"``, which no import enters."""
    return isinstance(node, ast.If) and not node.orelse and ast.unparse(node.test) == "__name__ == '__main__'"


def _names_bound(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement may bind."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
        return
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and not isinstance(each.ctx, ast.Load):
            yield each.id
        elif isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield each.name
        elif isinstance(each, ast.alias):
            yield (each.asname or each.name).partition(".")[0]


def _definition(node: ast.stmt) -> tuple[str, str]:
    """Return kind and name of what a statement defines, if it does nothing else; otherwise empty texts."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return ("helper", node.name) if _defines_only(node) else ("", "")
    if isinstance(node, ast.ClassDef):
        simple = not (node.bases or node.keywords or node.decorator_list)
        if simple and all(map(_is_simple_member, node.body)):
            return "class", node.name
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and _is_constant(node.value):
        target = node.targets[0]
        return ("constant", target.id) if isinstance(target, ast.Name) else ("", "")
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        is_constant = node.value is not None and _is_constant(node.value) and _has_no_effect(node.annotation)
        return ("constant", node.target.id) if is_constant else ("", "")
    return "", ""


def _defines_only(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return whether a function has no decorators, and its defaults and annotations call nothing."""
    return not node.decorator_list and all(map(_has_no_effect, filter(None, (node.args, node.returns))))


def _is_simple_member(node: ast.stmt) -> bool:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return _defines_only(node) and node.name not in ("__init_subclass__", "__class_getitem__")
    return isinstance(node, ast.Pass) or bool(_definition(node)[0] == "constant")


_LITERAL = (ast.Constant, ast.Name, ast.Tuple, ast.List, ast.Dict, ast.Set, ast.expr_context)
_OPERATION = (ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop)
_LOOK_UP = (ast.Attribute, ast.Subscript, ast.Slice)


def _is_constant(expression: ast.expr) -> bool:
    """Return whether an expression makes a value of literals and names, or is a function."""
    if isinstance(expression, ast.Lambda):
        return _has_no_effect(expression.args)
    nodes = [*ast.walk(expression)]
    operates = any(isinstance(node, ast.BinOp) for node in nodes)  # on names, it may call a method
    named = any(isinstance(node, ast.Name) for node in nodes)
    return not (operates and named) and all(isinstance(node, _LITERAL + _OPERATION) for node in nodes)


def _has_no_effect(node: ast.AST) -> bool:
    """Return whether a default or an annotation only looks something up."""
    known = (*_LITERAL, *_OPERATION, *_LOOK_UP, ast.arguments, ast.arg)
    return all(isinstance(each, known) for each in ast.walk(node))


def counted(statements: Iterable[Statement], words: Container[str], *, everything: bool) -> list[Statement]:
    """Return the statements that count, in their order.

    Args:
        statements: those of a module.
        words: all names in code that counts.
        everything: none is left out.
    """
    return [each for each in statements if everything or not each.name or each.name in words]


def digest_of_order(statements: Iterable[Statement]) -> str:
    """Return the digest of what a module runs at its top level, and of when it defines what it defines.

    The order of definitions counts only as far as other statements are between them.
    """
    text, defined = [], []
    for each in statements:
        if each.name:
            defined.append(each.name)
        else:
            text += [*sorted(defined), each.digest]
            defined = []
    return hashlib.sha256("\n".join([*text, *sorted(defined)]).encode()).hexdigest()
