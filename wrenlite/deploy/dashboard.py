"""The body of the CloudWatch dashboard of a deployment, its metrics from the log, and its alarms. Pure.

A body is a JSON document as CloudWatch's API reference describes it ("Dashboard Body Structure and Syntax"):
widgets on a grid of 24 columns, each with the metrics that it draws.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from wrenlite import cost
from wrenlite.deploy.resources import TAG, Alarm, Dashboard, LogMetrics, Tags
from wrenlite.deploy.setting_forms import split_alarm
from wrenlite.deploy.settings import Settings

COLD_STARTS, PEAK_MEMORY = "ColdStarts", "PeakMemory"
"""Names of the metrics that are taken from the log: how many invocations began in a new sandbox, and the most
memory of each, in MB."""
_PERIOD_S = 60
_HOUR_S = 3600
_ALARM_PERIOD_S = {"throttles": 300, "dollars": _HOUR_S}
"""Seconds over which an alarm counts, by its kind."""
_MAX_WIDTH = 24
_HEIGHT = 6
_TITLE_HEIGHT = 3
_WORDS = {
    "Invocations": "invocations",
    "Errors": "errors",
    "Throttles": "throttles",
    "ConcurrentExecutions": "at once",
}
"""What the metrics of Lambda are called in the dashboard."""
_REPORT = (
    *("label=REPORT", "request_label", "request", "duration_label", "duration", "duration_unit"),
    *("billed_label", "billed_label2", "billed", "billed_unit", "size_label", "size_label2", "size"),
    *("size_unit", "max_label", "max_label2", "max_label3", "peak", "peak_unit", "..."),
)
"""The words of the line with which Lambda reports an invocation: ``REPORT RequestId: … Duration: 12.34 ms
Billed Duration: 13 ms Memory Size: 1769 MB Max Memory Used: 90 MB``. After a cold start ``Init Duration:
250.12 ms`` follows."""


class Filter(NamedTuple):
    """How a metric is taken from the events of a log."""

    name: str
    pattern: str
    metric: str
    value: str
    unit: str


FILTERS = (
    Filter(f"{TAG}-cold-starts", 'REPORT "Init Duration"', COLD_STARTS, "1", "Count"),
    Filter(f"{TAG}-peak-memory", f"[{', '.join(_REPORT)}]", PEAK_MEMORY, "$peak", "Megabytes"),
)


def name_of(settings: Settings) -> str:
    """Return the name of the dashboard. Dashboards belong to no region, so it has the region in its name."""
    return f"{settings.function}-{settings.region}"


def link(settings: Settings) -> str:
    """Return the address of the dashboard in AWS's console."""
    region, name = settings.region, name_of(settings)
    hosts = {"aws-cn": "console.amazonaws.cn", "aws-us-gov": "console.amazonaws-us-gov.com"}
    host = hosts.get(settings.partition, "console.aws.amazon.com")
    return f"https://{region}.{host}/cloudwatch/home?region={region}#dashboards/dashboard/{name}"


def desired_monitoring(settings: Settings, tags: Tags) -> tuple[LogMetrics | Dashboard | Alarm, ...]:
    """Return the resources that watch a deployment, as they should be: none where none are wanted.

    Args:
        settings: settings of the deployment.
        tags: the tags of those that can have tags.
    """
    found: list[LogMetrics | Dashboard | Alarm] = []
    if settings.dashboard:
        filters = json.dumps([each._asdict() for each in FILTERS], sort_keys=True)
        found.append(LogMetrics(settings.log_group, filters))
        found.append(Dashboard(name_of(settings), json.dumps(body(settings), sort_keys=True)))
    for kind, threshold in map(split_alarm, settings.alarms):
        found.append(
            Alarm(
                name=alarm_name(settings, kind),
                threshold=threshold,
                period_s=_ALARM_PERIOD_S[kind],
                metrics=json.dumps(_alarm_metrics(settings, kind), sort_keys=True),
                topic=settings.alarm_topic or "",
                tags=tags,
            )
        )
    return tuple(found)


def alarm_name(settings: Settings, kind: str) -> str:
    """Return the name of an alarm.

    Args:
        settings: settings of the deployment.
        kind: its kind, such as ``throttles``.
    """
    return f"{settings.function}-{kind}"


def alarm_parts(settings: Settings) -> dict[str, dict[str, tuple[str, str]]]:
    """Return the metrics that each alarm watches, each with the name of its function, by the alarm's kind."""
    parts = {"throttles": _sums(_functions(settings), "Throttles"), "dollars": _dollar_parts(settings)}
    return {kind: parts[kind] for kind, _ in map(split_alarm, settings.alarms)}


def _alarm_metrics(settings: Settings, kind: str) -> list[dict[str, Any]]:
    """Return what an alarm watches, as ``PutMetricAlarm`` takes it: metrics, and one expression of them."""
    parts = alarm_parts(settings)[kind]
    expression = _dollars(settings) if kind == "dollars" else "+".join(f"FILL({name},0)" for name in parts)
    queries: list[dict[str, Any]] = [
        {"Id": kind, "Expression": expression, "Label": kind, "ReturnData": True},
    ]
    for name, (metric, function) in parts.items():
        dimensions = [{"Name": "FunctionName", "Value": function}]
        found = {"Namespace": "AWS/Lambda", "MetricName": metric, "Dimensions": dimensions}
        stat = {"Metric": found, "Period": _ALARM_PERIOD_S[kind], "Stat": "Sum"}
        queries.append({"Id": name, "MetricStat": stat, "ReturnData": False})
    return queries


def _functions(settings: Settings) -> tuple[Settings, ...]:
    """Return the settings of each function of a deployment: that of the tasks, and the driver."""
    driver = settings.of_driver if settings.has_driver else None
    return (settings, driver) if driver else (settings,)


