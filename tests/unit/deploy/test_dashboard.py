"""The dashboard, checked against "Dashboard Body Structure and Syntax" of CloudWatch's API reference."""

import dataclasses
import json
import re

import pytest

from wrenlite.deploy import dashboard
from wrenlite.deploy.settings import Settings
from wrenlite.deploy.tags import tags_of
from wrenlite.errors import ConfigError

SETTINGS = Settings(account="123456789012", region="eu-west-1", bucket="wrenlite-1", dashboard=True)
REPORT = (
    "REPORT RequestId: 7f0c\tDuration: 12.34 ms\tBilled Duration: 13 ms\tMemory Size: 1769 MB\t"
    "Max Memory Used: 90 MB\t"
)


def metric_widgets(settings=SETTINGS):
    return [each["properties"] for each in dashboard.body(settings)["widgets"] if each["type"] == "metric"]


def test_the_body_has_the_documented_structure():
    body = dashboard.body(SETTINGS)
    assert set(body) <= {"start", "end", "periodOverride", "widgets", "variables"}
    assert re.fullmatch(r"-P(\d+[DWMY])*(T(\d+[HMS])+)?", body["start"])
    assert body["periodOverride"] in ("auto", "inherit")
    assert 1 <= len(body["widgets"]) <= 500
    for widget in body["widgets"]:
        assert set(widget) == {"type", "x", "y", "width", "height", "properties"}
        assert widget["type"] in ("metric", "text")
        assert 0 <= widget["x"] <= 23
        assert widget["y"] >= 0
        assert 1 <= widget["width"] <= 24 - widget["x"]
        assert 1 <= widget["height"] <= 1000


def test_no_two_widgets_overlap():
    cells = [
        (x, y)
        for each in dashboard.body(SETTINGS)["widgets"]
        for x in range(each["x"], each["x"] + each["width"])
        for y in range(each["y"], each["y"] + each["height"])
    ]
    assert len(cells) == len(set(cells))


def test_each_metric_is_an_array_with_its_options_last():
    for properties in metric_widgets():
        assert properties["region"] == "eu-west-1"
        assert properties["view"] in ("timeSeries", "singleValue", "gauge", "bar", "pie", "table")
        assert properties["period"] % 60 == 0
        for metric in properties["metrics"]:
            *names, options = metric
            assert set(options) <= {"label", "stat", "id", "visible", "expression", "period"}
            assert ("expression" in options) == (names == [])
            assert len(names) in (0, 2, 4)  # namespace and name, and one dimension
            if stat := options.get("stat"):
                assert re.fullmatch(r"Sum|Maximum|p\d\d", stat)


def test_an_expression_names_metrics_of_its_widget():
    (dollars,) = (each for each in metric_widgets() if "dollars" in each["title"])
    expression = dollars["metrics"][0][0]["expression"]
    ids = {metric[-1]["id"] for metric in dollars["metrics"][1:]}
    assert set(re.findall(r"FILL\((\w+),0\)", expression)) == ids
    assert all(re.fullmatch(r"[a-z]\w*", each) for each in ids)  # as CloudWatch wants them


def dollars_of(settings, **values):
    """What the expression of the dollars gives: it is arithmetic of Python, too."""
    (widget,) = (each for each in metric_widgets(settings) if "dollars" in each["title"])
    expression = widget["metrics"][0][0]["expression"]
    return eval(re.sub(r"FILL\((\w+),0\)", lambda found: str(values.get(found[1], 0)), expression))


