"""The command ``wrenlite cache``: the values that ``map`` with ``cache=True`` keeps."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import click

from wrenlite.config import Config, config_path, parse_setting, update_file
from wrenlite.display import console
from wrenlite.errors import ConfigError
from wrenlite.memo.cache import Cache
from wrenlite.memo.index import Total
from wrenlite.memo.why import Why, why
from wrenlite.texts import counted, printable, sized


@click.group(
    "cache",
    cls=console.PlainGroup,
    invoke_without_command=True,
    short_help="List and delete kept values, and say why tasks ran again.",
    epilog="Example: wrenlite cache --why clean-6f3791",
)
@click.option("--why", "job", metavar="JOB", help="Say what has changed since the last run of the function.")
@console.json_option
@click.pass_context
def cache(context: click.Context, job: str | None, *, as_json: bool) -> None:
    """The values that map(…, cache=True) has kept on this machine. Without a command, list them."""
    if context.invoked_subcommand is not None:
        if job is not None or as_json:
            raise click.UsageError("--why and --json stand alone, or behind the command")
        return
    with console.errors_in_one_line():
        if job is None:
            _list(as_json=as_json)
            return
        found = why(_cache().index.runs(), job)
    if as_json:
        console.print_json(_why_document(found))
    else:
        click.echo(printable(str(found)))


def _cache() -> Cache:
    return Cache(Config.load())


def _why_document(found: Why) -> dict[str, Any]:
    run, before = found.run, found.before
    return {
        "job": run.job,
        "function": run.function,
        "tasks": run.tasks,
        "cached": run.cached,
        "before": before.job if before is not None else None,
        "changes": [change._asdict() for change in found.changes],
    }


@cache.command(
    "list", short_help="List the functions with kept values.", epilog="Example: wrenlite cache list"
)
@console.json_option
def list_functions(*, as_json: bool) -> None:
    """List the functions whose values are kept, that which was used last first."""
    with console.errors_in_one_line():
        _list(as_json=as_json)


def _list(*, as_json: bool) -> None:
    found = _cache()
    totals = found.index.totals()
    local_bytes = sum(each.local_bytes for each in totals)
    if as_json:
        functions = [each._asdict() for each in totals]
        bounds = {"most_bytes": found.most_bytes, "days": found.days}
        console.print_json(
            {"folder": str(found.folder), "bytes": local_bytes, **bounds, "functions": functions}
        )
        return
    if totals:
        click.echo("\n".join(_table(totals)))
    bounds_text = f"{sized(found.most_bytes)}, and {counted(found.days, 'day')} without use"
    click.echo(f"{sized(local_bytes)} in {found.folder}; bounds: {bounds_text}")


def _table(totals: list[Total]) -> list[str]:
    names = _short_names([each.function for each in totals])
    rows = [("function", "values", "size here", "last used")]
    for each in totals:
        used = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(each.used))
        rows.append((printable(names[each.function]), f"{each.entries:,}", sized(each.local_bytes), used))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    name, entries, size, _ = widths
    return [f"{a:<{name}}  {b:>{entries}}  {c:>{size}}  {d}" for a, b, c, d in rows]


@cache.command(short_help="Delete kept values.", epilog="Example: wrenlite cache clear main.py:clean")
@click.argument("function", required=False)
@console.json_option
def clear(function: str | None, *, as_json: bool) -> None:
    """Delete the values of FUNCTION, named as in the list, or all of them.

    Where several files have a function of this name, write it with its file and as many folders as needed.

    Values that are in a bucket are only forgotten: the bucket deletes them after some days.
    """
    with console.errors_in_one_line():
        found = _cache()
        names = [each.function for each in found.index.totals()]
        chosen = names if function is None else _matching(names, function)
        deleted = 0
        for name in chosen:
            keys = found.index.of_function(name)
            found.forget(keys)
            deleted += len(keys)
        found.index.shrink()
    if as_json:
        console.print_json({"functions": chosen, "deleted": deleted})
    else:
        click.echo(f"{counted(deleted, 'value')} deleted.")


def _matching(names: list[str], function: str) -> list[str]:
    """Return the function with this name, which may be without its file, or without folders of that.

    Raises:
        ConfigError: there is none, or several.
    """
    endings = f"/{function}", f":{function}", f".{function}"
    found = [function] if function in names else [name for name in names if name.endswith(endings)]
    if not found:
        raise ConfigError(f"no values of {function!r} are kept. `wrenlite cache list` lists the functions")
    if len(found) > 1:
        raise ConfigError(
            f"several functions have the name {function!r}, and nothing was deleted. Write one of these "
            f"names: {', '.join(sorted(found))}"
        )
    return found


def _short_names(names: list[str]) -> dict[str, str]:
    """Return each name without the folder of its file, unless another one is the same without it."""
    short = {name: name.rpartition("/")[2] for name in names}
    counts = Counter(short.values())
    return {name: each if counts[each] == 1 else name for name, each in short.items()}


@cache.command(
    short_help="Set how much is kept, and for how long.",
    epilog="Example: wrenlite cache bound --bytes 5GB --age 30d",
)
@click.option("--bytes", "most", metavar="SIZE", help="The most bytes on this machine, such as 5GB.")
@click.option("--age", metavar="DAYS", help="Days after which a value is deleted that nobody uses: 30d.")
@console.json_option
def bound(most: str | None, age: str | None, *, as_json: bool) -> None:
    """Set the bounds of the kept values in the file of settings, and delete now what is outside of them."""
    with console.errors_in_one_line():
        given = {"cache_bytes": most, "cache_days": age}
        options = {"cache_bytes": "--bytes", "cache_days": "--age"}
        settings = {
            name: parse_setting(name, value, f"{options[name]} {value}")
            for name, value in given.items()
            if value is not None
        }
        path = config_path()
        if settings and path is None:
            raise ConfigError("WRENLITE_CONFIG is empty, so there is no file of settings: name one by it")
        if settings and path is not None:
            update_file(path, settings)
        found = _cache()
        found.tidy()
        local_bytes = found.index.local_bytes()
    if as_json:
        bounds = {"most_bytes": found.most_bytes, "days": found.days}
        console.print_json({"bytes": local_bytes, **bounds})
    else:
        click.echo(
            f"Up to {sized(found.most_bytes)} are kept, each for {counted(found.days, 'day')} after "
            f"its last use; now {sized(local_bytes)}."
        )
