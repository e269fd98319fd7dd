"""Checks of what users pass to an executor, before anything is pickled. Messages say what to write instead.

Pure, but for ``iterate``, which begins to iterate over the data, the warning of ``check_code_size``, and
``packed_initializer``, which pickles the user's function.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from wrenlite.backends.base import Backend
from wrenlite.config import Progress
from wrenlite.errors import ArgumentError, ConfigError, FunctionNotPicklable
from wrenlite.estimate import LEAST_SAMPLE
from wrenlite.futures import Future
from wrenlite.job import Job
from wrenlite.map_reduce import MapThenReduce
from wrenlite.notices import warn
from wrenlite.protocol import Style
from wrenlite.retry import Retry
from wrenlite.serialize.diagnosis import largest_parts
from wrenlite.serialize.initializers import Initializer, pack_initializer
from wrenlite.serialize.modules import modules_in, why_not_sent
from wrenlite.serialize.pickling import Call, function_name, method_name
from wrenlite.storage.refs import Ref
from wrenlite.task_logging import check_logging
from wrenlite.threads import is_seconds
from wrenlite.wrong_calls import check_switch, is_iterable, is_whole_number, shown, written

if TYPE_CHECKING:
    from wrenlite.executor import Executor

_SUBMIT_OPTIONS = frozenset(
    {"retries", "timeout", "env", "seed", "modules", "keep", "cache", "progress", "logging"}
)
"""Options of ``map`` that ``submit`` takes."""
_LARGE_CODE_BYTES = 10 << 20
"""The size from which a function is named to its user, who may not know what it closes over."""


class MapOptions(NamedTuple):
    """The options that ``map``, ``starmap`` and ``map_reduce`` share, as the user gave them."""

    chunksize: int | None = None
    retries: int | Retry = 0
    timeout: float | None = None
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] | None = None
    env: Mapping[str, str] | None = None
    progress: Progress | None = None
    seed: int | None = None
    logging: bool | None = None
    modules: Iterable[str | types.ModuleType] = ()
    keep: bool = False
    detach: bool = False
    cache: bool = False

    @property
    def then(self) -> Executor | None:
        """The executor of ``retries=Retry(then=…)``; None: there is none."""
        return self.retries.then if isinstance(self.retries, Retry) else None

    def module_names(self, backend: Backend) -> set[str]:
        """Return the names of the modules that are to be sent, with all modules of the packages among them.

        Args:
            backend: what the tasks will run on.

        Raises:
            ConfigError: one of them is no local module; the message names it.
        """
        given = self.modules
        if isinstance(given, str | types.ModuleType) or not is_iterable(given):
            raise ConfigError(f"modules={given!r:.80}: must be a list of modules: modules=[{given!r:.80}]")
        names: set[str] = set()
        for each in given:
            name = each.__name__ if isinstance(each, types.ModuleType) else each
            reason = why_not_sent(name, backend.hints.package)
            if reason:
                raise ConfigError(f"modules=[{name!r:.80}]: {reason}")
            names.update(modules_in(name))
        return names

    def check(self, backend: Backend) -> None:
        """Check the options before anything is pickled or sent.

        Args:
            backend: what the tasks will run on.

        Raises:
            ConfigError: an option cannot be used.
        """
        check_fixed_arguments(self.args, self.kwargs)
        check_env(self.env)
        check_logging(self.logging)
        check_switch("keep", self.keep)
        check_switch("detach", self.detach)
        check_switch("cache", self.cache)
        if self.detach:
            check_detachable(backend)
            if self.cache:
                text = "its values do not come through this program. Attach to it, or map without detach"
                raise ConfigError(f"detach=True: a detached job has no kept values (cache=True): {text}")
            if self.logging:
                raise ConfigError("logging=True: no logger of this program gets what detached jobs log")
            if self.keep:
                raise ConfigError("detach=True: a detached job keeps no values for other maps (keep=True)")
        check_size("chunksize", self.chunksize)
        check_attempts(self.retries, self.timeout, backend)
        if self.progress is not None and not isinstance(self.progress, bool) and self.progress != "auto":
            raise ConfigError(f"progress={self.progress!r}: must be True, False, 'auto' or None")


def check_attempts(retries: int | Retry, timeout: float | None, backend: Backend | None) -> None:
    """Check how often tasks may run, and how long.

    Args:
        retries: further attempts.
        timeout: seconds that a task may take; None: no limit.
        backend: what they will run on; None: its time limit is not known here.

    Raises:
        ConfigError: one of them cannot be used.
    """
    if not isinstance(retries, Retry) and not is_whole_number(retries, 0):
        raise ConfigError(f"retries={retries!r:.80}: must be a whole number from 0, or a wrenlite.Retry")
    if timeout is not None and not (is_seconds(timeout) and timeout > 0):
        raise ConfigError(f"timeout={timeout!r}: must be seconds above 0, or None")
    longest_s = None if backend is None else backend.longest_s
    if backend is not None and timeout is not None and longest_s is not None and timeout > longest_s:
        stops = f"{backend.name} stops a task after {longest_s:g} s"
        raise ConfigError(f"timeout={float(timeout):g}: {stops}. {backend.hints.time}")


def check_detachable(backend: Backend) -> None:
    """Check that another process can run jobs of an executor.

    Raises:
        ConfigError: none can.
    """
    if backend.made_from is None:
        by_hand = "run on a backend that was made by hand"
        where = "run in this process" if backend.runs_in_caller else by_hand
        raise ConfigError(
            f"tasks of this executor {where}, so no other process can take over a job. Detach jobs of "
            "Executor(), Executor.local() or Executor.aws()"
        )


def iterate(data: Iterable[Any], name: str = "data") -> Iterator[Any]:
    """Begin to iterate over the data of a job.

    Args:
        data: the items.
        name: of the argument, for messages.

    Raises:
        ArgumentError: it cannot be iterated over.
    """
    try:
        return iter(data)
    except TypeError as error:
        text = f"{name}={data!r:.80}: must be an iterable of items, such as a list"
        if isinstance(data, Ref):
            text += "; a Ref is one object for many tasks: pass it by args=(ref,), or as an item of a list"
        elif callable(data):
            text += "; it was not called: pass what it returns"
        elif isinstance(data, int):
            text += f": range({data}) for {data} tasks, [{data}] for one"
        else:
            text += ", and this one cannot be iterated over: [data] is a list of this one item"
        is_users = error.__traceback__ is not None and error.__traceback__.tb_next is not None
        raise ArgumentError(text) from (error if is_users else None)


def items_of(data: Iterable[Any], style: Style) -> Iterator[Any]:
    """Begin to iterate over the data of a job as ``iterate`` does. A ``starmap`` takes no sets as items."""
    items = iterate(data)
    return _starred(items) if style is Style.STAR else items


def _starred(data: Iterator[Any]) -> Iterator[Any]:
    for number, item in enumerate(data):
        if isinstance(item, Set):
            raise ArgumentError(
                f"data[{number}]={item!r:.60}: the parts of a set have no order. starmap passes those of a "
                "tuple in order, and those of a dict by name"
            )
        yield item


def check_fixed_arguments(args: object, kwargs: object) -> None:
    """Check the fixed arguments of a job.

    Raises:
        ConfigError: one of them has a type that cannot be used.
    """
    if isinstance(args, Mapping):
        raise ConfigError(
            f"args={args!r:.80}: must be a tuple of positional arguments; kwargs= takes named ones"
        )
    if not is_iterable(args):
        raise ConfigError(f"args={args!r:.80}: must be a tuple of positional arguments: args=({args!r:.80},)")
    named = isinstance(kwargs, Mapping) and all(isinstance(name, str) for name in kwargs)
    if kwargs is not None and not named:
        raise ConfigError(f"kwargs={kwargs!r:.80}: must map names of arguments to values")


def check_size(name: str, size: object) -> None:
    """Check an option that says how many items or tasks there may be; None: the default.

    Raises:
        ConfigError: it cannot be used.
    """
    if size is not None and not is_whole_number(size, 1):
        raise ConfigError(f"{name}={size!r}: must be a whole number from 1, or None")


def check_sample(sample: object) -> None:
    """Check how many tasks an estimate runs.

    Raises:
        ConfigError: the number cannot be used.
    """
    if not is_whole_number(sample, LEAST_SAMPLE):
        raise ConfigError(
            f"sample={sample!r}: must be a whole number from {LEAST_SAMPLE}: fewer tasks do not show how "
            "much they differ"
        )


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
        method, last = method_name(function, style), ""
        if len(named) > 1:
            last = f", {written(named['reduce_fn'])}" if name == "map_fn" else ", reduce_function"
        if style is Style.CALL:
            hint = _hint_for_submit(value, data)
        elif callable(data) and name == "reduce_fn":
            hint = f"The data comes second: map_reduce({written(named['map_fn'])}, data, {written(data)})"
        elif callable(data):
            hint = f"The function comes first: {method}({written(data)}, data{last})"
        elif name == "reduce_fn":
            hint = "Pass the function itself: map_reduce(function, data, reduce_function)"
        else:
            hint = (
                f"Pass the function itself: {method}(function, data{last}), not {method}(function(…), "
                f"data{last})"
            )
        raise ConfigError(f"{name}={value!r:.80}: must be callable. {hint}")


def _hint_for_submit(value: object, data: object) -> str:
    """Return what to write in place of a ``submit`` of something that is not a function.

    Args:
        value: what was submitted.
        data: a list of one pair: the positional and the keyword arguments of the call.
    """
    [(args, _)] = cast(list[tuple[tuple[Any, ...], object]], data)
    if len(args) == 1 and callable(args[0]):
        return f"The function comes first: submit({written(args[0])}, {shown(value)})"
    return "Write submit(function, argument), not submit(function(argument))"


def check_parameters(call: Call, data: Iterator[Any]) -> None:
    """Check that a function can be called with an item, where its parameters are certainly known.

    Args:
        call: the function with its fixed arguments.
        data: the items. The first one is taken out of it only where an error is raised.

    Raises:
        ArgumentError: every call would fail, or that of the reduction.
    """
    function = call.function
    if isinstance(function, MapThenReduce):
        if _mismatch(function.reducer, (None,)):
            name = written(function.reducer)
            raise ArgumentError(
                f"reduce_fn={name}: it is called once, as {name}(values), with an iterator of all values. To "
                f"join them two by two, pass lambda values: functools.reduce({name}, values)"
            )
        function = function.mapper
    kwargs = call.kwargs if call.seed is None else {**call.kwargs, "rng": None}
    reason = _mismatch(function, (None, *call.args), kwargs) if call.style is Style.ITEM else ""
    if not reason:
        return
    for item in data:
        each = ", ".join(("item", *("…" for _ in call.args), *(f"{key}=…" for key in kwargs)))
        method = method_name(call.function, call.style)
        text = f"{method} calls {shown(function)}({each}) for each item, which fails: {reason}"
        raise ArgumentError(text + _hint_for_map(call, function, item, kwargs, reason))


def _hint_for_map(
    call: Call, function: Callable[..., Any], item: object, kwargs: Mapping[str, Any], reason: str
) -> str:
    """Return what to write in place of a ``map`` whose function cannot take an item.

    Args:
        call: the function with its fixed arguments.
        function: what is called for each item.
        item: the first one.
        kwargs: the keyword arguments of each call.
        reason: why a call fails.
    """
    name = written(function)
    if "multiple values for argument" in reason:
        return _hint_for_twice(function, reason)
    if isinstance(item, tuple | list) and not _mismatch(function, (*item, *call.args), kwargs):
        starred = "" if call.function is not function else f"starmap({name}, data) or "
        return f". Write {starred}lambda item: {name}(*item), which passes the parts of each item"
    if isinstance(item, Mapping) and not _mismatch(function, call.args, {**item, **kwargs}):
        return f". Write lambda item: {name}(**item)"
    if "'rng'" in reason:
        return ". seed=42 gives each task a random generator of its own as rng"
    if not _mismatch(function, (), kwargs):
        passed = "**kwargs" if kwargs else ""
        takes = ["item", *(["*args"] if call.args else []), *([passed] if kwargs else [])]
        return f". It takes no item: write lambda {', '.join(takes)}: {name}({passed})"
    if (call.args or kwargs) and not _mismatch(function, (None,)):
        return ". It takes the item alone: leave out args= and kwargs=, which are passed with every item"
    return ". Further arguments are passed by args= and kwargs="


def _hint_for_twice(function: Callable[..., Any], reason: str) -> str:
    """Return what to write in place of a ``map`` that passes one argument twice."""
    name = reason.split("'")[1]
    if "multiple values" in _mismatch(function, (None,), {name: None}):
        return f". {name} is the item itself: leave it out of kwargs="
    return f". args= passes {name} already: leave it out of kwargs="


def fill_by_items(call: Call, data: Iterator[Any]) -> tuple[Call, Iterator[Any]]:
    """Return a call whose items bring those fixed arguments along that have values of other tasks.

    Only items can wait for such values.

    Args:
        call: the function with its fixed arguments.
        data: the items.
    """
    args, kwargs = tuple(map(_known, call.args)), {name: _known(each) for name, each in call.kwargs.items()}
    places = {place: each for place, each in enumerate(args) if _has_futures(each)}
    names = {name: each for name, each in kwargs.items() if _has_futures(each)}
    if isinstance(call.function, MapThenReduce) or not (places or names):
        return call, data
    args = tuple(None if place in places else each for place, each in enumerate(args))
    kwargs = {name: each for name, each in kwargs.items() if name not in names}
    is_star = call.style is Style.STAR
    items = ((item, is_star, places, names) for item in data)
    return call._replace(args=args, kwargs=kwargs, style=Style.FILLED), items


def _known(argument: object) -> object:
    """Return an argument or, in place of a future whose value was unpickled here, the value."""
    return argument.result() if isinstance(argument, Future) and argument._is_read else argument


def _has_futures(argument: object) -> bool:
    """Return whether an argument is a future or a job, or a list, tuple, set or dict with some in it."""
    if isinstance(argument, Future | Job):
        return True
    if type(argument) is dict:
        return any(map(_has_futures, argument.values()))
    return type(argument) in (list, tuple, set, frozenset) and any(
        map(_has_futures, cast(Iterable[object], argument))
    )


def split_options(
    function: Callable[..., Any], kwargs: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divide the keyword arguments of ``submit`` into the options and what is passed to the function.

    An argument that the function takes, or may take, is passed to it.
    """
    named = _SUBMIT_OPTIONS.intersection(kwargs)
    options = {name: kwargs[name] for name in named if not _takes(function, name)}
    return options, {name: value for name, value in kwargs.items() if name not in options}


