"""The group of the function's logs."""

from __future__ import annotations

from wrenlite.deploy.clients import Clients, absent
from wrenlite.deploy.plan import Found
from wrenlite.deploy.resources import TAG, LogGroup, Settings


class LogGroups:
    """The function's log."""

    def __init__(self, clients: Clients, settings: Settings) -> None:
        self._clients = clients
        self._settings = settings

    def observe(self) -> Found | None:
        """What is there."""
        name, logs = self._settings.log_group, self._clients["logs"]
        pages = logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=name)
        for group in (group for page in pages for group in page["logGroups"]):
            if group["logGroupName"] == name:
                arn = group["arn"].removesuffix(":*")
                tags = logs.list_tags_for_resource(resourceArn=arn)["tags"]
                found = LogGroup(name, group.get("retentionInDays", 0))
                return Found(found, tags.get(TAG) == self._settings.function)
        return None

    def create(self, want: LogGroup) -> None:
        """Make it."""
        tags = {TAG: self._settings.function}
        self._clients["logs"].create_log_group(logGroupName=want.name, tags=tags)
        self.update(want)

    def update(self, want: LogGroup) -> None:
        """Set after how many days it forgets."""
        self._clients["logs"].put_retention_policy(logGroupName=want.name, retentionInDays=want.days)

    def delete(self, have: LogGroup) -> None:
        """Delete it."""
        with absent("ResourceNotFoundException"):
            self._clients["logs"].delete_log_group(logGroupName=have.name)
