"""What all commands share: errors as one line, and tables."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator, Mapping

import click

from wrenlite.errors import WrenliteError


@contextlib.contextmanager
def clear_errors() -> Iterator[None]:
    """What wrenlite itself raises is one line, not a traceback; a sign that the terminal has not is ``?``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        yield
    except WrenliteError as error:
        raise click.ClickException(str(error)) from error


def table(rows: Mapping[str, str]) -> None:
    """Names and values, one below the other."""
    width = max(map(len, rows))
    for name, value in rows.items():
        click.echo(f"{name:<{width}}  {value}")