def check_submitted(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], *, seeded: bool
) -> None:
    """Check that a function of ``submit`` can be called, where its parameters are certainly known.

    Args:
        function: the function.
        args: its positional arguments.
        kwargs: its keyword arguments.
        seeded: whether it gets a random generator too.

    Raises:
        ArgumentError: the call would fail.
    """
    kwargs = {**kwargs, "rng": None} if seeded else kwargs
    reason = _mismatch(function, args, kwargs)
    if not reason:
        return
    name, text = (
        written(function),
        f"submit calls {shown(function)}({_listed(args, kwargs)}), which fails: {reason}",
    )
    if len(args) == 1 and isinstance(args[0], tuple | list) and not _mismatch(function, args[0], kwargs):
        text += f". Write submit({name}, {_listed(args[0], kwargs)})"
    elif "args" in kwargs or "kwargs" in kwargs:
        text += f". submit passes all arguments on: submit({name}, 1, b=2) calls {name}(1, b=2)"
    raise ArgumentError(text)


def packed_initializer(function: object, args: object) -> Initializer | None:
    """Check and pickle the initializer of an executor, and return it; None where there is none.

    Args:
        function: the initializer; None: there is none.
        args: its arguments.

    Raises:
        ConfigError: one of them cannot be used. ArgumentError: the call would fail.
        FunctionNotPicklable: one of them cannot be pickled.
    """
    if isinstance(args, Mapping | str | bytes) or not is_iterable(args):
        raise ConfigError(f"initargs={args!r:.80}: must be a tuple of arguments: initargs=({args!r:.80},)")
    given = tuple(cast(Iterable[Any], args))
    if function is None:
        if given:
            raise ConfigError(f"initargs={given!r:.80}: give initializer= too, the function that takes them")
        return None
    if not callable(function):
        raise ConfigError(
            f"initializer={function!r:.80}: must be callable. Pass the function itself, as in "
            "initializer=function, not initializer=function(…)"
        )
    reason = _mismatch(function, given)
    if reason:
        name = shown(function)
        text = f"each worker calls {name}({_listed(given, {})}), which fails: {reason}"
        raise ArgumentError(f"{text}. initargs= passes the arguments of initializer={name}")
    return pack_initializer(function, given)


