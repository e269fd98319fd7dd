"""The dashboard and the alarms of ``wrenlite-setup``: as sent, changed, kept, told, removed."""

import json

import pytest
from click.testing import CliRunner

from tests.aws.deployments import BUCKET
from wrenlite.cli import main
from wrenlite.deploy import dashboard, report
from wrenlite.errors import ConfigError

pytestmark = pytest.mark.e2e

TOPIC = "arn:aws:sns:us-east-1:123456789012:mine"


@pytest.fixture
def made(made):
    """A deployment without a layer."""
    made.settings["packages"] = ()
    return made


def sent(made):
    """The dashboard, the filters and the alarms in the account."""
    cloudwatch, logs = made.clients["cloudwatch"], made.clients["logs"]
    boards = [each["DashboardName"] for each in cloudwatch.list_dashboards()["DashboardEntries"]]
    filters = logs.describe_metric_filters(logGroupName="/aws/lambda/deployed")["metricFilters"]
    alarms = cloudwatch.describe_alarms()["MetricAlarms"]
    return boards, [each["filterName"] for each in filters], {each["AlarmName"]: each for each in alarms}


def test_a_dashboard_is_made_kept_without_the_option_and_removed(made):
    made.run()
    assert sent(made) == ([], [], {})
    made.settings["dashboard"] = True
    assert set(made.steps()) == {"function", "alias", "metrics", "dashboard"}
    made.run()
    boards, filters, alarms = sent(made)
    assert (boards, alarms) == (["deployed-us-east-1"], {})
    assert sorted(filters) == ["wrenlite-cold-starts", "wrenlite-peak-memory"]
    body = made.clients["cloudwatch"].get_dashboard(DashboardName="deployed-us-east-1")["DashboardBody"]
    assert json.loads(body) == dashboard.body(made.deployment().settings)
    assert made.steps() == {}

    del made.settings["dashboard"]  # the next run does not name it
    assert made.steps() == {}
    made.settings["memory_mb"] = 1024  # another limit, and another price
    assert {"function", "alias", "dashboard"} <= set(made.steps())
    made.run()
    assert made.steps() == {}

    made.settings["dashboard"] = False
    made.run()
    assert sent(made) == ([], [], {})
    assert made.steps() == {}


def test_alarms_are_made_changed_and_removed_one_by_one(made):
    made.settings |= {"alarms": ("throttles=100", "dollars=5"), "alarm_topic": TOPIC, "tags": ("team=geo",)}
    made.run()
    _, _, alarms = sent(made)
    assert set(alarms) == {"deployed-throttles", "deployed-dollars"}
    assert {each["AlarmActions"][0] for each in alarms.values()} == {TOPIC}
    assert alarms["deployed-dollars"]["Threshold"] == 5
    assert made.steps() == {}
    found = made.clients["cloudwatch"].list_tags_for_resource(
        ResourceARN=alarms["deployed-dollars"]["AlarmArn"]
    )
    assert {tag["Key"]: tag["Value"] for tag in found["Tags"]} == {"wrenlite": "deployed", "team": "geo"}

    made.settings |= {"alarms": ("dollars=7",), "alarm_topic": ""}
    made.run()
    _, _, alarms = sent(made)
    assert set(alarms) == {"deployed-dollars"}
    assert (alarms["deployed-dollars"]["Threshold"], alarms["deployed-dollars"]["AlarmActions"]) == (7, [])
    made.settings |= {"alarms": ("dollars=7",), "alarm_topic": TOPIC}
    made.run()
    made.settings = {"alarms": (), "packages": ()}  # the topic that is remembered has nothing to tell
    made.run()
    assert sent(made) == ([], [], {})
    made.settings["alarms"] = ("dollars=7",)
    made.run()
    made.destroy()
    assert made.clients["cloudwatch"].describe_alarms()["MetricAlarms"] == []


def test_a_dashboard_of_somebody_elses_is_not_touched(made):
    theirs = {"widgets": []}
    cloudwatch = made.clients["cloudwatch"]
    cloudwatch.put_dashboard(DashboardName="deployed-us-east-1", DashboardBody=json.dumps(theirs))
    made.settings["dashboard"] = True
    with pytest.raises(ConfigError, match="'deployed-us-east-1' already exists and was not created by"):
        made.run()
    found = cloudwatch.get_dashboard(DashboardName="deployed-us-east-1")["DashboardBody"]
    assert json.loads(found) == theirs
    cloudwatch.delete_dashboards(DashboardNames=["deployed-us-east-1"])
    made.settings["dashboard"] = False
    made.run()


def test_the_plan_says_what_it_costs_and_status_has_the_link(made, monkeypatch):
    made.settings |= {"dashboard": True, "alarms": ("throttles=100", "dollars=5")}
    made.run()
    settings = made.deployment().settings
    # $3.00, 2 metrics of $0.30, and 2 and 4 metrics of alarms of $0.10
    assert "Watching: $4.20 a month at most" in "\n".join(report.cost_lines(settings))
    monkeypatch.setenv("WRENLITE_REGION", "us-east-1")
    options = ["--function", "deployed", "--bucket", BUCKET]
    status = CliRunner().invoke(main, ["status", *options], catch_exceptions=False)
    assert dashboard.link(settings) in status.output
