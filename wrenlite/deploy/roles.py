"""The function's role, and the group of its logs."""

from __future__ import annotations

from wrenlite.deploy.clients import Clients, absent
from wrenlite.deploy.plan import Found
from wrenlite.deploy.resources import TAG, Role, Settings, canonical_policy

_POLICY = "wrenlite"
"""Name of the role's inline policy."""


class Roles:
    """The function's role."""

    def __init__(self, clients: Clients, settings: Settings) -> None:
        self._clients = clients
        self._settings = settings

    def observe(self) -> Found | None:
        """What is there of the role that wrenlite makes; of one of the user's own it knows nothing."""
        name, iam = self._settings.role_name, self._clients["iam"]
        with absent("NoSuchEntity"):
            role = iam.get_role(RoleName=name)["Role"]
            tags = {tag["Key"]: tag["Value"] for tag in role.get("Tags", ())}
            policy = "{}"
            with absent("NoSuchEntity"):
                found = iam.get_role_policy(RoleName=name, PolicyName=_POLICY)["PolicyDocument"]
                policy = canonical_policy(found)
            trusted = canonical_policy(role["AssumeRolePolicyDocument"])
            return Found(Role(name, trusted, policy), tags.get(TAG) == self._settings.function)
        return None

    def create(self, want: Role) -> None:
        """Make it with its one inline policy."""
        iam = self._clients["iam"]
        tags = [{"Key": TAG, "Value": self._settings.function}]
        iam.create_role(RoleName=want.name, AssumeRolePolicyDocument=want.trust, Tags=tags)
        iam.get_waiter("role_exists").wait(RoleName=want.name)
        iam.put_role_policy(RoleName=want.name, PolicyName=_POLICY, PolicyDocument=want.policy)

    def update(self, want: Role) -> None:
        """Set who may take it and what it may do."""
        iam = self._clients["iam"]
        iam.update_assume_role_policy(RoleName=want.name, PolicyDocument=want.trust)
        iam.put_role_policy(RoleName=want.name, PolicyName=_POLICY, PolicyDocument=want.policy)

    def delete(self, have: Role) -> None:
        """Delete it, with the policies that it has, whoever gave them to it."""
        iam = self._clients["iam"]
        with absent("NoSuchEntity"):
            for page in iam.get_paginator("list_attached_role_policies").paginate(RoleName=have.name):
                for policy in page["AttachedPolicies"]:
                    iam.detach_role_policy(RoleName=have.name, PolicyArn=policy["PolicyArn"])
            for page in iam.get_paginator("list_role_policies").paginate(RoleName=have.name):
                for name in page["PolicyNames"]:
                    iam.delete_role_policy(RoleName=have.name, PolicyName=name)
            iam.delete_role(RoleName=have.name)
