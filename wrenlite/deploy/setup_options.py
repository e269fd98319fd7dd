"""Options of ``wrenlite-setup`` about which it does not ask, since few accounts need them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from wrenlite.deploy import shared_options

UNASKED = ("tags", "boundary", "role_path")
"""Names of the settings."""
_OPTIONS = (
    click.option(
        "--role-path",
        metavar="PATH",
        help="Path of the role that is created, such as /teams/geo/.  [default: /]",
    ),
    click.option(
        "--permissions-boundary",
        "boundary",
        metavar="ARN",
        callback=shared_options.parse_optional,
        help="Permissions boundary of the role that is created; none: remove it.",
    ),
    click.option(
        "--tag",
        "tags",
        metavar="KEY=VALUE",
        multiple=True,
        callback=shared_options.parse_list,
        help="Tag for all that is created, except layers, which have none; repeat for more; none: no tags.",
    ),
)


def unasked_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add these options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
