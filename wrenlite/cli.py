"""The command ``wrenlite``."""

from __future__ import annotations

import importlib.metadata
import platform
import sys

import click

from wrenlite import Executor, __version__
from wrenlite.deploy import publishing_commands, wizard
from wrenlite.deploy.commands import COMMANDS
from wrenlite.display import cache_commands, job_commands
from wrenlite.display.console import PlainGroup, errors_in_one_line, json_option, print_report
from wrenlite.gallery import commands
from wrenlite.serving.commands import serve

_PACKAGES = ("cloudpickle", "boto3", "click", "platformdirs", "numpy", "pillow")
"""Packages whose versions ``wrenlite info`` shows."""


@click.group(
    cls=PlainGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: wrenlite demo --count 12 --out pictures",
)
@click.version_option(__version__, prog_name="wrenlite")
def main() -> None:
    """Map functions over data, on this machine's cores or on AWS Lambda."""


@main.command(
    short_help="Show the backend and the versions of packages.", epilog="Example: wrenlite info --json"
)
@json_option
def info(as_json: bool) -> None:
    """Show where tasks run, and the versions of Python, wrenlite and its packages."""
    with errors_in_one_line(), Executor() as executor:
        backend = executor.backend.name
    packages = {name: _version(name) for name in _PACKAGES}
    data = {
        "backend": backend,
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "wrenlite": __version__,
        "packages": packages,
    }
    rows = {
        "backend": backend,
        "Python": f"{platform.python_version()} ({sys.executable})",
        "platform": platform.platform(),
        "wrenlite": __version__,
        **{name: version or "not installed" for name, version in packages.items()},
    }
    print_report(data, rows, as_json=as_json)


def _version(package: str) -> str | None:
    """Return the version of an installed package; None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


main.add_command(commands.demo)
main.add_command(serve)
main.add_command(wizard.main, "setup")
for command in (*job_commands.COMMANDS, cache_commands.cache, *COMMANDS, *publishing_commands.COMMANDS):
    main.add_command(command)
