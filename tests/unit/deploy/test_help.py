"""The help of the commands that deploy and maintain a deployment."""

import shlex

import click
import pytest
from click.testing import CliRunner

from wrenlite.deploy import wizard
from wrenlite.deploy.commands import COMMANDS

ALL = [pytest.param(command, id=command.name) for command in (wizard.main, *COMMANDS)]


@pytest.mark.parametrize("command", ALL)
def test_help_ends_with_one_example_that_the_command_accepts(command):
    last = CliRunner().invoke(command, ["--help"]).stdout.rstrip().splitlines()[-1].strip()
    assert last.startswith("Example: wrenlite")
    program, *arguments = shlex.split(last.removeprefix("Example: "))
    if program == "wrenlite":
        assert arguments.pop(0) == command.name
    else:
        assert (program, command) == ("wrenlite-setup", wizard.main)
    command.make_context(program, arguments)


@pytest.mark.parametrize("command", ALL)
def test_options_that_several_commands_have_mean_the_same(command):
    options = {name: option for option in command.params for name in option.opts}
    assert options["--json"].is_flag
    assert isinstance(options["--config"].type, click.Path)
    if command.name != "logs":  # it prints one object per event
        expected = "Print the report as one JSON object on stdout; messages go to stderr."
        assert options["--json"].help == expected
    if "--dry-run" in options:
        assert options["--dry-run"].help == "Show what would be done, and change nothing."
    changes = command in (wizard.main, *(one for one in COMMANDS if one.name in ("destroy", "cleanup")))
    assert changes == ("--yes" in options) == ("--dry-run" in options)
