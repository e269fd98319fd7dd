"""Random numbers in tasks: a generator for each task, and generators that tasks should not share.

The stream of a task depends on the seed and on the number of the task, and on nothing else: neither on the
batches, nor on the workers, nor on retries.
"""

from __future__ import annotations

import importlib.util
import inspect
import random
from collections.abc import Callable, Mapping
from operator import index
from typing import Any, NamedTuple, SupportsIndex

from wrenlite.errors import ConfigError
from wrenlite.map_reduce import MapThenReduce
from wrenlite.protocol import Style
from wrenlite.serialize.class_table import ClassTable
from wrenlite.serialize.diagnosis import find_part
from wrenlite.serialize.pickling import Call, function_name, parts_of_call

_STANDARD = (random.Random, "random.Random", "Random")
"""What an ``rng`` parameter is annotated with if it takes the standard library's generator."""


class Seed(NamedTuple):
    """The seed of a job."""

    value: int
    uses_numpy: bool
    """Whether tasks get a ``numpy.random.Generator``; otherwise a ``random.Random``."""

    def generator(self, task: int) -> Any:
        """Return the generator of a task.

        With numpy it is that of the task's child of ``SeedSequence(seed)``, as ``spawn`` numbers them.
        """
        if not self.uses_numpy:
            return random.Random(f"{self.value}/{task}")  # not for secrets
        import numpy.random

        return numpy.random.default_rng(numpy.random.SeedSequence(self.value, spawn_key=(task,)))


def seed_for(
    function: Callable[..., Any],
    seed: object,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    style: Style = Style.ITEM,
) -> Seed | None:
    """Return the seed of a job; None where none is asked for.

    Args:
        function: the function, which takes the generator as ``rng``.
        seed: what the user gave as ``seed=``.
        args: the fixed positional arguments, which come after the item.
        kwargs: the fixed keyword arguments.
        style: how the function is called.

    Raises:
        ConfigError: the seed cannot be used, or the function cannot take a generator.
    """
    if seed is None:
        return None
    if isinstance(seed, bool) or not isinstance(seed, SupportsIndex) or index(seed) < 0:
        raise ConfigError(f"seed={seed!r}: must be a whole number from 0, or None")
    how = "Write def f(item, *, rng): with seed=, each task gets a random generator of its own as rng"
    if "rng" in kwargs:
        raise ConfigError(f"seed={seed}: kwargs= has an rng already. {how}")
    mapper = function.mapper if isinstance(function, MapThenReduce) else function
    try:
        parameters = inspect.signature(mapper).parameters
    except (TypeError, ValueError):  # a function in C that does not tell
        return Seed(index(seed), _has_numpy())
    rng = parameters.get("rng")
    by_position = [each.name for each in parameters.values() if each.kind is not each.KEYWORD_ONLY]
    if rng is None and any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return Seed(index(seed), _has_numpy())
    if rng is None or rng.kind not in (rng.KEYWORD_ONLY, rng.POSITIONAL_OR_KEYWORD):
        raise ConfigError(f"seed={seed}: the function has no parameter rng. {how}")
    if "rng" in by_position[: len(args) + (style is not Style.CALL)]:
        raise ConfigError(f"seed={seed}: the parameter rng of the function gets another argument. {how}")
    return Seed(index(seed), rng.annotation not in _STANDARD and _has_numpy())


def _has_numpy() -> bool:
    return importlib.util.find_spec("numpy") is not None


def shared_generator_message(call: Call, classes: ClassTable) -> str:
    """Return a warning of a random generator of which tasks get copies in the same state; empty: none.

    Args:
        call: the function and its fixed arguments.
        classes: the class table with which the call and the items were pickled.
    """
    in_items = classes.generators_in_items
    in_several = [each for each in in_items if sum(other is each for other in in_items) > 1]
    parts = parts_of_call(call)
    inner = {id(_bit_generator(each)) for each in classes.generators}
    for generator in classes.generators:
        if id(generator) in inner:
            continue
        place = find_part(parts, generator)
        if not place.startswith("reduce_fn"):  # it runs once
            return _message(f"the function {function_name(call.function)} uses", place, generator)
    return _message("several items hold", "", in_several[0]) if in_several else ""


def _bit_generator(generator: object) -> object:
    """Return what a generator of numpy gets its bits from; None for others."""
    return getattr(generator, "bit_generator", getattr(generator, "_bit_generator", None))


def _message(holder: str, place: str, generator: object) -> str:
    kind = type(generator)
    package = {"random": "random.", "numpy": "numpy.random."}.get(kind.__module__.partition(".")[0], "")
    name = f"{package}{kind.__name__}"
    where = f"{place}, a {name}" if place else f"a {name}"
    return (
        f"{holder} one random generator ({where}), which is copied in the state that it has now: different "
        "tasks draw the same numbers from their copies. Pass seed=42 to map, and take the generator as a "
        "parameter, as in def f(item, *, rng): each task then gets one of its own"
    )