def _listed(args: Iterable[Any], kwargs: Mapping[str, Any]) -> str:
    """Return arguments as a person writes them in a call."""
    named = (f"{key}={shown(value)}" for key, value in kwargs.items())
    return ", ".join((*map(shown, args), *named))


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


def _takes(function: object, name: str) -> bool:
    """Return whether a function takes a keyword argument, or may take it."""
    signature = _signature(function)
    if signature is None:
        return True
    parameters = signature.parameters
    named = name in parameters and parameters[name].kind is not inspect.Parameter.POSITIONAL_ONLY
    return named or any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())


def _mismatch(function: object, args: Iterable[Any], kwargs: Mapping[str, Any] | None = None) -> str:
    """Return why a function certainly cannot be called with these arguments; empty where it may be."""
    signature = _signature(function)
    try:
        if signature is not None:
            signature.bind(*args, **(kwargs or {}))
    except TypeError as error:
        return str(error)
    return ""


def _signature(function: object) -> inspect.Signature | None:
    """Return the signature of a function; None where its parameters are not certainly known."""
    plain: Any = function
    while isinstance(plain, functools.partial):
        plain = plain.func
    plain = plain.__func__ if isinstance(plain, types.MethodType) else plain
    if not isinstance(plain, types.FunctionType) or hasattr(plain, "__signature__"):
        return None
    try:  # without __wrapped__: a decorator may pass other arguments on than it takes
        return inspect.signature(cast(Callable[..., Any], function), follow_wrapped=False)
    except (ValueError, TypeError, NameError):
        return None
