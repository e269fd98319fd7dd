"""Functions that all commands share: errors as one line, reports as a table or as JSON."""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

import click

from wrenlite.config import Config
from wrenlite.errors import WrenliteError
from wrenlite.texts import printable

json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print the report as one JSON object on stdout; messages go to stderr.",
)
"""The option ``--json`` of every command that reports: the command gets ``as_json``."""


@contextlib.contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Show an error of wrenlite as one line, without a traceback, in the words of the command line.

    A character that the terminal's encoding lacks is printed as ``?``.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        yield
    except WrenliteError as error:
        raise click.ClickException(_in_words_of_commands(printable(str(error)))) from error


def _in_words_of_commands(message: str) -> str:
    """Return a message that names what to type in place of an argument such as ``region=``.

    That is the option of the running command, or else the environment variable of the setting.
    """
    context = click.get_current_context(silent=True)
    options = {option for each in context.command.params for option in each.opts} if context else set()
    settings = {field.name for field in fields(Config)}

    def typed(match: re.Match[str]) -> str:
        name = match[1]
        option, variable = f"--{name.replace('_', '-')}", f"WRENLITE_{name.upper()}"
        if option in options:
            return option
        return variable if name in settings and variable not in message else match[0]

    return re.sub(r"\b([a-z_]+)=(?=[\s,.;:)]|$)", typed, message)


def print_report(data: Mapping[str, Any], rows: Mapping[str, str], *, as_json: bool) -> None:
    """Print what a command reports, for programs or for people.

    Args:
        data: the report for programs: values that JSON knows, with units in their names.
        rows: the same report for people: names and texts.
        as_json: print ``data`` as JSON; otherwise print ``rows`` as a table.
    """
    if as_json:
        print_json(data)
    else:
        print_table(rows)


def print_json(data: Mapping[str, Any]) -> None:
    """Print one JSON object.

    It is pure ASCII, so that it is whole in every encoding. NaN and infinity are refused, because JSON has
    neither.
    """
    click.echo(json.dumps(data, indent=2, allow_nan=False))


def print_table(rows: Mapping[str, str]) -> None:
    """Print names and texts in two columns."""
    width = max(map(len, rows))
    for name, value in rows.items():
        click.echo(f"{name:<{width}}  {value}")