def test_the_dollars_are_those_of_the_table_of_prices():
    # 1,000 requests of 1 s on 1,769 MB: 1,000 * 1769 / 1024 GB-s at $0.0000166667, and $0.0002
    tasks = dollars_of(SETTINGS, duration0=1_000_000, invocations0=1000)
    assert tasks == pytest.approx(1000 * 1769 / 1024 * 0.0000166667 + 0.0002, rel=1e-4)
    hour = dollars_of(SETTINGS, duration1=3_600_000, invocations1=4)
    assert hour == pytest.approx(3600 * 0.0000166667 + 4 * 0.0000002, rel=1e-4)  # of the driver, 1 GB
    arm = dataclasses.replace(SETTINGS, architecture="arm64", memory_mb=1024)
    assert dollars_of(arm, duration0=1000) == pytest.approx(0.0000133334, rel=1e-4)


def test_without_a_driver_only_the_function_is_drawn():
    text = json.dumps(dashboard.body(dataclasses.replace(SETTINGS, driver=False)))
    assert "driver" not in text


def matched(pattern, line):
    """The field ``peak`` of a line, as CloudWatch's space-delimited patterns find it; None: no match."""
    names = pattern.strip("[]").split(", ")
    assert names.pop() == "..."
    words = line.split()
    if len(words) < len(names) or words[0] != names[0].partition("=")[2]:
        return None
    return words[names.index("peak")]


def test_the_filters_find_memory_and_cold_starts_in_the_report_of_lambda():
    cold, memory = dashboard.FILTERS
    assert memory.value == "$peak"
    assert matched(memory.pattern, REPORT) == "90"
    assert matched(memory.pattern, f"{REPORT}Init Duration: 250.12 ms\t") == "90"
    assert matched(memory.pattern, "START RequestId: 7f0c Version: 3") is None
    words = re.findall(r'"([^"]+)"|(\w+)', cold.pattern)
    assert [quoted or plain for quoted, plain in words] == ["REPORT", "Init Duration"]


@pytest.mark.parametrize(
    "alarms",
    [("throttles",), ("errors=1",), ("dollars=0",), ("dollars=nan",), ("dollars=-1",), ("dollars=x",)],
)
def test_an_alarm_that_cannot_be_is_refused(alarms):
    with pytest.raises(ConfigError, match=r"--alarm .*: must be throttles=N, .* or dollars=N"):
        dataclasses.replace(SETTINGS, alarms=alarms)


def test_alarms_are_given_once_and_a_topic_is_an_arn_and_needs_them():
    with pytest.raises(ConfigError, match="one of each kind"):
        dataclasses.replace(SETTINGS, alarms=("dollars=1", "dollars=2"))
    with pytest.raises(ConfigError, match="must be the ARN of a topic"):
        dataclasses.replace(SETTINGS, alarms=("dollars=1",), alarm_topic="me@example.org")
    with pytest.raises(ConfigError, match="there is no --alarm"):
        dataclasses.replace(SETTINGS, alarm_topic="arn:aws:sns:eu-west-1:123456789012:mine")


def test_an_alarm_watches_one_expression_of_metrics_of_both_functions():
    wanted = dataclasses.replace(SETTINGS, alarms=("throttles=100", "dollars=5.5"))
    *_, throttles, dollars = dashboard.desired_monitoring(wanted, tags_of(wanted))
    for alarm, period_s, most in ((throttles, 300, 100), (dollars, 3600, 5.5)):
        metrics = json.loads(alarm.metrics)
        assert [each["ReturnData"] for each in metrics].count(True) == 1
        assert {each["MetricStat"]["Period"] for each in metrics[1:]} == {period_s}
        names = {each["MetricStat"]["Metric"]["Dimensions"][0]["Value"] for each in metrics[1:]}
        assert names == {"wrenlite", "wrenlite-driver"}
        assert (alarm.threshold, alarm.period_s) == (most, period_s)


def test_the_console_of_other_partitions_has_other_addresses():
    assert dashboard.link(SETTINGS) == (
        "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1"
        "#dashboards/dashboard/wrenlite-eu-west-1"
    )
    china = dataclasses.replace(SETTINGS, partition="aws-cn", region="cn-north-1")
    assert dashboard.link(china).startswith("https://cn-north-1.console.amazonaws.cn/")
