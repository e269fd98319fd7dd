"""Observe and change what watches a deployment: metrics of its log, dashboard and alarms, in CloudWatch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from wrenlite.deploy import dashboard
from wrenlite.deploy.clients import Clients, suppress_codes
from wrenlite.deploy.plan import Found
from wrenlite.deploy.resources import Alarm, Dashboard, LogMetrics
from wrenlite.deploy.setting_forms import ALARM_KINDS
from wrenlite.deploy.settings import Settings
from wrenlite.deploy.tags import chosen_tags, dropped_tags, from_tag_list, tag_list, tags_of


def monitoring(clients: Clients, settings: Settings) -> dict[tuple[str, str], Any]:
    """Return what manages each resource that watches a deployment, by kind and name.

    Args:
        clients: the clients.
        settings: settings of the deployment.
    """
    alarms = [dashboard.alarm_name(settings, kind) for kind in ALARM_KINDS]
    return {
        ("metrics", settings.log_group): MetricFilters(clients, settings),
        ("dashboard", dashboard.name_of(settings)): Dashboards(clients, settings),
        **{("alarm", name): Alarms(clients, settings, name) for name in alarms},
    }


class MetricFilters:
    """The filters that take metrics from the log of the function."""

    def __init__(self, clients: Clients, settings: Settings) -> None:
        """Create an object for the filters. It calls nothing yet.

        Args:
            clients: the clients.
            settings: settings of the deployment.
        """
        self._clients = clients
        self._settings = settings

    def observe(self) -> Found | None:
        """Return the filters as they are; None where there are none of wrenlite's names."""
        group = self._settings.log_group
        with suppress_codes("ResourceNotFoundException"):
            pages = (
                self._clients["logs"].get_paginator("describe_metric_filters").paginate(logGroupName=group)
            )
            all_found = [each for page in pages for each in page["metricFilters"]]
            names = {each.name for each in dashboard.FILTERS}
            found = [_filter(each) for each in all_found if each["filterName"] in names]
            if found:
                ordered = sorted(found, key=lambda each: str(each["name"]))
                return Found(LogMetrics(group, json.dumps(ordered, sort_keys=True)), managed=True)
        return None

    def create(self, want: LogMetrics) -> None:
        """Write the filters. What is in the log before that is not counted."""
        for each in map(dashboard.Filter._make, map(_values, json.loads(want.filters))):
            self._clients["logs"].put_metric_filter(
                logGroupName=want.name,
                filterName=each.name,
                filterPattern=each.pattern,
                metricTransformations=[
                    {
                        "metricNamespace": dashboard.namespace(self._settings),
                        "metricName": each.metric,
                        "metricValue": each.value,
                        "unit": each.unit,
                    }
                ],
            )

    update = create

    def delete(self, have: LogMetrics) -> None:
        """Delete the filters. CloudWatch keeps what they have counted."""
        for each in dashboard.FILTERS:
            with suppress_codes("ResourceNotFoundException"):
                self._clients["logs"].delete_metric_filter(logGroupName=have.name, filterName=each.name)


def _filter(found: Mapping[str, Any]) -> dict[str, str]:
    """Return a filter as CloudWatch describes it, as ``dashboard.Filter`` has it."""
    change = found["metricTransformations"][0]
    return dashboard.Filter(
        name=found["filterName"],
        pattern=found["filterPattern"],
        metric=change["metricName"],
        value=change["metricValue"],
        unit=change.get("unit", "None"),
    )._asdict()


def _values(fields: Mapping[str, str]) -> list[str]:
    return [fields[name] for name in dashboard.Filter._fields]


