"""The digest of a call and of its items: equal digests mean that the same values come out.

Two calls with equal digests run the same code on the same arguments. The opposite does not hold: calls may
differ in their digests, although they compute the same. What the digest covers, and what it cannot, is in
decision 40.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import wrenlite
from wrenlite.errors import NotDigestible
from wrenlite.memo.code import words_of
from wrenlite.memo.reach import Reach, Where
from wrenlite.memo.refusals import Refused
from wrenlite.memo.values import Encoder, Named
from wrenlite.protocol import Style

_FORM = 1
"""Changes with what a digest is made of."""


@dataclass(frozen=True)
class Digest:
    """The digest of what is the same for all items of a call."""

    hex: str
    parts: Mapping[str, str]
    """The digest of each part, by a name that the user knows: ``helper geo.project``, ``package numpy``.

    That of a package or of Python is its version, that of a number is the number.
    """
    where: Where = field(repr=False)
    reach: Reach = field(repr=False, compare=False)
    """What the code of the call reaches."""
    again: Callable[[], Digest] = field(repr=False, compare=False)
    """Takes the digest of the call again."""
    seeded: bool = False
    """Whether values depend on the number of the task too, which numbers the random generators."""

    def is_current(self) -> bool:
        """Return whether the call still has this digest. A module may be edited while the items are read."""
        try:
            return self.again().hex == self.hex
        except NotDigestible:
            return False


class Change(NamedTuple):
    """A part that two calls do not have in common."""

    kind: str
    """``function``, ``helper``, ``class``, ``constant``, ``module``, ``package``, ``env`` and so on."""
    name: str
    before: str | None
    """Its digest in the earlier call; None: it was no part of that."""
    after: str | None


def digest_of_call(
    fn: Callable[..., Any],
    *,
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
    style: Style = Style.ITEM,
    seed: Any = None,
    env: Mapping[str, str] | None = None,
    modules: Iterable[str] = (),
    versions: Mapping[str, str] | None = None,
    python: str,
    initializer: Any = None,
    also_sent: Iterable[str] = (),
    environments: Sequence[Mapping[str, str] | None] = (),
) -> Digest:
    """Return the digest of a call without its items.

    Args:
        fn: the function. Of a ``map_reduce`` it is the mapper.
        args: the fixed positional arguments.
        kwargs: the fixed keyword arguments.
        style: how the function is called.
        seed: the ``Seed`` of the job; None: it has none.
        env: the environment variables of the job.
        modules: names of the modules of ``modules=``, with all modules of the packages among them.
        versions: what ``packages.versions_where_tasks_run`` returns for the backend.
        python: the version of Python where the tasks run. The minor version is enough.
        initializer: function and arguments of the initializer of the workers; None: they have none.
        also_sent: names of modules that earlier jobs have sent to the workers.
        environments: the environment variables of all workers that tasks may run on; None: those of this
            process.

    Raises:
        NotDigestible: something that tasks need has no digest. The message names it.
    """
    where = Where(python, versions, tuple(modules), tuple(also_sent), tuple(environments))
    fixed = {
        "function": fn,
        "args": args,
        "kwargs": dict(kwargs or {}),
        "way of calling": int(style),
        "seed": None if seed is None else tuple(seed),
        "initializer": initializer,
    }
    known = {"python": python, "wrenlite": f"{wrenlite.__version__} {_FORM}"}
    known |= {f"env {name}": _hash(value) for name, value in (env or {}).items()}
    return _digest(where, fixed, known, seeded=seed is not None)


def _digest(where: Where, values: Mapping[str, Any], known: Mapping[str, str], *, seeded: bool) -> Digest:
    found = _reach(where, values, known)
    again = partial(_digest, where, values, known, seeded=seeded)
    return Digest(_hash_of_parts(found.parts), found.parts, where, found, again, seeded)


def _reach(
    where: Where, values: Mapping[str, Any], known: Mapping[str, str], words: Iterable[str] = ()
) -> Reach:
    """Follow all that values refer to. Positions of code count where code may look at them.

    Args:
        where: where the tasks run.
        values: the values, by the names of their parts.
        known: parts that are known.
        words: names in code that calls this.
    """
    found = Reach(where, words)
    found.follow(values)
    if found.looks_at_code:
        found = Reach(where, words, exact=True)
        found.follow(values)
    found.parts |= known
    return found


class Items:
    """The digests of the items of a call."""

    def __init__(self, call: Digest) -> None:
        """Create one that has seen no item."""
        self._call = call
        self._definitions: dict[tuple[object, ...], tuple[list[Any], str]] = {}

    def digest_of(self, item: Any, task: int = 0) -> str:
        """Return the digest of the call with an item.

        Args:
            item: the item.
            task: its number in the job. It counts only if the job has a seed.

        Raises:
            NotDigestible: something in the item has no digest. The message names it.
        """
        definitions: list[Any] = []
        numbers: dict[object, int] = {}

        def refer(obj: Any) -> str:
            number = numbers.setdefault(_key(obj), len(numbers))
            if number == len(definitions):
                definitions.append(obj)
            return str(number)

        named: set[str] = set()
        left_out = self._call.reach.left_out

        def read(text: str) -> None:
            named.update(left_out.intersection(words_of(text)))

        encoder = Encoder(refer, read=read if left_out else None)
        try:
            encoder.add(item)
        except Refused as error:
            raise error.error(f"item {task}") from error.__cause__
        except RecursionError:
            raise Refused("it is nested too deeply").error(f"item {task}") from None
        whole = hashlib.sha256(self._call.hex.encode())
        if self._call.seeded:
            whole.update(b"task %d;" % task)
        if definitions or named:
            whole.update(b"with " + self._digest_of_definitions(definitions, frozenset(named)).encode())
        whole.update(encoder.out)
        return whole.hexdigest()

    def _digest_of_definitions(self, definitions: list[Any], named: frozenset[str]) -> str:
        """Return the digest of what an item refers to.

        Args:
            definitions: classes, functions and the like.
            named: words in its texts that are names in the modules of the call, where they did not count yet.
        """
        key = named, *map(_key, definitions)
        if key not in self._definitions:
            reach, where = self._call.reach, self._call.where
            if named:
                where = where._replace(modules=(*where.modules, *reach.modules))
            found = _reach(where, {"items": definitions}, {}, reach.words)
            self._definitions[key] = definitions, _hash_of_parts(found.parts)
        return self._definitions[key][1]


def changed_parts(old: Mapping[str, str], new: Mapping[str, str]) -> list[Change]:
    """Return what differs between two calls, in the order in which a user asks for it.

    Args:
        old: the parts of the earlier call.
        new: those of the later one.
    """
    changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    changes = [Change(*_split(name), old.get(name), new.get(name)) for name in changed]
    return sorted(changes, key=lambda change: (_ORDER.get(change.kind, len(_ORDER)), change.name))


_KINDS = (
    "function",
    "helper",
    "class",
    "constant",
    "definition",
    "module",
    "args",
    "kwargs",
    "seed",
    "env",
    "package",
)
_ORDER = {kind: place for place, kind in enumerate(_KINDS)}


def _key(obj: object) -> object:
    """Return the key of a definition. One without a name is the same as long as it lives."""
    return obj if isinstance(obj, Named) else id(obj)


def _split(name: str) -> tuple[str, str]:
    kind, _, rest = name.partition(" ")
    return kind, rest


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _hash_of_parts(parts: Mapping[str, str]) -> str:
    return _hash("".join(f"{len(name)}:{name}{len(parts[name])}:{parts[name]}" for name in sorted(parts)))
