"""Pages on the command line, made from the commands themselves: what ``--help`` prints, as Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator

import click

from wrenlite.cli import main
from wrenlite.deploy import wizard

_PAGES = {
    "demo": ("Demo", ["demo"]),
    "jobs": ("Jobs", ["jobs", "show", "events", "advice", "logs", "attach", "cancel", "cache"]),
    "deployment": ("The deployment on AWS", ["setup", "status", "doctor", "test", "cleanup", "destroy"]),
    "publishing": ("Publishing and serving", ["serve", "publish", "published", "start", "unpublish"]),
}
"""Each page on commands: its title and its commands, in their order."""

_OTHER = ["info"]
"""Commands on the first page, which lists all."""

_PROGRAM = "wrenlite"


def pages() -> dict[str, str]:
    """Return the Markdown of each page, by the name of its file."""
    named = {name for _, names in _PAGES.values() for name in names} | {*_OTHER}
    if named != set(main.commands):
        raise ValueError(
            f"these commands are in no page or do not exist: {sorted(named ^ set(main.commands))}"
        )
    context = _context(main, _PROGRAM, None)
    made = {"index.md": "\n".join(_overview(context))}
    for file, (title, names) in _PAGES.items():
        lines = [f"# {title}", "", *(line for name in names for line in _command(_sub(context, name), 2))]
        made[f"{file}.md"] = "\n".join(lines)
    return made


def _overview(context: click.Context) -> Iterator[str]:
    """Yield the lines of the first page: all commands, by page."""
    yield "# Command line\n"
    yield from _paragraphs(context.command.help)
    yield "`wrenlite COMMAND --help` prints what these pages say.\n"
    for file, (title, names) in _PAGES.items():
        yield f"## {title}\n"
        yield from (_entry(_sub(context, name), f"{file}.md") for name in names)
        yield ""
    yield "## This program\n"
    yield from _options(context)
    for name in _OTHER:
        yield from _command(_sub(context, name), 3)


def _entry(context: click.Context, file: str) -> str:
    """Return the line of the overview for a command."""
    meaning = _escaped(context.command.get_short_help_str(200))
    return f"- [`{context.command_path}`]({file}#{_anchor(context)}): {meaning}"


def _command(context: click.Context, depth: int) -> Iterator[str]:
    """Yield the section of a command, and those of the commands within it."""
    command = context.command
    yield f"{'#' * depth} {_title(context)} {{ #{_anchor(context)} }}\n"
    yield from _paragraphs(command.help)
    yield "```text"
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield from _folded(usage)
    yield "```\n"
    yield from _options(context)
    if command.epilog:
        heading, _, example = command.epilog.partition(":")
        yield f"{heading}:\n\n```text\n{inspect.cleandoc(example).strip()}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            yield from _command(_sub(context, name), depth + 1)


def _title(context: click.Context) -> str:
    """Return the heading of a command."""
    return (
        f"{context.command_path}, wrenlite-setup" if context.command is wizard.main else context.command_path
    )


def _options(context: click.Context) -> Iterator[str]:
    """Yield the options of a command as a definition list."""
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        if record and "--help" not in parameter.opts:
            names, meaning = record
            yield f"`{names}`\n:   {_escaped(meaning)}\n"


def _paragraphs(text: str | None) -> Iterator[str]:
    """Yield the paragraphs of a help text; those that click must not fold are shown as they are."""
    for paragraph in inspect.cleandoc(text or "").split("\n\n"):
        if paragraph.startswith("\b"):
            yield f"```text\n{paragraph.lstrip(chr(8)).strip(chr(10))}\n```\n"
        else:
            yield f"{_escaped(' '.join(paragraph.split()))}\n"


def _escaped(text: str) -> str:
    """Return a text in which nothing is Markdown, and options and names in capitals are code."""
    escaped = re.sub(r"([\\`*_{}\[\]#|])", r"\\\1", text.replace("<", "&lt;"))
    return re.sub(r"(?<![\w-])(--[a-z][a-z-]*[a-z])", r"`\1`", escaped)


def _folded(usage: str) -> Iterable[str]:
    """Return the lines of a usage."""
    return click.formatting.wrap_text(usage, 88, subsequent_indent="    ").splitlines()


def _sub(context: click.Context, name: str) -> click.Context:
    """Return the context of a command within another."""
    assert isinstance(context.command, click.Group)
    command = context.command.get_command(context, name)
    assert command is not None
    return _context(command, name, context)


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    return command.context_class(command, info_name=name, parent=parent, **command.context_settings)


def _anchor(context: click.Context) -> str:
    """Return the anchor of a command's section."""
    return context.command_path.replace(" ", "-")