class Dashboards:
    """The dashboard of a deployment. Its first widget says whose it is."""

    def __init__(self, clients: Clients, settings: Settings) -> None:
        """Create an object for the dashboard. It calls nothing yet.

        Args:
            clients: the clients.
            settings: settings of the deployment.
        """
        self._clients = clients
        self._settings = settings

    def observe(self) -> Found | None:
        """Return the dashboard as it is; None where it does not exist."""
        name = dashboard.name_of(self._settings)
        with suppress_codes("ResourceNotFound", "DashboardNotFoundError"):
            text = self._clients["cloudwatch"].get_dashboard(DashboardName=name)["DashboardBody"]
            body = json.dumps(json.loads(text), sort_keys=True)
            return Found(Dashboard(name, body), dashboard.marker(self._settings) in body)
        return None

    def create(self, want: Dashboard) -> None:
        """Write the dashboard, over what was there."""
        self._clients["cloudwatch"].put_dashboard(DashboardName=want.name, DashboardBody=want.body)

    update = create

    def delete(self, have: Dashboard) -> None:
        """Delete the dashboard."""
        with suppress_codes("ResourceNotFound", "DashboardNotFoundError"):
            self._clients["cloudwatch"].delete_dashboards(DashboardNames=[have.name])


class Alarms:
    """An alarm of a deployment. Its description says whose it is."""

    def __init__(self, clients: Clients, settings: Settings, name: str) -> None:
        """Create an object for an alarm. It calls nothing yet.

        Args:
            clients: the clients.
            settings: settings of the deployment.
            name: name of the alarm.
        """
        self._clients = clients
        self._settings = settings
        self._name = name

    def observe(self) -> Found | None:
        """Return the alarm as it is; None where it does not exist."""
        client = self._clients["cloudwatch"]
        for found in client.describe_alarms(AlarmNames=[self._name])["MetricAlarms"]:
            tags = client.list_tags_for_resource(ResourceARN=found["AlarmArn"])["Tags"]
            metrics = found.get("Metrics", [])
            alarm = Alarm(
                name=self._name,
                threshold=found["Threshold"],
                period_s=_period_s(metrics),
                metrics=json.dumps(metrics, sort_keys=True),
                topic=next(iter(found.get("AlarmActions", ())), ""),
                tags=chosen_tags(from_tag_list(tags), self._settings),
            )
            is_ours = found.get("AlarmDescription", "").startswith(dashboard.marker(self._settings))
            return Found(alarm, is_ours)
        return None

    def create(self, want: Alarm) -> None:
        """Write the alarm, with its tags."""
        self._put(want, Tags=tag_list(dict(tags_of(self._settings))))

    def update(self, want: Alarm) -> None:
        """Write the alarm over the one that is there, and then its tags."""
        self._put(want)
        client = self._clients["cloudwatch"]
        arn = client.describe_alarms(AlarmNames=[want.name])["MetricAlarms"][0]["AlarmArn"]
        client.tag_resource(ResourceARN=arn, Tags=tag_list(dict(want.tags)))
        if dropped := dropped_tags(self._settings):
            client.untag_resource(ResourceARN=arn, TagKeys=dropped)

    def _put(self, want: Alarm, **more: Any) -> None:
        self._clients["cloudwatch"].put_metric_alarm(
            AlarmName=want.name,
            AlarmDescription=f"{dashboard.marker(self._settings)}. wrenlite-setup --alarm changes it",
            AlarmActions=[want.topic] if want.topic else [],
            Metrics=json.loads(want.metrics),
            EvaluationPeriods=1,
            Threshold=want.threshold,
            ComparisonOperator="GreaterThanThreshold",
            TreatMissingData="notBreaching",
            **more,
        )

    def delete(self, have: Alarm) -> None:
        """Delete the alarm."""
        with suppress_codes("ResourceNotFound"):
            self._clients["cloudwatch"].delete_alarms(AlarmNames=[have.name])


def _period_s(metrics: list[dict[str, Any]]) -> int:
    """Return the seconds over which an alarm counts; 0 where it has no metrics as wrenlite writes them."""
    return next((each["MetricStat"]["Period"] for each in metrics if "MetricStat" in each), 0)
