"""Check that what the user names exists and fits together, before anything is made.

What these credentials may not look at is passed over: AWS refuses it later, where it is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from wrenlite.backends.aws.errors import code_and_message
from wrenlite.deploy import policies
from wrenlite.deploy.buckets import BucketAccess, bucket_access
from wrenlite.deploy.clients import Clients, suppress_codes
from wrenlite.deploy.packages import UNPACKED_BYTES
from wrenlite.deploy.settings import Settings
from wrenlite.errors import AccessDenied, ConfigError


class UsersLayer(NamedTuple):
    """A version of a layer that the user has made."""

    architectures: tuple[str, ...]
    """Those that it is marked for; empty: it is marked for none."""
    zipped_bytes: int
    """Size of its zip."""


def check_users_resources(clients: Clients, settings: Settings) -> None:
    """Check the role, the permissions boundary, the network and the layers that the user has named.

    Args:
        clients: clients of AWS.
        settings: settings of the deployment.

    Raises:
        ConfigError: one of them does not exist, or cannot be used.
    """
    check_role(clients, settings, "--role-arn", settings.role_arn)
    check_role(clients, settings, "--driver-role-arn", settings.driver_role_arn)
    for check in (check_boundary_exists, check_network_exists, check_layers):
        check(clients, settings)


def check_role(clients: Clients, settings: Settings, option: str, arn: str | None) -> None:
    """Check that a role of the user's own exists, if the credentials allow to see that.

    Args:
        clients: clients of AWS.
        settings: settings of the deployment.
        option: the option that names the role.
        arn: its ARN; None: there is nothing to check.

    Raises:
        ConfigError: the role does not exist, or belongs to another account.
    """
    if arn is None:
        return
    _, partition, _, _, account, _ = arn.split(":", 5)
    if (partition, account) != (settings.partition, settings.account):
        raise ConfigError(
            f"{option}: the role {arn} belongs to another account than {settings.account} in "
            f"the partition {settings.partition}"
        )
    try:
        with clients.translate_errors(arn), suppress_codes("NoSuchEntity"):
            role = clients["iam"].get_role(RoleName=arn.rpartition("/")[2])["Role"]
            if policies.LAMBDA_SERVICE not in json.dumps(role["AssumeRolePolicyDocument"]):
                trust = json.dumps(policies.trust()["Statement"][0])
                raise ConfigError(
                    f"{option}: Lambda may not assume the role {arn}. A trust policy that "
                    f"allows it has the statement {trust}"
                )
            return
    except AccessDenied:
        return
    raise ConfigError(f"{option}: the role {arn} does not exist")


def check_boundary_exists(clients: Clients, settings: Settings) -> None:
    """Check that the permissions boundary exists, if the credentials allow to see that.

    Raises:
        ConfigError: there is no such policy.
    """
    if not settings.boundary:
        return
    try:
        with clients.translate_errors(settings.boundary), suppress_codes("NoSuchEntity"):
            clients["iam"].get_policy(PolicyArn=settings.boundary)
            return
    except AccessDenied:
        return
    raise ConfigError(f"--permissions-boundary: the policy {settings.boundary} does not exist")


def check_network_exists(clients: Clients, settings: Settings) -> None:
    """Check that subnets and security groups exist, and are in one VPC, if the credentials allow to see that.

    Raises:
        ConfigError: one does not exist, or they are in several VPCs.
    """
    if not settings.subnets:
        return
    ec2, ids = clients["ec2"], list(settings.security_groups)
    try:
        with clients.translate_errors("the subnets and security groups"):
            subnets = _described(
                "--vpc-subnets",
                lambda: ec2.describe_subnets(SubnetIds=list(settings.subnets))["Subnets"],
            )
            groups = _described(
                "--security-groups",
                lambda: ec2.describe_security_groups(GroupIds=ids)["SecurityGroups"],
            )
    except AccessDenied:
        return
    vpcs = {each["SubnetId"]: each["VpcId"] for each in subnets}
    vpcs |= {each["GroupId"]: each["VpcId"] for each in groups}
    if len(set(vpcs.values())) > 1:
        found = ", ".join(f"{name} in {vpc}" for name, vpc in vpcs.items())
        raise ConfigError(f"--vpc-subnets and --security-groups: must be in one VPC: {found}")


def _described(option: str, describe: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the descriptions of subnets or groups.

    Args:
        option: the option that names them.
        describe: asks EC2.

    Raises:
        ConfigError: one does not exist.
    """
    from botocore.exceptions import ClientError

    try:
        return describe()
    except ClientError as error:
        code, message = code_and_message(error)
        if ".NotFound" not in code and ".Malformed" not in code:
            raise
        raise ConfigError(f"{option}: {message} in this region. Correct the id") from error


def find_layers(clients: Clients, settings: Settings) -> dict[str, UsersLayer | None]:
    """Return the layers of the user's by ARN; None for one that these credentials may not look at.

    Raises:
        ConfigError: one does not exist.
    """
    found: dict[str, UsersLayer | None] = {}
    for layer in settings.layers:
        name, _, number = layer.rpartition(":")
        try:
            with clients.translate_errors(layer), suppress_codes("ResourceNotFoundException"):
                version = clients["lambda"].get_layer_version(LayerName=name, VersionNumber=int(number))
                architectures = tuple(version.get("CompatibleArchitectures", ()))
                found[layer] = UsersLayer(architectures, version["Content"]["CodeSize"])
                continue
        except AccessDenied:
            found[layer] = None
            continue
        raise ConfigError(f"--layer {layer}: this version of a layer does not exist")
    return found


def check_layers(clients: Clients, settings: Settings) -> None:
    """Check that the layers of the user's exist and fit, if the credentials allow to see that.

    Raises:
        ConfigError: one does not exist, or is for another architecture, or all are too large together.
    """
    found = {name: layer for name, layer in find_layers(clients, settings).items() if layer}
    for name, layer in found.items():
        if layer.architectures and settings.architecture not in layer.architectures:
            raise ConfigError(
                f"--layer {name}: is for {' and '.join(layer.architectures)}, and the function for "
                f"{settings.architecture}: choose another --architecture or another layer"
            )
    zipped_bytes = sum(layer.zipped_bytes for layer in found.values())
    if zipped_bytes > UNPACKED_BYTES:
        raise ConfigError(
            f"--layer: these layers are {zipped_bytes / 2**20:,.0f} MB zipped, and Lambda takes "
            f"{UNPACKED_BYTES / 2**20:.0f} MB unpacked of a function and all its layers together"
        )


def check_buckets_exist(clients: Clients, names: Mapping[str, Sequence[str]]) -> None:
    """Check that the buckets exist that tasks shall use beside the deployment's own.

    Args:
        clients: clients of AWS.
        names: names of the buckets, by the option that names them.

    Raises:
        ConfigError: there is no such bucket.
    """
    for option, buckets in names.items():
        for bucket in buckets:
            with clients.translate_errors(f"the bucket {bucket}"):
                access = bucket_access(clients, bucket)
            if access is BucketAccess.MISSING:
                raise ConfigError(f"{option} {bucket}: there is no such bucket in S3")
