"""Functions that all commands share: errors as one line, reports as a table or as JSON."""

from __future__ import annotations

import contextlib
import difflib
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

_SIMILAR = 0.65
"""The share of equal letters from which an option that does not exist may mean another one."""

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


class PlainCommand(click.Command):
    """A command whose usage errors are in plain words, also those of the commands within it."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse the arguments."""
        with _plain_usage_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _plain_usage_errors():
            return super().invoke(ctx)


class PlainGroup(PlainCommand, click.Group):
    """A group of commands whose usage errors are in plain words."""


@contextlib.contextmanager
def _plain_usage_errors() -> Iterator[None]:
    """Replace click's texts on wrong values, and suggest only options that are similar."""
    try:
        yield
    except click.NoSuchOption as error:
        typed = error.option_name.lstrip("-")
        likely = sorted((_similarity(typed, each), each) for each in error.possibilities or ())
        similar = [each for share, each in likely[-1:] if share >= _SIMILAR]
        raise click.NoSuchOption(error.option_name, error.message, similar, error.ctx) from error
    except click.BadParameter as error:
        text = _plain_text(error)
        if text == error.message:
            raise
        raise click.BadParameter(text, error.ctx, error.param, error.param_hint) from error


def _similarity(typed: str, option: str) -> float:
    return difflib.SequenceMatcher(None, typed, option.lstrip("-")).ratio()


def _plain_text(error: click.BadParameter) -> str:
    """Return click's message on a value of an option in plain words."""
    clicks = "is not a valid (?:integer|float)|is not in the range|does not match the format"
    found = re.match(f"(.+) (?:{clicks})", error.message)
    if found is None:
        return error.message
    kind = error.param.type if error.param else None
    if isinstance(kind, click.DateTime):
        return f"{found[1]}: write it as 2021-12-31"
    least, most = getattr(kind, "min", None), getattr(kind, "max", None)
    words = ["a whole number" if isinstance(kind, type(click.INT)) else "a number"]
    words += [f"from {least:,}"] if least is not None else []
    words += [f"to {most:,}"] if most is not None else []
    return f"{found[1]}: must be {' '.join(words)}"


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
    """Print names and texts, which may have several lines, in two columns."""
    width = max(map(len, rows))
    for name, value in rows.items():
        lines = value.replace("\n", f"\n{'':<{width}}  ")
        click.echo(f"{name:<{width}}  {lines}")
