"""Calls with arguments that a method does not take: the errors say what to write instead. Pure."""

from __future__ import annotations

import functools
import inspect
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from typing import Any, TypeVar, cast

from wrenlite.config import parse_size
from wrenlite.errors import ArgumentError, ConfigError
from wrenlite.serialize.pickling import function_name

F = TypeVar("F", bound=Callable[..., Any])

_FUNCTION = ("fn", "map_fn")

_OTHER_OPTIONS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("max_workers", "n_workers", "num_workers", "n_jobs", "jobs"), ("workers",)),
    **dict.fromkeys(("processes", "nprocs", "num_cpus", "cores", "threads", "concurrency"), ("workers",)),
    **dict.fromkeys(("memory", "max_memory", "mem_limit", "memory_mb", "runtime_memory"), ("memory_limit",)),
    **dict.fromkeys(("maxtasksperchild", "max_tasks_per_child"), ("max_tasks_per_worker",)),
    **dict.fromkeys(("region_name", "aws_region"), ("region",)),
    **dict.fromkeys(("profile_name", "aws_profile"), ("profile",)),
    **dict.fromkeys(("function_name", "lambda_function"), ("function",)),
    **dict.fromkeys(("storage_bucket", "s3_bucket", "bucket_name"), ("bucket",)),
    **dict.fromkeys(("func", "f", "function", "map_function", "map_func", "mapper"), _FUNCTION),
    **dict.fromkeys(("iterable", "iterables", "iterdata", "map_iterdata", "items", "seq"), ("data",)),
    **dict.fromkeys(("reduce_function", "reduce_func", "reducer"), ("reduce_fn",)),
    **dict.fromkeys(("chunk_size", "batch_size", "batchsize"), ("chunksize",)),
    **dict.fromkeys(("retry", "max_retries", "tries", "attempts"), ("retries", "times")),
    **dict.fromkeys(("max_attempts", "maximum_attempts", "stop", "number", "n"), ("times",)),
    **dict.fromkeys(("exceptions", "errors", "retry_on", "autoretry_for", "retriable"), ("on",)),
    **dict.fromkeys(("dont_autoretry_for", "non_retryable_error_types", "give_up_on"), ("not_on",)),
    **dict.fromkeys(("delay", "wait", "countdown", "initial_interval", "default_retry_delay"), ("delay_s",)),
    **dict.fromkeys(("factor", "multiplier", "backoff_coefficient", "exp_base", "exponent"), ("backoff",)),
    **dict.fromkeys(("max_delay", "max_wait", "maximum_interval", "retry_backoff_max"), ("max_delay_s",)),
    **dict.fromkeys(("fallback", "executor", "then_on"), ("then",)),
    **dict.fromkeys(("timeout_s", "time_limit"), ("timeout",)),
    **dict.fromkeys(("extra_args", "fixed_args"), ("args",)),
    **dict.fromkeys(("kwds", "extra_kwargs"), ("kwargs",)),
    **dict.fromkeys(("extra_env", "environ", "environment"), ("env",)),
    **dict.fromkeys(("random_state", "rng"), ("seed",)),
    **dict.fromkeys(("include_modules", "py_modules", "upload_modules"), ("modules",)),
    **dict.fromkeys(("verbose", "show_progress", "progressbar"), ("progress",)),
}
"""Options as other libraries name them, and their names here: the first of them that a method takes."""

_OWNERS = {
    **dict.fromkeys(("workers", "memory_limit", "max_tasks_per_worker"), "Executor.local"),
    **dict.fromkeys(("initializer", "initargs"), "Executor.local"),
    **dict.fromkeys(("profile", "region", "bucket", "prefix", "function", "endpoint_url"), "Executor.aws"),
    **dict.fromkeys(("bucket_owner", "max_concurrency", "budget"), "Executor.aws"),
    **dict.fromkeys(("chunksize", "retries", "timeout", "args", "kwargs", "env", "seed", "modules"), "map"),
    **dict.fromkeys(("progress", "logging"), "Executor"),
}
"""The methods that take an option."""

