"""Observe, create, update and delete the roles of the function and of its driver."""

from __future__ import annotations

from typing import Any

from wrenlite.deploy.clients import Clients, suppress_codes
from wrenlite.deploy.plan import Found
from wrenlite.deploy.resources import (
    Role,
    canonical_policy,
)
from wrenlite.deploy.settings import Settings
from wrenlite.deploy.tags import chosen_tags, dropped_tags, from_tag_list, is_ours, tag_list

_POLICY_NAME = "wrenlite"
"""Name of the role's inline policy."""


class Roles:
    """The role of a function."""

    def __init__(self, clients: Clients, settings: Settings) -> None:
        """Create an object for the role. It calls nothing yet.

        Args:
            clients: the clients.
            settings: settings of the deployment.
        """
        self._clients = clients
        self._settings = settings

    def observe(self) -> Found | None:
        """Return the role that wrenlite makes, as it is; None where it does not exist.

        A role of the user's own is never looked at.
        """
        name, iam = self._settings.role_name, self._clients["iam"]
        with suppress_codes("NoSuchEntity"):
            role = iam.get_role(RoleName=name)["Role"]
            tags = from_tag_list(role.get("Tags", ()))
            policy = "{}"
            with suppress_codes("NoSuchEntity"):
                response = iam.get_role_policy(RoleName=name, PolicyName=_POLICY_NAME)
                policy = canonical_policy(response["PolicyDocument"])
            trust = canonical_policy(role["AssumeRolePolicyDocument"])
            found = Role(
                name=name,
                trust=trust,
                policy=policy,
                path=role["Path"],
                boundary=self._boundary(role),
                tags=chosen_tags(tags, self._settings),
            )
            return Found(found, is_ours(tags, self._settings.owner))
        return None

    def _boundary(self, role: dict[str, Any]) -> str | None:
        """Return the permissions boundary of a role; None where the settings say nothing about it."""
        if self._settings.boundary is None:
            return None
        return str(role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", ""))

    def create(self, want: Role) -> None:
        """Create the role with its one inline policy."""
        iam = self._clients["iam"]
        boundary = {"PermissionsBoundary": want.boundary} if want.boundary else {}
        iam.create_role(
            RoleName=want.name,
            Path=want.path,
            AssumeRolePolicyDocument=want.trust,
            Tags=tag_list(dict(want.tags)),
            **boundary,
        )
        iam.get_waiter("role_exists").wait(RoleName=want.name)
        iam.put_role_policy(RoleName=want.name, PolicyName=_POLICY_NAME, PolicyDocument=want.policy)

    def update(self, want: Role) -> None:
        """Set which service may assume the role, what it may do at most and what it may do, and its tags."""
        iam = self._clients["iam"]
        if want.boundary:  # first: a deployer may be allowed to change policies only below the boundary
            iam.put_role_permissions_boundary(RoleName=want.name, PermissionsBoundary=want.boundary)
        elif want.boundary == "":
            iam.delete_role_permissions_boundary(RoleName=want.name)
        iam.update_assume_role_policy(RoleName=want.name, PolicyDocument=want.trust)
        iam.put_role_policy(RoleName=want.name, PolicyName=_POLICY_NAME, PolicyDocument=want.policy)
        iam.tag_role(RoleName=want.name, Tags=tag_list(dict(want.tags)))
        if dropped := dropped_tags(self._settings):
            iam.untag_role(RoleName=want.name, TagKeys=dropped)

    def replace(self, want: Role) -> None:
        """Delete the role and create it again, since IAM cannot move a role to another path."""
        self.delete(want)
        self.create(want)

    def delete(self, have: Role) -> None:
        """Delete the role with all its policies, also those that somebody else has given to it."""
        iam = self._clients["iam"]
        with suppress_codes("NoSuchEntity"):
            for page in iam.get_paginator("list_attached_role_policies").paginate(RoleName=have.name):
                for policy in page["AttachedPolicies"]:
                    iam.detach_role_policy(RoleName=have.name, PolicyArn=policy["PolicyArn"])
            for page in iam.get_paginator("list_role_policies").paginate(RoleName=have.name):
                for name in page["PolicyNames"]:
                    iam.delete_role_policy(RoleName=have.name, PolicyName=name)
            iam.delete_role(RoleName=have.name)
