"""Observe, create, update and delete the function's role."""

from __future__ import annotations

from wrenlite.deploy.clients import Clients, suppress_codes
from wrenlite.deploy.plan import Found
from wrenlite.deploy.resources import (
    Role,
    canonical_policy,
)
from wrenlite.deploy.settings import Settings
from wrenlite.deploy.tags import from_tag_list, is_ours, tag_list, tags_of

_POLICY_NAME = "wrenlite"
"""Name of the role's inline policy."""


class Roles:
    """The role of a deployment."""

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
            return Found(Role(name, trust, policy), is_ours(tags, self._settings.function))
        return None

    def create(self, want: Role) -> None:
        """Create the role with its one inline policy."""
        iam = self._clients["iam"]
        tags = tag_list(tags_of(self._settings.function))
        iam.create_role(RoleName=want.name, AssumeRolePolicyDocument=want.trust, Tags=tags)
        iam.get_waiter("role_exists").wait(RoleName=want.name)
        iam.put_role_policy(RoleName=want.name, PolicyName=_POLICY_NAME, PolicyDocument=want.policy)

    def update(self, want: Role) -> None:
        """Set which service may assume the role, and what the role may do."""
        iam = self._clients["iam"]
        iam.update_assume_role_policy(RoleName=want.name, PolicyDocument=want.trust)
        iam.put_role_policy(RoleName=want.name, PolicyName=_POLICY_NAME, PolicyDocument=want.policy)

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
