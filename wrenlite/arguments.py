"""Checks of what users pass to an executor, before anything is pickled. Messages say what to write instead.

Pure, but for ``iterate``, which begins to iterate over the data, and the warning of ``check_code_size``.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import index
from typing import Any, TypeVar, cast

from wrenlite.errors import ArgumentError, ConfigError, FunctionNotPicklable
from wrenlite.map_reduce import MapThenReduce
from wrenlite.notices import warn
from wrenlite.protocol import Style
from wrenlite.serialize.diagnosis import largest_parts
from wrenlite.serialize.pickling import Call, function_name

F = TypeVar("F", bound=Callable[..., Any])

_LARGE_CODE_BYTES = 10 << 20
"""The size from which a function is named to its user, who may not know what it closes over."""

_OTHER_OPTIONS = {
    **dict.fromkeys(("max_workers", "n_workers", "num_workers", "n_jobs", "jobs"), "workers"),
    **dict.fromkeys(("processes", "nprocs", "num_cpus", "cores", "threads", "concurrency"), "workers"),
    **dict.fromkeys(("memory", "max_memory", "mem_limit", "memory_mb"), "memory_limit"),
    **dict.fromkeys(("region_name", "aws_region"), "region"),
    **dict.fromkeys(("profile_name", "aws_profile"), "profile"),
    **dict.fromkeys(("function_name", "lambda_function"), "function"),
    **dict.fromkeys(("func", "f", "function", "map_function", "map_func"), "fn"),
    **dict.fromkeys(("iterable", "iterables", "iterdata", "map_iterdata", "items", "seq"), "data"),
    **dict.fromkeys(("reduce_function", "reduce_func", "reducer"), "reduce_fn"),
    **dict.fromkeys(("chunk_size", "batch_size", "batchsize"), "chunksize"),
    **dict.fromkeys(("max_retries", "tries", "attempts"), "retries"),
    **dict.fromkeys(("timeout_s", "time_limit"), "timeout"),
    **dict.fromkeys(("extra_args", "fixed_args"), "args"),
    **dict.fromkeys(("kwds", "extra_kwargs"), "kwargs"),
    **dict.fromkeys(("extra_env", "environ", "environment"), "env"),
    **dict.fromkeys(("verbose", "show_progress", "progressbar"), "progress"),
}
"""Options as other libraries name them, and their names here."""

_OWNERS = {
    **dict.fromkeys(("workers", "memory_limit"), "Executor.local"),
    **dict.fromkeys(("profile", "region", "bucket", "prefix", "function", "endpoint_url"), "Executor.aws"),
    **dict.fromkeys(("bucket_owner", "max_concurrency", "budget"), "Executor.aws"),
    **dict.fromkeys(("chunksize", "retries", "timeout", "args", "kwargs", "env"), "map"),
}
"""The methods that take an option."""

_BACKENDS = {
    **dict.fromkeys(("local", "process", "processes", "multiprocessing", "threads", "threading"), "local"),
    **dict.fromkeys(("aws", "lambda", "aws_lambda", "cloud", "remote"), "aws"),
    **dict.fromkeys(("inline", "debug", "serial", "sequential"), "inline"),
}
"""Names of backends, and the methods that make an executor on them."""

_USAGE = {
    "Executor": "Executor(), Executor.local(4) or Executor.aws()",
    "Executor.local": "Executor.local(4)",
    "Executor.aws": "Executor.aws()",
    "map": "map(function, data)",
    "starmap": "starmap(function, [(1, 2), (3, 4)])",
    "map_reduce": "map_reduce(function, data, reduce_function)",
}
"""How a method is called."""


def explain_wrong_calls(method: F) -> F:
    """Make a method raise ArgumentError where it is called with arguments that it does not take.

    Args:
        method: of an executor.
    """

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except TypeError:
            text = _why_wrong(method, args, kwargs)
            if text is None:  # the method itself raised it
                raise
        raise ArgumentError(text)

    return cast(F, call)


def _why_wrong(method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """Return what to write in place of a call; None where the method takes these arguments."""
    signature = inspect.signature(method)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        reason = str(error)
    else:
        return None
    first, *names = signature.parameters
    name = method.__name__
    if name == "__init__":
        name = "Executor"
    elif first == "cls":
        name = f"Executor.{name}"
    if first == "self" and not (args and hasattr(type(args[0]), method.__name__)):
        return f"{name} is a method of executors. Write Executor().{_USAGE[name]}"
    unknown = [option for option in kwargs if option not in names]
    if unknown:
        return _unknown_option(name, names, unknown[0], kwargs[unknown[0]])
    options = [each for each in names if signature.parameters[each].kind is inspect.Parameter.KEYWORD_ONLY]
    positional = 1 + len(names) - len(options)
    more = args[positional:]
    if more and name in ("map", "starmap") and all(map(_is_iterable, more)):
        function = _written(args[1])
        letters = ", ".join("abcdefgh"[: 1 + len(more)])
        return (
            f"{name}({function}, …) takes one iterable, and got {1 + len(more)}. Write starmap({function}, "
            f"zip({letters})) to call the function with one item of each"
        )
    if more:
        shown = ", ".join(map(_shown, args[1:]))
        return (
            f"{name}({shown}): options are given by name, as in {name}({options[0]}=…). They are "
            f"{', '.join(options)}"
        )
    return f"{name}: {reason}. Write {_USAGE[name]}"


def _unknown_option(name: str, takes: list[str], option: str, value: object) -> str:
    """Return what to write in place of an option that a method does not take."""
    import difflib

    meant = _OTHER_OPTIONS.get(option, option)
    if name.startswith("Executor") and option in _OWNERS:
        meant = option
    if (name, meant) == ("Executor.aws", "workers"):
        meant = "max_concurrency"
    if meant not in (*takes, *_OWNERS):
        meant = next(iter(difflib.get_close_matches(option, (*takes, *_OWNERS), 1)), "")
    text = f"{name} takes no {option}="
    if meant in takes:
        return f"{text}. Write {name}({meant}={_shown(value)})"
    if meant == "workers" and not is_whole_number(value, 1):  # such as joblib's -1
        return f"{text}. Write Executor.local() for one worker per core, or Executor.local(workers=4)"
    if meant in _OWNERS:
        before = "function, data, " if _OWNERS[meant] == "map" else ""
        return f"{text}. Write {_OWNERS[meant]}({before}{meant}={_shown(value)})"
    return f"{text}; it takes {', '.join(takes)}"


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


def iterate(data: Iterable[Any]) -> Iterator[Any]:
    """Begin to iterate over the data of a job.

    Raises:
        ConfigError: it cannot be iterated over.
    """
    try:
        return iter(data)
    except TypeError as error:
        text = f"data={data!r:.80}: must be an iterable of items, such as a list"
        if callable(data):
            text += "; it was not called: pass what it returns"
        elif isinstance(data, int):
            text += f": range({data}) for {data} tasks, [{data}] for one"
        else:
            text += ", and this one cannot be iterated over: [data] is a list of this one item"
        raise ConfigError(text) from error


def check_fixed_arguments(args: object, kwargs: object) -> None:
    """Check the fixed arguments of a job.

    Raises:
        ConfigError: one of them has a type that cannot be used.
    """
    if isinstance(args, Mapping):
        raise ConfigError(
            f"args={args!r:.80}: must be a tuple of positional arguments; kwargs= takes named ones"
        )
    if not _is_iterable(args):
        raise ConfigError(f"args={args!r:.80}: must be a tuple of positional arguments: args=({args!r:.80},)")
    named = isinstance(kwargs, Mapping) and all(isinstance(name, str) for name in kwargs)
    if kwargs is not None and not named:
        raise ConfigError(f"kwargs={kwargs!r:.80}: must map names of arguments to values")


def is_whole_number(value: object, least: int) -> bool:
    """Return whether a value is an integer of any type, but no bool, and at least this large."""
    try:
        return not isinstance(value, bool) and index(cast(int, value)) >= least
    except TypeError:
        return False


def check_env(env: object) -> None:
    """Check the environment variables of a job.

    Raises:
        ConfigError: they are not a mapping, or no process can have a variable of that name or value.
    """
    if env is None:
        return
    if not isinstance(env, Mapping):
        raise ConfigError(f"env={env!r:.80}: must map names of environment variables to text")
    for key, value in env.items():
        texts = isinstance(key, str) and isinstance(value, str)
        if not texts or not key or "=" in key or "\0" in key + value:
            raise ConfigError(
                f"env[{key!r}]: name and value must be str without NUL, and the name must not be empty or "
                "contain '='"
            )
        try:
            (key + value).encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise ConfigError(
                f"env[{key!r}]: name and value must not contain a surrogate, which is half of a character"
            ) from None


def check_functions(function: object, style: Style, data: object) -> None:
    """Check that a function can be called; of a ``map_reduce``, both functions.

    Args:
        function: the function.
        style: how it is called.
        data: the items, which some people pass first.

    Raises:
        ConfigError: it cannot be called.
    """
    named: dict[str, object] = {"fn": function}
    if isinstance(function, MapThenReduce):
        named = dict[str, object](function.named())
    for name, value in named.items():
        if callable(value):
            continue
        if style is Style.CALL:
            hint = "Write submit(function, argument), not submit(function(argument))"
        elif callable(data) and name != "reduce_fn":
            hint = f"The function comes first: map({_written(data)}, data)"
        else:
            hint = "Pass the function itself: map(function, data), not map(function(…), data)"
        raise ConfigError(f"{name}={value!r:.80}: must be callable. {hint}")


def check_parameters(call: Call, data: Iterator[Any]) -> None:
    """Check that a function of ``map`` can be called with an item, where its parameters are certainly known.

    Args:
        call: the function with its fixed arguments.
        data: the items. The first one is taken out of it only where an error is raised.

    Raises:
        ArgumentError: every call would fail, or that of the reduction.
    """
    function = call.function
    if isinstance(function, MapThenReduce):
        if _mismatch(function.reducer, (None,)):
            name = _written(function.reducer)
            raise ArgumentError(
                f"reduce_fn={name}: it is called once, as {name}(values), with an iterator of all values. To "
                f"join them two by two, pass lambda values: functools.reduce({name}, values)"
            )
        function = function.mapper
    kwargs = call.kwargs if call.seed is None else {**call.kwargs, "rng": None}
    reason = _mismatch(function, (None, *call.args), kwargs) if call.style is Style.ITEM else ""
    if not reason:
        return
    name = _shown(function)
    written = _written(function)
    for item in data:
        shown = ", ".join(("item", *("…" for _ in call.args), *(f"{key}=…" for key in kwargs)))
        text = f"map calls {name}({shown}) for each item, which fails: {reason}"
        if isinstance(item, tuple | list) and not _mismatch(function, (*item, *call.args), kwargs):
            starred = "" if call.function is not function else f"starmap({written}, data) or "
            text += f". Write {starred}lambda item: {written}(*item), which passes the parts of each item"
        elif isinstance(item, Mapping) and not _mismatch(function, call.args, {**item, **kwargs}):
            text += f". Write lambda item: {written}(**item)"
        elif "'rng'" in reason:
            text += ". seed=42 gives each task a random generator of its own as rng"
        else:
            text += ". Further arguments are passed by args= and kwargs="
        raise ArgumentError(text)


def check_code_size(call: Call, size: int, max_bytes: int | None) -> None:
    """Check the size of a pickled function, and warn where it is large.

    Args:
        call: the function.
        size: bytes of its pickle.
        max_bytes: the most bytes that can be sent; None: no limit.

    Raises:
        FunctionNotPicklable: it is larger than that.
    """
    too_large = max_bytes is not None and size > max_bytes
    if size < _LARGE_CODE_BYTES and not too_large:
        return
    reason = "every job with it sends all of that"
    if max_bytes is not None and too_large:
        reason = f"at most {max_bytes / 2**20:,.0f} MB can be sent"
    parts = largest_parts(call.function, call.args, call.kwargs)
    text = (
        f"the function {function_name(call.function)} is {size / 2**20:,.1f} MB pickled, and {reason}. Its "
        f"largest parts: {parts}. executor.put(...) uploads a large object once; use what it returns in its "
        "place"
    )
    if too_large:
        raise FunctionNotPicklable(text)
    warn(text)


def _mismatch(function: object, args: Iterable[Any], kwargs: Mapping[str, Any] | None = None) -> str:
    """Return why a function certainly cannot be called with these arguments; empty where it may be."""
    plain: Any = function
    while isinstance(plain, functools.partial):
        plain = plain.func
    plain = plain.__func__ if isinstance(plain, types.MethodType) else plain
    if not isinstance(plain, types.FunctionType) or hasattr(plain, "__signature__"):
        return ""
    try:  # without __wrapped__: a decorator may pass other arguments on than it takes
        signature = inspect.signature(cast(Callable[..., Any], function), follow_wrapped=False)
    except (ValueError, TypeError, NameError):
        return ""
    try:
        signature.bind(*args, **(kwargs or {}))
    except TypeError as error:
        return str(error)
    return ""


def _is_iterable(value: object) -> bool:
    """Return whether something can be iterated over, and is no text."""
    try:
        iter(cast(Iterable[Any], value))
    except TypeError:
        return False
    return not isinstance(value, str | bytes)


def _shown(value: object) -> str:
    return function_name(value) if callable(value) else f"{value!r:.60}"


def _written(function: object) -> str:
    """Return how a person writes a function in a program, in place of its name where that is no name."""
    name = _shown(function)
    return name if all(part.isidentifier() for part in name.split(".")) else "function"