def _sums(functions: Sequence[Settings], metric: str) -> dict[str, tuple[str, str]]:
    """Return a metric of each function and the function's name, by the metric's name in expressions."""
    return {f"{metric.lower()}{number}": (metric, each.function) for number, each in enumerate(functions)}


def _dollar_parts(settings: Settings) -> dict[str, tuple[str, str]]:
    """Return the metrics that the dollars are computed from, by their names in the expression."""
    functions = _functions(settings)
    return _sums(functions, "Duration") | _sums(functions, "Invocations")


def _dollars(settings: Settings) -> str:
    """Return the expression of the estimated dollars in a period.

    ``Duration`` is in milliseconds, and without what starting a sandbox takes.
    """
    terms = []
    for number, each in enumerate(_functions(settings)):
        prices = cost.prices(each.region, each.architecture, memory_mb=each.memory_mb, limit_s=each.timeout_s)
        per_ms = prices.gb_s * prices.memory_gb / 1000
        terms.append(
            f"FILL(duration{number},0)*{per_ms:.6g}+FILL(invocations{number},0)*{prices.request:.6g}"
        )
    return "+".join(terms)


def body(settings: Settings) -> dict[str, Any]:
    """Return the body of the dashboard, as a JSON object.

    Args:
        settings: settings of the deployment.
    """
    own, functions = settings.function, _functions(settings)
    roles = ("tasks", "driver")

    def lines(metric: str, stat: str = "Sum") -> list[Any]:
        return [
            _metric(metric, each.function, label=f"{role}: {_WORDS[metric]}", stat=stat)
            for each, role in zip(functions, roles, strict=False)
        ]

    log = namespace(settings)
    durations = [_metric("Duration", own, label=f"tasks: {stat}", stat=stat) for stat in ("p50", "p99")]
    memory = [_log_metric(log, PEAK_MEMORY, stat) for stat in ("p99", "Maximum")]
    limit = {"horizontal": [{"label": "memory of the function", "value": settings.memory_mb}]}
    rows: tuple[tuple[tuple[str, Mapping[str, Any]], ...], ...] = (
        (
            ("Invocations", {"metrics": lines("Invocations")}),
            ("Errors and throttles", {"metrics": [*lines("Errors"), *lines("Throttles")]}),
            ("Running at once", {"metrics": lines("ConcurrentExecutions", "Maximum")}),
        ),
        (
            ("Duration of an invocation", {"metrics": durations, "yAxis": _axis("ms")}),
            ("Estimated dollars per hour", _dollar_lines(settings)),
        ),
        (
            ("Cold starts", {"metrics": [_log_metric(log, COLD_STARTS, "Sum")]}),
            ("Peak memory of an invocation", {"metrics": memory, "yAxis": _axis("MB"), "annotations": limit}),
        ),
    )
    return {"start": "-PT3H", "periodOverride": "auto", "widgets": [_title(settings), *_grid(settings, rows)]}


def _title(settings: Settings) -> dict[str, Any]:
    text = (
        f"# {settings.function}\n{marker(settings)}. Do not edit it here: `wrenlite-setup` writes it anew. "
        f"Dollars are an estimate by the prices of {cost.PRICES_DATE}, without the time in which sandboxes "
        "start, S3, logs and the free tier."
    )
    return {"type": "text", **_place(0, 0, _MAX_WIDTH, _TITLE_HEIGHT), "properties": {"markdown": text}}


def _place(x: int, y: int, width: int, height: int) -> dict[str, int]:
    """Return where a widget is on the grid."""
    return {"x": x, "y": y, "width": width, "height": height}


def namespace(settings: Settings) -> str:
    """Return the namespace of the metrics that are taken from the log."""
    return f"{TAG}/{settings.function}"


def marker(settings: Settings) -> str:
    """Return the text by which a dashboard, or an alarm, is known as that of a deployment."""
    return f"Made by {TAG} for the function {settings.owner}"


def _grid(
    settings: Settings, rows: Sequence[Sequence[tuple[str, Mapping[str, Any]]]]
) -> Iterator[dict[str, Any]]:
    """Yield the widgets of all rows, each as wide as the others of its row."""
    for number, row in enumerate(rows):
        width = _MAX_WIDTH // len(row)
        for column, (title, properties) in enumerate(row):
            common = {"title": title, "region": settings.region, "view": "timeSeries", "stacked": False}
            place = _place(column * width, _TITLE_HEIGHT + number * _HEIGHT, width, _HEIGHT)
            yield {"type": "metric", **place, "properties": {**common, "period": _PERIOD_S, **properties}}


def _metric(metric: str, function: str, **options: str) -> list[Any]:
    return ["AWS/Lambda", metric, "FunctionName", function, options]


def _log_metric(namespace: str, metric: str, stat: str) -> list[Any]:
    return [namespace, metric, {"label": f"tasks: {stat.lower()}", "stat": stat}]


def _axis(unit: str) -> dict[str, Any]:
    return {"left": {"label": unit, "min": 0, "showUnits": False}}


def _dollar_lines(settings: Settings) -> dict[str, Any]:
    """Return the properties of the widget of the dollars: hidden metrics, and an expression of them."""
    metrics: list[Any] = [[{"expression": _dollars(settings), "id": "dollars", "label": "dollars"}]]
    for name, (metric, function) in _dollar_parts(settings).items():
        metrics.append(["AWS/Lambda", metric, "FunctionName", function, {"id": name, "visible": False}])
    return {"metrics": metrics, "stat": "Sum", "period": _HOUR_S, "yAxis": _axis("$")}
