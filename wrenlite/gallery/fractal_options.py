"""Options that the commands of the fractals share: each has one definition, one meaning and one help."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import click

Command = Callable[..., Any]
Option = Callable[[Command], Command]


class OriginalSpelling(click.Command):
    """A command that also takes its options as the original program, gobrot, spells them.

    Programs in Go write long options with one hyphen: ``-palette Vivid``.
    """

    SPELLINGS: ClassVar = {
        "--escape-radius": "--radius",
        "--iteration": "--iters",
        "--iterations": "--iters",
        "--file": "--out",
        "--outfile": "--out",
    }
    """Other names of options, and the names that the help shows."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Replace the names of options that are spelled in another way."""

        def spelled(arg: str) -> str:
            name, equals, value = arg.partition("=")
            name = f"-{name}" if re.match("-[a-z]{2}", name) else name
            return f"{self.SPELLINGS.get(name, name)}{equals}{value}"

        return super().parse_args(ctx, [spelled(arg) for arg in args])


def all_of(*options: Option) -> Option:
    """Return several options as one, in the order in which the help shows them."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def place_options(place: str, width: str, radius: str = "Width of the picture in the plane.") -> Option:
    """Return the options of the part of the plane that is drawn.

    Args:
        place: what the help says about the centre where none is given.
        width: the same for the width.
        radius: what the width is.
    """
    return all_of(
        click.option(
            "--xpos",
            metavar="X",
            help=f"Centre, real part, with any number of digits.  [default: {place}]",
        ),
        click.option("--ypos", metavar="Y", help="Centre, imaginary part."),
        click.option("--radius", metavar="WIDTH", help=f"{radius}  [default: {width}]"),
    )


julia_option = click.option(
    "--julia", metavar="RE,IM", help="Draw the Julia set of this number, such as --julia=-0.8,0.156."
)


def picture_options(palette: str, iters: int, width: int, height: int) -> Option:
    """Return the options of how a set is drawn, with their defaults."""
    return all_of(
        click.option(
            "--palette",
            metavar="NAME",
            default=palette,
            show_default=True,
            help="Colours: AfternoonBlue, SummerBeach, Biochemist, Fiesta, Hippi, Vivid, Plan9 or Wren.",
        ),
        iters_option(iters, "Most iterations per point; points that need more are drawn as inside."),
        click.option(
            "--step",
            metavar="N",
            type=int,
            default=6000,
            show_default=True,
            help="Number of colours of the palette, 2 or more; few make bands.",
        ),
        click.option(
            "--smoothness",
            metavar="N",
            type=int,
            default=2,
            show_default=True,
            help="Points per pixel each way, 1 to 16; 1 is fast and has jagged edges.",
        ),
        size_options(width, height),
    )


light_options = all_of(
    click.option(
        "--light",
        metavar="[AZIMUTH,ELEVATION]",
        is_flag=False,
        flag_value="135,45",
        help="Light the slopes from a direction in degrees; alone: from the upper left; none: no light.",
    ),
    click.option(
        "--lines/--no-lines", help="Draw field lines, at right angles to the bands of equal counts."
    ),
    click.option(
        "--trap",
        metavar="NAME",
        help="Let points glow whose orbits come near 0 (point), the axes (cross), or none.",
    ),
)


def iters_option(default: int, text: str) -> Option:
    """Return the option ``--iters`` with its default and its help."""
    return click.option("--iters", metavar="N", type=int, default=default, show_default=True, help=text)


def size_options(width: int, height: int) -> Option:
    """Return the options ``--width`` and ``--height`` of a picture, with their defaults."""
    return all_of(
        click.option(
            "--width", metavar="PX", type=int, default=width, show_default=True, help="Pixels per row."
        ),
        click.option(
            "--height", metavar="PX", type=int, default=height, show_default=True, help="Pixels per column."
        ),
    )


def tasks_option(text: str) -> Option:
    """Return the option ``--tasks`` with its help."""
    return click.option(
        "--tasks",
        metavar="N",
        type=click.IntRange(1, 4096),
        default=64,
        show_default=True,
        help=text,
    )


def file_option(name: str, text: str) -> Option:
    """Return the option ``--out`` of a single file.

    Args:
        name: the file where none is given.
        text: the help.
    """
    return click.option(
        "--out",
        type=click.Path(path_type=Path),
        default=Path(name),
        show_default=True,
        metavar="FILE",
        help=text,
    )


def picture_file_option(name: str) -> Option:
    """Return the option ``--out`` of a picture."""
    return file_option(name, "File for the picture: .png, .webp or .jpg.")
