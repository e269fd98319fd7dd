"""Observe, create, update and delete the groups of the logs of the function and of its driver."""

from __future__ import annotations

from wrenlite.deploy.clients import Clients, suppress_codes
from wrenlite.deploy.plan import Found
from wrenlite.deploy.resources import (
    LogGroup,
)
from wrenlite.deploy.settings import Settings
from wrenlite.deploy.tags import chosen_tags, dropped_tags, is_ours


class LogGroups:
    """The log group of a function."""

    def __init__(self, clients: Clients, settings: Settings) -> None:
        """Create an object for the log group. It calls nothing yet.

        Args:
            clients: the clients.
            settings: settings of the deployment.
        """
        self._clients = clients
        self._settings = settings

    def observe(self) -> Found | None:
        """Return the log group as it is; None where it does not exist."""
        name, logs = self._settings.log_group, self._clients["logs"]
        pages = logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=name)
        for group in (group for page in pages for group in page["logGroups"]):
            if group["logGroupName"] == name:
                arn = group["arn"].removesuffix(":*")
                tags = logs.list_tags_for_resource(resourceArn=arn)["tags"]
                days = group.get("retentionInDays", 0)
                found = LogGroup(name, days, chosen_tags(tags, self._settings))
                return Found(found, is_ours(tags, self._settings.owner))
        return None

    def create(self, want: LogGroup) -> None:
        """Create the log group."""
        self._clients["logs"].create_log_group(logGroupName=want.name, tags=dict(want.tags))
        self._set_retention(want)

    def update(self, want: LogGroup) -> None:
        """Set the number of days after which log events are deleted, and the tags."""
        logs, arn = self._clients["logs"], self._settings.log_group_arn
        self._set_retention(want)
        logs.tag_resource(resourceArn=arn, tags=dict(want.tags))
        if dropped := dropped_tags(self._settings):
            logs.untag_resource(resourceArn=arn, tagKeys=dropped)

    def _set_retention(self, want: LogGroup) -> None:
        self._clients["logs"].put_retention_policy(logGroupName=want.name, retentionInDays=want.days)

    def delete(self, have: LogGroup) -> None:
        """Delete the log group with all log events."""
        with suppress_codes("ResourceNotFoundException"):
            self._clients["logs"].delete_log_group(logGroupName=have.name)