_NOT_HERE = {
    **dict.fromkeys(
        ("threads_per_worker", "nthreads", "prefer"), "Each worker is a process that runs one task at a time"
    ),
    **dict.fromkeys(
        ("callback", "error_callback"), "A job, and each of its futures, has add_done_callback(function)"
    ),
    "ordered": "Values come in input order; job.values(ordered=False) gives them as tasks end",
    "name": "A job has the name of its function",
    **dict.fromkeys(
        ("aws_access_key_id", "aws_secret_access_key", "aws_session_token"),
        "Keys are read from environment variables or AWS's configuration files, where "
        "Executor.aws(profile='…') chooses a profile",
    ),
    "mp_context": "Workers are new processes on every system",
}
"""Options of other libraries that have no counterpart here, and why."""

_DEFAULTS = {
    "workers": "one worker per core",
    "max_concurrency": "as many invocations at once as the account allows",
    "memory_limit": "workers without a limit",
    "timeout": "tasks without a time limit",
    "retries": "no further attempts",
    "chunksize": "batches whose size is learned while the job runs",
}
"""Numbers above 0, and what their defaults are, which other libraries ask for by -1, 0 or True."""

_LEAST_BYTES = 1 << 20
"""A lower number in place of a size in bytes is one of megabytes, as in Lithops, or of gigabytes."""

_BACKENDS = {
    **dict.fromkeys(("local", "process", "processes", "multiprocessing", "threads", "threading"), "local"),
    **dict.fromkeys(("localhost", "loky"), "local"),
    **dict.fromkeys(("aws", "lambda", "aws_lambda", "cloud", "remote"), "aws"),
    **dict.fromkeys(("inline", "debug", "serial", "sequential"), "inline"),
}
"""Names of backends, and the methods that make an executor on them."""

_USAGE = {
    "Executor": "Executor(), Executor.local(4) or Executor.aws()",
    "Executor.local": "Executor.local(4)",
    "Executor.inline": "Executor.inline()",
    "Executor.aws": "Executor.aws()",
    "default_executor": "Executor(), Executor.local(4) or Executor.aws()",
    "map": "map(function, data)",
    "starmap": "starmap(function, [(1, 2), (3, 4)])",
    "map_reduce": "map_reduce(function, data, reduce_function)",
    "submit": "submit(function, argument)",
    "Retry": "Retry(3), Retry(5, delay_s=2) or Retry(5, on=OSError)",
}
"""How a method is called."""


def explain_wrong_calls(method: F) -> F:
    """Make a method raise ArgumentError where it is called with arguments that it does not take.

    Args:
        method: of an executor, or a function that makes one.
    """

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except (TypeError, AttributeError):
            text = _why_wrong(method, args, kwargs)
            if text is None:  # the method itself raised it
                raise
        raise ArgumentError(text)

    return cast(F, call)


