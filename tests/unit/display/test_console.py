"""The output that all commands share: a table, JSON, and errors in one line."""

import json
import math

import click
import pytest
from click.testing import CliRunner

from wrenlite.display.console import errors_in_one_line, print_report
from wrenlite.errors import ConfigError


def test_a_report_is_a_table_for_people(capsys):
    print_report({"wall_s": 1.5}, {"wall time": "1.50 s", "tasks": "3"}, as_json=False)
    assert capsys.readouterr().out == "wall time  1.50 s\ntasks      3\n"


def test_a_report_is_one_ascii_json_object_for_programs(capsys):
    data = {"wall_s": 1.5, "place": "Zürich", "cost": None}
    print_report(data, {"wall time": "1.50 s"}, as_json=True)
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out) == data


def test_numbers_that_json_lacks_are_refused(capsys):
    with pytest.raises(ValueError, match="JSON"):
        print_report({"ndvi": math.nan}, {"NDVI": "hidden"}, as_json=True)
    assert capsys.readouterr().out == ""


def test_an_error_of_wrenlite_is_shown_without_a_traceback():
    with pytest.raises(click.ClickException, match="workers must be positive"), errors_in_one_line():
        raise ConfigError("workers must be positive")
    with pytest.raises(click.ClickException, match=r"a\n b$"), errors_in_one_line():
        raise ConfigError("\x1b[31ma\x1b[0m\r\n b")
    with pytest.raises(ZeroDivisionError), errors_in_one_line():
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (
            "use fewer workers=, or set memory_limit= higher",
            "use fewer --workers, or set WRENLITE_MEMORY_LIMIT higher",
        ),
        ("give region=, set WRENLITE_REGION, or", "give region=, set WRENLITE_REGION, or"),
        ("workers=0: must be more", "workers=0: must be more"),
        ("make env= smaller", "make env= smaller"),
    ],
)
def test_an_error_names_what_to_type_in_a_command(message, shown):
    @click.command()
    @click.option("--workers")
    def command(workers):
        with errors_in_one_line():
            raise ConfigError(message)

    assert CliRunner().invoke(command).stderr == f"Error: {shown}\n"
