"""Options of ``wrenlite-setup`` about which it does not ask, since few accounts need them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from wrenlite.deploy import shared_options

_DRIVER = ("driver", "driver_role_arn")
_MONITORING = ("dashboard", "alarms", "alarm_topic")
UNASKED = ("tags", "boundary", "role_path", "subnets", "security_groups", "layers", *_DRIVER, *_MONITORING)
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
        "--vpc-subnets",
        "subnets",
        metavar="ID[,ID]",
        callback=shared_options.parse_ids,
        help="Subnets of a VPC in which tasks run, with --security-groups; none: leave the VPC.",
    ),
    click.option(
        "--security-groups",
        metavar="ID[,ID]",
        callback=shared_options.parse_ids,
        help="Security groups of tasks in the VPC, with --vpc-subnets; none: leave the VPC.",
    ),
    click.option(
        "--layer",
        "layers",
        metavar="ARN",
        multiple=True,
        callback=shared_options.parse_list,
        help="Version of a layer of your own, beside that with the packages; repeat for more; none: none.",
    ),
    click.option(
        "--driver/--no-driver",
        default=None,
        help="A second function, which runs detached jobs when this machine is off.  [default: --driver]",
    ),
    click.option(
        "--driver-role-arn",
        metavar="ARN",
        callback=shared_options.parse_optional,
        help="IAM role of your own for the driver; none: create a role.",
    ),
    click.option(
        "--tag",
        "tags",
        metavar="KEY=VALUE",
        multiple=True,
        callback=shared_options.parse_list,
        help="Tag for all that is created, except layers, which have none; repeat for more; none: no tags.",
    ),
    click.option(
        "--dashboard/--no-dashboard",
        default=None,
        help="A dashboard in CloudWatch: requests, errors, durations, dollars.  [default: --no-dashboard]",
    ),
    click.option(
        "--alarm",
        "alarms",
        metavar="KIND=N",
        multiple=True,
        callback=shared_options.parse_list,
        help="Alarm above N: throttles=N refused requests in 5 minutes, dollars=N in an hour; none: none.",
    ),
    click.option(
        "--alarm-topic",
        metavar="ARN",
        callback=shared_options.parse_optional,
        help="Topic of SNS that the alarms tell; none: they only show in CloudWatch.",
    ),
)


def unasked_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add these options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
