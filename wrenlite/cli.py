"""The command ``wrenlite``."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from pathlib import Path

import click

from wrenlite import Executor, __version__
from wrenlite.deploy import wizard
from wrenlite.deploy.commands import COMMANDS
from wrenlite.deploy.show import clear_errors, table


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="wrenlite")
def main() -> None:
    """Map functions over data, on this machine's cores or on AWS Lambda."""


@main.command()
@click.argument("show", type=click.Choice(["fractals"]), default="fractals")
@click.option(
    "--count", type=click.IntRange(min=0), default=24, show_default=True, help="Fractals beside the poster."
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="Folder for the pictures.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Local worker processes; default: as configured.")
@click.option("--aws", is_flag=True, help="Run on AWS Lambda.")
@click.option("--seed", type=int, default=7, show_default=True, help="The same fractals for the same seed.")
def demo(show: str, count: int, out: Path, workers: int | None, aws: bool, seed: int) -> None:
    """Render random L-system fractals and a Mandelbrot poster in parallel."""
    try:
        from wrenlite.gallery.fractals import demo as fractals
    except ModuleNotFoundError as error:
        raise click.ClickException(f"the demo needs {error.name}: pip install 'wrenlite[gallery]'") from error
    with clear_errors(), _executor(workers, aws) as executor, Executor.local(1, progress=False) as alone:
        summary = fractals.run(executor, alone, count, seed, out, lambda line: click.echo(line, err=True))
    rows = {
        "tasks": f"{summary.tasks}",
        "wall time": f"{summary.wall_s:.2f} s",
        "CPU time": f"{summary.cpu_s:.2f} s",
        "speed-up": f"{summary.speed_up:.2f} over one core here ({summary.alone_s:.2f} s)",
        "slowest task": f"{summary.slowest_s:.2f} s ({summary.slowest})",
        "pictures": f"{summary.files} in {out}/",
    }
    if summary.cost is not None:
        rows["cost"] = str(summary.cost)
    table(rows)


def _executor(workers: int | None, aws: bool) -> Executor:
    """Where the configuration says, unless Lambda or so many local workers are asked for."""
    if aws and workers is not None:
        raise click.UsageError("--workers are local ones: not with --aws")
    if aws:
        return Executor.aws()
    return Executor() if workers is None else Executor.local(workers)


@main.command()
def info() -> None:
    """Show where tasks would run, and the versions."""
    with clear_errors(), Executor() as executor:
        rows = {
            "backend": executor.backend.name,
            "Python": f"{platform.python_version()} ({sys.executable})",
            "platform": platform.platform(),
            "wrenlite": __version__,
        }
    for name in ("cloudpickle", "boto3", "click", "tqdm", "platformdirs", "numpy", "pillow"):
        try:
            rows[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            rows[name] = "not installed"
    table(rows)


main.add_command(wizard.main, "setup")
for command in COMMANDS:
    main.add_command(command)
