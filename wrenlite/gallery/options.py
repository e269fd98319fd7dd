"""Options that the commands of ``wrenlite demo`` share, with the executor and the report that they choose."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from wrenlite import Executor
from wrenlite.backends.factory import open_store
from wrenlite.cost import Cost
from wrenlite.display.console import errors_in_one_line, print_report
from wrenlite.errors import AccessDenied
from wrenlite.gallery.preflight import check_folder
from wrenlite.job import Job
from wrenlite.storage.base import Store
from wrenlite.storage.local import LocalStore

Command = TypeVar("Command", bound=Callable[..., Any])

_PACKAGES = {
    "gallery": ("numpy", "PIL"),
    "video": ("numpy", "PIL", "av"),
    "landsat": ("numpy", "PIL", "rasterio", "scipy", "matplotlib"),
}
"""The packages of each extra; wrenlite itself does not need them."""

seed_option = click.option(
    "--seed",
    metavar="N",
    type=int,
    default=7,
    show_default=True,
    help="Seed of the random fractals: same seed, same fractals.",
)
folder_option = click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("demo"),
    show_default=True,
    metavar="DIR",
    help="Folder for the pictures.",
)


def count_option(least: int) -> Callable[[Command], Command]:
    """Return the option ``--count`` with a lowest value."""
    return click.option(
        "--count",
        metavar="N",
        type=click.IntRange(least, 10_000),
        default=24,
        show_default=True,
        help="Number of random fractals.",
    )


def executor_options(command: Command) -> Command:
    """Add the options ``--workers`` and ``--aws``, which choose where tasks run."""
    for option in (
        click.option("--aws", is_flag=True, help="Run on AWS Lambda."),
        click.option(
            "--workers",
            metavar="N",
            type=click.IntRange(min=1),
            help="Number of local worker processes.  [default: as configured]",
        ),
    ):
        command = option(command)
    return command


@contextlib.contextmanager
def open_executor(workers: int | None, aws: bool, extra: str = "gallery") -> Iterator[Executor]:
    """Open the executor that ``--workers`` and ``--aws`` choose; without them, the configured one.

    Args:
        workers: the value of ``--workers``.
        aws: the value of ``--aws``.
        extra: the extra of wrenlite whose packages the command needs.

    Raises:
        click.UsageError: both options were given.
        click.ClickException: a package is missing, or the command fails with an error of wrenlite.
    """
    if aws and workers is not None:
        raise click.UsageError("--workers is for local workers and cannot be combined with --aws")
    with errors_in_one_line():
        try:
            for package in _PACKAGES[extra]:
                importlib.import_module(package)
        except ModuleNotFoundError as error:
            text = f"the demo needs the package {error.name}: pip install 'wrenlite[{extra}]'"
            raise click.ClickException(text) from error
        with _new_executor(workers, aws) as executor:
            yield executor


def _new_executor(workers: int | None, aws: bool) -> Executor:
    if aws:
        return Executor.aws()
    return Executor() if workers is None else Executor.local(workers)


def open_output(address: str) -> tuple[Store, bool]:
    """Open the store for the pictures.

    Returns:
        The store, and whether the workers write to it: they write to a bucket, this process to a folder.
    """
    store = open_store(address)
    if not isinstance(store, LocalStore):
        with contextlib.suppress(AccessDenied):  # a user who may not list the bucket may still write to it
            next(store.list(""), None)  # a missing bucket is refused before anything runs
        return store, True
    check_folder(address)
    return store, False


def refuse_unused(parameters: Iterable[str], reason: str) -> None:
    """Refuse options that were given on the command line and have no effect.

    Args:
        parameters: names of the command's parameters.
        reason: the end of the message, such as ``without --name``.

    Raises:
        click.UsageError: one of them was given. The message has the option's main name.
    """
    context = click.get_current_context()
    options = {parameter.name: parameter.opts[0] for parameter in context.command.params}
    for name in parameters:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{options[name]} has no effect {reason}")


def without_given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of those parameters that were not given on the command line."""
    context = click.get_current_context()
    return {
        name: value
        for name, value in values.items()
        if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE
    }


def text_printer(as_json: bool) -> Callable[[str], None]:
    """Return a function that prints a text for people, or that prints nothing, where the report is JSON."""
    return (lambda text: None) if as_json else click.echo


def print_jobs(executor: Executor, *jobs: Job[Any], data: Mapping[str, Any], as_json: bool) -> None:
    """Wait for jobs that ran one after the other, and print the time and the cost of all of them.

    Args:
        executor: the executor that ran them.
        jobs: the jobs.
        data: other facts for the JSON report.
        as_json: print the report as JSON; otherwise as a table.
    """
    for job in jobs:
        job.wait()
    stats = [task for job in jobs for task in job.stats()]
    wall_s = sum(job.snapshot().seconds for job in jobs)
    cpu_s = sum(task.cpu_s or 0.0 for task in stats)
    cost = executor.cost if executor.backend.prices else None
    rows = {
        "tasks": f"{len(stats)} on {executor.backend.name}",
        "wall time": f"{wall_s:.2f} s",
        "CPU time": f"{cpu_s:.2f} s",
    }
    if cost is not None:
        rows["cost"] = str(cost)
    usage = {
        "backend": executor.backend.name,
        "tasks": len(stats),
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "cost": cost_data(cost),
    }
    print_report({**data, **usage}, rows, as_json=as_json)


def cost_data(cost: Cost | None) -> dict[str, Any] | None:
    """Return a cost for a JSON report; None where nothing is charged."""
    return None if cost is None else cost._asdict()
