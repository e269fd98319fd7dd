"""The command ``wrenlite``."""

from __future__ import annotations

import importlib.metadata
import platform
import sys

import click

from wrenlite import Executor, __version__
from wrenlite.deploy import wizard
from wrenlite.deploy.commands import COMMANDS
from wrenlite.display.console import clear_errors, table
from wrenlite.gallery import commands


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="wrenlite")
def main() -> None:
    """Map functions over data, on this machine's cores or on AWS Lambda."""


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


main.add_command(commands.demo)
main.add_command(wizard.main, "setup")
for command in COMMANDS:
    main.add_command(command)