def _why_wrong(method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """Return what to write in place of a call; None where the method takes these arguments."""
    signature = inspect.signature(method)
    name, names, given = method.__name__, list(signature.parameters), args
    first = names[0] if names[:1] in (["self"], ["cls"]) else ""
    if first:
        names, given = names[1:], args[1:]
    if name == "__init__":
        name = "Retry" if method.__qualname__ == "Retry.__init__" else "Executor"
    elif first == "cls":
        name = f"Executor.{name}"
    if first == "self" and not (args and hasattr(type(args[0]), method.__name__)):
        return f"{name} is a method of executors. Write Executor().{_USAGE[name]}"
    reason = _mismatch(signature, args, kwargs)
    if not reason:
        return None
    unknown = {option: value for option, value in kwargs.items() if option not in names}
    if unknown and name != "submit":
        return _unknown_options(name, names, unknown)
    options = [each for each in names if signature.parameters[each].kind is inspect.Parameter.KEYWORD_ONLY]
    if len(given) > len(names) - len(options) and name != "submit":
        return _too_many(name, given, len(names) - len(options), options)
    return f"{name}: {reason}. Write {_USAGE[name]}"


def _mismatch(signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Return why a call does not fit to a signature; empty where it fits."""
    try:
        given = signature.bind(*args, **kwargs).arguments
    except TypeError as error:
        return str(error)
    # From Python 3.13 on, bind() takes submit(fn=abs) for a call without fn, and does not say so.
    required = [
        name
        for name, each in signature.parameters.items()
        if each.kind is each.POSITIONAL_ONLY and each.default is each.empty
    ]
    missing = [name for name in required if name not in given]
    return f"missing a required argument: {missing[0]!r}" if missing else ""


def _too_many(name: str, given: tuple[Any, ...], positional: int, options: list[str]) -> str:
    """Return what to write in place of a call with too many positional arguments.

    Args:
        name: of the method.
        given: the positional arguments.
        positional: how many of them the method takes.
        options: the names of its other parameters.
    """
    more = given[positional:]
    if name in ("map", "starmap") and all(map(is_iterable, more)):
        function, letters = written(given[0]), ", ".join("abcdefgh"[: 1 + len(more)])
        return (
            f"{name}({function}, …) takes one iterable, and got {1 + len(more)}. Write starmap({function}, "
            f"zip({letters})) to call the function with one item of each"
        )
    if not options:
        return f"{name} takes no arguments. Write {_USAGE[name]}"
    if name == "Executor.aws" and re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", f"{given[0]}"):
        return f"{name}({shown(given[0])}): options are given by name. Write {name}(region={given[0]!r})"
    return (
        f"{name}({', '.join(map(shown, given))}): options are given by name, as in {name}({options[0]}=…). "
        f"They are {', '.join(options)}"
    )


def _unknown_options(name: str, takes: list[str], unknown: Mapping[str, object]) -> str:
    """Return what to write in place of options that a method does not take.

    Args:
        name: of the method.
        takes: the names of its parameters.
        unknown: the options that it does not take.
    """
    meant = {option: _meant_option(name, takes, option) for option in unknown}
    if len(meant) > 1 and all(each in takes for each in meant.values()):
        before = ", ".join(f"{option}=" for option in meant)
        after = [_option(meant[option], value) for option, value in unknown.items()]
        return f"{name} takes no {before}. Write {name}({', '.join(filter(None, after))})"
    option, value = next(iter(unknown.items()))
    return _unknown_option(name, takes, option, value, meant[option])


def _meant_option(name: str, takes: list[str], option: str) -> str:
    """Return the option that somebody meant, of this method or of another one; empty where it is unknown."""
    import difflib

    if name.startswith("Executor") and option in _OWNERS:
        meant = option
    else:
        others = _OTHER_OPTIONS.get(option, (option,))
        meant = next((other for other in others if other in takes), others[0])
    if (name, meant) == ("Executor.aws", "workers"):
        return "max_concurrency"
    if meant in takes or meant in _OWNERS or option in _NOT_HERE or option == "backend":
        return meant
    return next(iter(difflib.get_close_matches(option, (*takes, *_OWNERS), 1, 0.7)), "")


def _unknown_option(name: str, takes: list[str], option: str, value: object, meant: str) -> str:
    """Return what to write in place of one option that a method does not take."""
    text = f"{name} takes no {option}="
    if option in _NOT_HERE:
        return f"{text}. {_NOT_HERE[option]}"
    if option == "backend":
        chosen = _BACKENDS.get(value.lower(), "") if isinstance(value, str) else ""
        made = f"Executor.{chosen}()" if chosen else _USAGE["Executor"]
        return f"{text}. Where tasks run is chosen with the executor: {made}"
    if (name, meant) == ("Executor.aws", "memory_limit"):
        chosen = f"wrenlite-setup --memory {_megabytes(value) or 1769}"
        return f"{text}. Memory is chosen when the function is deployed: {chosen}"
    if name == "Executor.aws" and meant in ("initializer", "initargs"):
        return (
            f"{text}: Lambda starts and ends its sandboxes by itself. What each needs once is computed by a "
            "function with @functools.cache that tasks call; in a module beside the program it is kept for "
            "later jobs too"
        )
    if meant in takes or meant in _OWNERS:
        called = name if meant in takes else _OWNERS[meant]
        before = ["function", "data"] if called == "map" and called != name else []
        written_option = _option(meant, value)
        instead = f"{called}({', '.join(filter(None, (*before, written_option)))})"
        return f"{text}. Write {instead}" + ("" if written_option else f" for {_DEFAULTS[meant]}")
    return f"{text}; it takes {', '.join(takes) or 'no arguments'}"


def _option(option: str, value: object) -> str:
    """Return an option as a person writes it; empty where its default is meant, such as by joblib's -1."""
    if option == "progress" and value != "auto":  # a level of verbosity
        value = bool(value)
    if option == "memory_limit" and isinstance(value, int) and 0 < value < _LEAST_BYTES:
        value = f"{_megabytes(value)}MB"
    if option == "timeout" and isinstance(value, str):
        found = re.fullmatch(r"\s*(\d+)\s*(s|m|h|)[a-z]*\s*", value)
        value = int(found[1]) * {"m": 60, "h": 3600}.get(found[2], 1) if found else 0
    number = _megabytes(value) if option == "memory_limit" else value
    is_number = value is None or isinstance(value, Real | str)
    is_default = option in _DEFAULTS and is_number and not _is_positive(number)
    return "" if is_default else f"{option}={shown(value)}"


def _is_positive(value: object) -> bool:
    """Return whether a value is a number above 0, of any type, or the text of one."""
    try:
        return not isinstance(value, bool) and float(cast(Any, value)) > 0
    except (ValueError, TypeError, OverflowError):
        return False


def _megabytes(memory: object) -> int:
    """Return memory in MB, from bytes or a text such as 2GB, or from MB or GB, as small numbers are meant."""
    try:
        size = parse_size(memory)
    except (ValueError, TypeError):
        return 0
    if isinstance(memory, int) and size < _LEAST_BYTES:
        return size if size >= 64 else 1024 * size
    return size >> 20


def not_a_backend(value: object) -> str:
    """Return what to write in place of ``Executor(value)``."""
    start = f"Executor({value!r:.60}): not a backend"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{start}. Write Executor.local({value if value > 0 else ''})"
    if isinstance(value, str) and value.lower() in _BACKENDS:
        return f"{start}. Write Executor.{_BACKENDS[value.lower()]}()"
    return (
        f"{start}. Executor.local(4) takes a number of workers, Executor.aws() runs on Lambda, "
        "Executor.inline() runs in the calling thread, and Executor() runs where the configuration says"
    )


def is_whole_number(value: object, least: int) -> bool:
    """Return whether a value is an integer of any type, but no bool, and at least this large."""
    try:
        return not isinstance(value, bool) and operator.index(cast(int, value)) >= least
    except TypeError:
        return False


def is_iterable(value: object) -> bool:
    """Return whether something can be iterated over, and is no text."""
    try:
        iter(cast(Iterable[Any], value))
    except TypeError:
        return False
    return not isinstance(value, str | bytes)


def shown(value: object) -> str:
    """Return a value as messages show it: a function by its name, other values by a short repr."""
    return function_name(value) if callable(value) else f"{value!r:.60}"


def written(function: object) -> str:
    """Return how a person writes a function in a program, in place of its name where that is no name."""
    name = shown(function)
    return name if all(part.isidentifier() for part in name.split(".")) else "function"


def task_number(index: object) -> int:
    """Return an index of a job as an integer.

    Raises:
        ArgumentError: it is no integer.
    """
    try:
        return operator.index(cast(int, index))
    except TypeError:
        text = "not the number of a task: tasks are numbered from 0, and job[0] is the future of the first"
        raise ArgumentError(f"{index!r:.60} is {text}") from None


def check_switch(name: str, value: object) -> None:
    """Refuse what is neither True nor False, such as seconds, which ``concurrent.futures`` takes first.

    Raises:
        ConfigError: it is neither.
    """
    if not isinstance(value, bool):
        hint = f". Seconds are given as timeout={value!r}" if isinstance(value, int | float) else ""
        raise ConfigError(f"{name}={value!r:.60}: must be True or False{hint}")
