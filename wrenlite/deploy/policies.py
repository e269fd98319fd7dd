"""IAM policies of the function, its driver, its users and its deployers, and of the bucket, with its rules.

No statement has ``*`` as its resource, except where AWS defines no narrower one; a comment there says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from wrenlite.backends.aws.deployed import driver_name
from wrenlite.deploy import dashboard
from wrenlite.deploy.resources import (
    JOB_PREFIXES,
    PUBLISHED_PREFIX,
    TASK_PREFIXES,
    TEMPORARY_PREFIXES,
)
from wrenlite.deploy.setting_forms import ALARM_KINDS
from wrenlite.deploy.settings import Settings
from wrenlite.protocol import EXPIRE_DAYS
from wrenlite.serving.publication import Objects, Publication, function_of

Policy = dict[str, Any]
"""A policy document, as JSON has it."""
LAMBDA_SERVICE = "lambda.amazonaws.com"
"""The principal that is the Lambda service, in every partition."""


def trust() -> Policy:
    """Return the trust policy of a role: the Lambda service may assume it."""
    return _policy(
        [{"Effect": "Allow", "Principal": {"Service": LAMBDA_SERVICE}, "Action": "sts:AssumeRole"}]
    )


def of_function(settings: Settings) -> Policy:
    """Return the policy of the function's role: write its log, read what clients upload, write values."""
    statements = [
        _allow(["logs:CreateLogStream", "logs:PutLogEvents"], [f"{settings.log_group_arn}:*"]),
        _allow(["s3:GetObject"], _object_arns(settings, [*TASK_PREFIXES, _archives(settings)])),
        _allow(["s3:PutObject"], _object_arns(settings, ["results", "outputs"])),
        _allow_listing(settings, [*TASK_PREFIXES, _archives(settings)]),
    ]
    if settings.read or settings.write:
        readable = sorted({*settings.read, *settings.write})
        arns = [f"arn:{settings.partition}:s3:::{bucket}" for bucket in readable]
        statements.append(_allow(["s3:ListBucket"], arns))
        statements.append(_allow(["s3:GetObject"], [f"{arn}/*" for arn in arns]))
    if settings.write:
        writable = [f"arn:{settings.partition}:s3:::{bucket}/*" for bucket in sorted(settings.write)]
        statements.append(_allow(["s3:PutObject"], writable))
    statements += _key_statements(settings, [settings.bucket, *settings.write], _USE_KEY)
    statements += _key_statements(settings, settings.read, ["kms:Decrypt"])
    if settings.subnets:
        statements += _network_statements(settings)
    return _policy(statements)


def of_driver(settings: Settings) -> Policy:
    """Return the policy of the driver's role: invoke the function and itself, and store jobs in the bucket.

    Args:
        settings: settings of the driver, not of the function.
    """
    function = settings.function_arn.removesuffix(settings.function) + settings.owner
    return _policy(
        [
            _allow(["logs:CreateLogStream", "logs:PutLogEvents"], [f"{settings.log_group_arn}:*"]),
            _allow(_actions("lambda", _USED_ACTIONS), [function, f"{function}:*"]),
            _allow(["lambda:InvokeFunction"], _function_arns(settings)),
            # The account's concurrency limit belongs to no resource.
            _allow(["lambda:GetAccountSettings"], ["*"]),
            _allow(_actions("s3", _OBJECT_ACTIONS), _object_arns(settings, JOB_PREFIXES)),
            _allow_listing(settings, JOB_PREFIXES),
            *_key_statements(settings, [settings.bucket], _USE_KEY),
        ]
    )


def of_published(settings: Settings, publication: Publication) -> Policy:
    """Return the policy of the role of a published job.

    It may start itself and the other published jobs, invoke the function and its driver, use temporary
    objects, read its own code and what starts it, and write outputs.

    Args:
        settings: settings of its function, not of the deployment's. ``read`` and ``write`` name the bucket
            that is watched, and that of the outputs.
        publication: the job.
    """
    function = settings.function_arn.removesuffix(settings.function) + settings.owner
    driver, of_code = driver_name(function), publication.code_prefix.removesuffix("/")
    read = [of_code, _archives(settings)]
    bucket, _, prefix = publication.outputs.removeprefix("s3://").partition("/")
    outputs = f"{prefix.strip('/')}/".lstrip("/")
    statements = [
        _allow(["logs:CreateLogStream", "logs:PutLogEvents"], [f"{settings.log_group_arn}:*"]),
        _allow(_actions("lambda", _USED_ACTIONS), [function, f"{function}:*"]),
        # The driver of a start that is over begins the next one, which may be that of another job.
        _allow(["lambda:InvokeFunction"], [driver, f"{driver}:*", f"{function_of(function, '*')}"]),
        # The account's concurrency limit belongs to no resource.
        _allow(["lambda:GetAccountSettings"], ["*"]),
        _allow(_actions("s3", _OBJECT_ACTIONS), _object_arns(settings, TEMPORARY_PREFIXES)),
        _allow(["s3:GetObject"], _object_arns(settings, read)),
        _allow_listing(settings, [*TEMPORARY_PREFIXES, *read]),
        *_bucket_statements(settings, bucket, outputs, "", ["s3:GetObject", "s3:PutObject"]),
    ]
    if isinstance(on := publication.on, Objects):
        actions = ["s3:GetObject", "s3:GetObjectVersion"]
        statements += _bucket_statements(settings, on.bucket, on.prefix, on.suffix, actions)
    statements += _key_statements(settings, [settings.bucket, *settings.write], _USE_KEY)
    statements += _key_statements(settings, settings.read, ["kms:Decrypt"])
    if settings.subnets:
        statements += _network_statements(settings)
    return _policy(statements)


def _bucket_statements(
    settings: Settings, bucket: str, prefix: str, suffix: str, actions: Sequence[str]
) -> list[dict[str, Any]]:
    """Return statements that allow actions on some objects of a bucket, and to see whether they exist."""
    arn = f"arn:{settings.partition}:s3:::{bucket}"
    listing = {**_allow(["s3:ListBucket"], [arn]), "Condition": {"StringLike": {"s3:prefix": [f"{prefix}*"]}}}
    return [_allow(actions, [f"{arn}/{prefix}*{suffix}"]), listing]


def _network_statements(settings: Settings) -> list[dict[str, Any]]:
    """Return the statements that let Lambda put the function into a VPC.

    Lambda does so with the function's role, and looks whether the role may do it with every resource. The
    function's own code may not: the second statement denies it.
    """
    where = [settings.function_arn, f"{settings.function_arn}:*"]
    code = {"ArnLike": {"lambda:SourceFunctionArn": where}}
    actions = _actions("ec2", _NETWORK_ACTIONS)
    return [_allow(actions, ["*"]), {**_allow(actions, ["*"]), "Effect": "Deny", "Condition": code}]


def _key_statements(
    settings: Settings, buckets: Iterable[str], actions: Sequence[str]
) -> list[dict[str, Any]]:
    """Return statements that allow actions with the KMS keys of buckets, in requests to S3 only."""
    names = set(buckets)
    keys = sorted({key for bucket, key in settings.keys if bucket in names})
    return [_allow_key(settings, key, actions) for key in keys]


def _allow_key(settings: Settings, key: str, actions: Sequence[str]) -> dict[str, Any]:
    domain = "amazonaws.com.cn" if settings.partition == "aws-cn" else "amazonaws.com"
    condition: dict[str, Any] = {"StringEquals": {"kms:ViaService": f"s3.{settings.region}.{domain}"}}
    _, is_alias, alias = key.partition(":alias/")
    if is_alias:  # a statement can name a key by an alias in a condition only
        condition["ForAnyValue:StringEquals"] = {"kms:ResourceAliases": f"alias/{alias}"}
    return {**_allow(actions, [_key_resource(key)]), "Condition": condition}


def _key_resource(key: str) -> str:
    """Return a KMS key as statements name it: by its ARN, or all keys where only an alias is known."""
    place, is_alias, _ = key.partition(":alias/")
    return f"{place}:key/*" if is_alias else key


def of_user(settings: Settings) -> Policy:
    """Return the policy for people who run maps: invoke the function and its driver, and use the bucket.

    Whoever may invoke a function trusts everyone else who may: see ``docs/aws/security.md``.
    """
    return _policy(
        [
            _allow(_actions("lambda", _USED_ACTIONS), _function_arns(settings)),
            *_driver_statements(settings, ["lambda:InvokeFunction"]),
            *(
                [_allow(_actions("lambda", _STARTING_ACTIONS), _published_arns(settings))]
                * settings.has_driver
            ),
            # The account's concurrency limit belongs to no resource.
            _allow(["lambda:GetAccountSettings"], ["*"]),
            *_user_statements(settings),
        ]
    )


def _user_statements(settings: Settings) -> list[dict[str, Any]]:
    """Return the statements about what users do in the bucket."""
    return [
        _allow(["s3:PutObject"], _object_arns(settings, ["code", "args", "refs", "jobs"])),
        _allow(["s3:GetObject"], _object_arns(settings, ["results", "outputs", "jobs"])),
        _allow(["s3:DeleteObject"], _object_arns(settings, [*TEMPORARY_PREFIXES, "outputs"])),
        _allow_listing(settings, [*TEMPORARY_PREFIXES, "outputs"]),
        *_key_statements(settings, [settings.bucket], _USE_KEY),
    ]


def of_deployer(settings: Settings) -> Policy:
    """Return the policy for people who run wrenlite-setup, doctor, logs and destroy.

    It names the resources one by one. Signing in (``sts:GetCallerIdentity``) needs no permission. Whoever may
    write a role's policy and pass the role to a function can do whatever roles can do: this is an
    administrator's policy, however short it is. A permissions boundary limits what the role can do.
    """
    layer, bucket = settings.layer_arn, f"arn:{settings.partition}:s3:::{settings.bucket}"
    driver = settings.of_driver
    logs = [each.log_group_arn for each in (settings, driver) if each]
    layer_zips = f"{bucket}/{settings.prefix}/layers/*"
    statements = [
        _allow(_actions("lambda", _FUNCTION_ACTIONS), _function_arns(settings)),
        _allow(_actions("lambda", ["ListLayerVersions", "PublishLayerVersion"]), [layer]),
        _allow(_actions("lambda", ["DeleteLayerVersion", "GetLayerVersion"]), [f"{layer}:*"]),
        # The account's concurrency limit belongs to no resource.
        _allow(["lambda:GetAccountSettings"], ["*"]),
        *_driver_statements(settings, _actions("lambda", (*_FUNCTION_ACTIONS, *_LOOP_ACTIONS)), always=True),
        # Published jobs are found by the beginning of their names, and AWS knows no resource for that.
        _allow(["lambda:ListFunctions"], ["*"]),
        _allow(_actions("logs", _LOG_ACTIONS), [arn for log in logs for arn in (log, f"{log}:*")]),
        # This action lists log groups by the beginning of their names, and AWS knows no resource for that.
        _allow(["logs:DescribeLogGroups"], [f"{logs[0].partition(':log-group:')[0]}:log-group:*"]),
        _allow(
            _actions("s3", _BUCKET_ACTIONS if settings.managed_bucket else _USERS_BUCKET_ACTIONS), [bucket]
        ),
        _allow(["s3:DeleteObject", "s3:GetObject", "s3:PutObject"], [layer_zips]),
        _allow(["s3:DeleteObject", "s3:PutObject"], _object_arns(settings, [_archives(settings)])),
        *_user_statements(settings),
    ]
    others = [f"arn:{settings.partition}:s3:::{name}" for name in sorted({*settings.read, *settings.write})]
    if others:  # wrenlite-setup looks whether they exist
        statements.append(_allow(["s3:ListBucket"], others))
    if settings.managed_bucket:  # destroy empties it
        statements.append(_allow(["s3:DeleteObject", "s3:DeleteObjectVersion"], [f"{bucket}/*"]))
    statements += _role_statements(settings)
    statements += _statements_about_users_resources(settings)
    passed = [settings.role, *([driver.role] if driver and settings.has_driver else ())]
    statements += _watching_statements(settings)
    return _policy([*statements, _allow_passing(passed)])


def _allow_passing(roles: Sequence[str]) -> dict[str, Any]:
    condition = {"StringEquals": {"iam:PassedToService": LAMBDA_SERVICE}}
    return {**_allow(["iam:PassRole"], roles), "Condition": condition}


def of_publisher(settings: Settings) -> Policy:
    """Return the policy for people who publish functions, start them, and remove them; with that of users.

    It is one of its own, since AWS takes no more than 6,144 characters in one. What holds for the policy of
    deployers holds here, too: it is an administrator's. Buckets that are watched must be the deployment's
    own, or named by ``--read`` or ``--write``.
    """
    place, (function, _) = f"{settings.region}:{settings.account}", _published_arns(settings)
    actions = (*_PUBLISHED_ACTIONS, *_LOOP_ACTIONS, *_PERMISSION_ACTIONS, *_URL_ACTIONS)
    own, layer = f"arn:{settings.partition}:s3:::", settings.layer_arn
    watched = [f"{own}{name}" for name in sorted({settings.bucket, *settings.read, *settings.write})]
    rule = f"arn:{settings.partition}:events:{place}:rule/{function.rpartition(':')[2]}"
    log, role = function_of(settings.log_group_arn, "*"), _published_role(settings)
    log_actions = [name for name in _LOG_ACTIONS if "Metric" not in name]
    return _policy(
        [
            *of_user(settings)["Statement"],
            _allow(_actions("lambda", ["GetFunction", "ListTags"]), [settings.function_arn]),
            _allow(["lambda:ListLayerVersions"], [layer]),
            _allow(["lambda:GetLayerVersion"], [f"{layer}:*"]),
            _allow(_actions("lambda", actions), _published_arns(settings)),
            # Functions are found by the beginning of their names, and AWS knows no resource for that.
            _allow(["lambda:ListFunctions"], ["*"]),
            _allow(_actions("logs", log_actions), [log, f"{log}:*"]),
            # The same for the groups of their logs.
            _allow(["logs:DescribeLogGroups"], [f"{log.partition(':log-group:')[0]}:log-group:*"]),
            _allow(_actions("events", _RULE_ACTIONS), [rule]),
            _allow(_actions("s3", (*_USERS_BUCKET_ACTIONS, *_NOTIFICATION_ACTIONS)), watched),
            _allow(_actions("s3", _OBJECT_ACTIONS), _object_arns(settings, [PUBLISHED_PREFIX])),
            _allow(["s3:GetObject"], _object_arns(settings, ["starts"])),
            *_made_role_statements([role], None if settings.role_arn else settings.boundary),
            *_statements_about_users_resources(settings),
            _allow_passing([role]),
        ]
    )


def _watching_statements(settings: Settings) -> list[dict[str, Any]]:
    """Return the statements about the dashboard and the alarms. Those of the log's metrics are its own."""
    names = [dashboard.alarm_name(settings, kind) for kind in ALARM_KINDS]
    place = f"arn:{settings.partition}:cloudwatch:{settings.region}:{settings.account}"
    boards = f"arn:{settings.partition}:cloudwatch::{settings.account}:dashboard"
    return [
        _allow(_actions("cloudwatch", _DASHBOARD_ACTIONS), [f"{boards}/{dashboard.name_of(settings)}"]),
        _allow(_actions("cloudwatch", _ALARM_ACTIONS), [f"{place}:alarm:{name}" for name in names]),
    ]


def _statements_about_users_resources(settings: Settings) -> list[dict[str, Any]]:
    """Return the statements about layers, networks and keys of the user's, which wrenlite-setup looks at."""
    statements = []
    if settings.layers:  # Lambda asks for this permission, too
        statements.append(_allow(["lambda:GetLayerVersion"], sorted(settings.layers)))
    if settings.subnets:  # actions that know no resource; Lambda asks for them, too
        look = ["ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs"]
        statements.append(_allow(look, ["*"]))
    keys = sorted({_key_resource(key) for _, key in settings.keys})
    if keys:  # doctor looks whether they are enabled
        statements.append(_allow(["kms:DescribeKey"], keys))
    return statements


def _role_statements(settings: Settings) -> list[dict[str, Any]]:
    """Return the statements about the roles of the function and of its driver.

    Where they have a permissions boundary, their policies may be changed only as long as they have that one.
    """
    both = [each for each in (settings, settings.of_driver) if each]
    theirs = [each.role for each in both if each.role_arn is not None]
    made, boundary = [each.role for each in both if each.role_arn is None], settings.boundary
    look = [_allow(["iam:GetRole"], theirs)] if theirs else []
    if settings.role_arn is not None:  # it looks whether there are others to remove
        return [*look, *([_allow(["iam:GetRole"], made)] if made else [])]
    return [*look, *_made_role_statements(made, boundary)]


def _made_role_statements(made: Sequence[str], boundary: str | None) -> list[dict[str, Any]]:
    """Return the statements about roles that wrenlite makes, below a permissions boundary if there is one."""
    if boundary is None:
        return [_allow(_actions("iam", (*_ROLE_ACTIONS, *_BOUNDED_ACTIONS)), made)]
    if not boundary:
        removal = "DeleteRolePermissionsBoundary"
        return [_allow(_actions("iam", (*_ROLE_ACTIONS, *_BOUNDED_ACTIONS, removal)), made)]
    bounded = _allow(_actions("iam", (*_BOUNDED_ACTIONS, "PutRolePermissionsBoundary")), made)
    condition = {"StringEquals": {"iam:PermissionsBoundary": boundary}}
    return [
        _allow(_actions("iam", _ROLE_ACTIONS), made),
        {**bounded, "Condition": condition},
        _allow(["iam:GetPolicy"], [boundary]),
    ]


_USE_KEY = ("kms:Decrypt", "kms:GenerateDataKey")
"""What S3 does with a key for those who read and write objects."""
_NETWORK_ACTIONS = (
    *("CreateNetworkInterface", "DeleteNetworkInterface", "DescribeNetworkInterfaces", "DescribeSubnets"),
    *("AssignPrivateIpAddresses", "UnassignPrivateIpAddresses"),
)
_USED_ACTIONS = ("GetFunctionConcurrency", "GetFunctionConfiguration", "InvokeFunction")
_STARTING_ACTIONS = (
    "GetFunctionConfiguration",
    "GetFunctionUrlConfig",
    "InvokeFunction",
    "InvokeFunctionUrl",
)
"""What starting a published job takes. AWS asks for both of the last two."""
_PUBLISHED_ACTIONS = (
    *("CreateFunction", "DeleteFunction", "DeleteFunctionConcurrency", "GetFunction"),
    *("ListTags", "PutFunctionConcurrency", "TagResource", "UntagResource", "UpdateFunctionCode"),
    *("UpdateFunctionConfiguration", "GetFunctionConfiguration", "InvokeFunction"),
)
"""Actions on functions that have no versions."""
_FUNCTION_ACTIONS = (
    *("CreateAlias", "DeleteAlias", "ListAliases", "UpdateAlias", "ListVersionsByFunction", "PublishVersion"),
    *("GetFunctionConcurrency", *_PUBLISHED_ACTIONS),
)
_NOTIFICATION_ACTIONS = ("GetBucketNotification", "PutBucketNotification")
_PERMISSION_ACTIONS = ("AddPermission", "GetPolicy", "RemovePermission")
_URL_ACTIONS = (
    *("CreateFunctionUrlConfig", "DeleteFunctionUrlConfig", "UpdateFunctionUrlConfig"),
    *("GetFunctionUrlConfig", "InvokeFunctionUrl"),
)
_RULE_ACTIONS = (
    *("DeleteRule", "DescribeRule", "ListTagsForResource", "ListTargetsByRule", "PutRule", "PutTargets"),
    *("RemoveTargets", "TagResource", "UntagResource"),
)
_LOOP_ACTIONS = ("GetFunctionRecursionConfig", "PutFunctionRecursionConfig")
_OBJECT_ACTIONS = ("DeleteObject", "GetObject", "PutObject")
_LOG_ACTIONS = (
    *("CreateLogGroup", "DeleteLogGroup", "FilterLogEvents", "ListTagsForResource"),
    *("PutRetentionPolicy", "TagResource", "UntagResource"),
    *("DescribeMetricFilters", "PutMetricFilter", "DeleteMetricFilter"),
)
_DASHBOARD_ACTIONS = ("DeleteDashboards", "GetDashboard", "PutDashboard")
_ALARM_ACTIONS = (
    *("DeleteAlarms", "DescribeAlarms", "ListTagsForResource", "PutMetricAlarm"),
    *("TagResource", "UntagResource"),
)
_USERS_BUCKET_ACTIONS = ("GetBucketTagging", "GetEncryptionConfiguration", "ListBucket")
"""Actions on a bucket that wrenlite uses and does not manage."""
_BUCKET_ACTIONS = (
    *("CreateBucket", "DeleteBucket", "TagResource", "ListBucketVersions", *_USERS_BUCKET_ACTIONS),
    *("PutBucketTagging", "GetBucketPolicy", "PutBucketPolicy"),
    *("GetLifecycleConfiguration", "PutLifecycleConfiguration"),
    *("GetBucketPublicAccessBlock", "PutBucketPublicAccessBlock"),
    *("GetBucketOwnershipControls", "PutBucketOwnershipControls"),
    "PutEncryptionConfiguration",
)
_ROLE_ACTIONS = (
    *("DeleteRole", "GetRole", "GetRolePolicy", "ListAttachedRolePolicies", "ListRolePolicies"),
    *("TagRole", "UntagRole", "UpdateAssumeRolePolicy"),
)
_BOUNDED_ACTIONS = ("CreateRole", "DeleteRolePolicy", "DetachRolePolicy", "PutRolePolicy")
"""Actions on the role for which IAM looks at its permissions boundary."""


def of_bucket(settings: Settings) -> Policy:
    """Return the policy of the bucket, which denies connections without TLS to everybody."""
    arn = f"arn:{settings.partition}:s3:::{settings.bucket}"
    statement = {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return _policy([statement])


def lifecycle_rules(settings: Settings) -> list[dict[str, Any]]:
    """Return the bucket's rules, which expire temporary objects and abort uploads that never completed."""
    rules: list[dict[str, Any]] = [
        {
            "ID": f"wrenlite-{part}",
            "Filter": {"Prefix": f"{settings.prefix}/{part}/"},
            "Status": "Enabled",
            "Expiration": {"Days": EXPIRE_DAYS},
        }
        for part in (*TEMPORARY_PREFIXES, "layers")
    ]
    rules.append(
        {
            "ID": "wrenlite-uploads",
            "Filter": {"Prefix": ""},
            "Status": "Enabled",
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
        }
    )
    return rules


def _function_arns(settings: Settings) -> list[str]:
    """Return the ARN of the function, and that of its versions and aliases, which need one of their own."""
    return [settings.function_arn, f"{settings.function_arn}:*"]


def _published_arns(settings: Settings) -> list[str]:
    """Return the ARNs of the functions of all published jobs of a deployment."""
    arn = function_of(settings.function_arn, "*")
    return [arn, f"{arn}:*"]


def _published_role(settings: Settings) -> str:
    """Return the ARNs of the roles of all published jobs of a deployment, as a pattern."""
    path = "/" if settings.role_arn is not None else settings.role_path
    name = f"{function_of(settings.function, '*')}-{settings.region}"
    return f"arn:{settings.partition}:iam::{settings.account}:role{path}{name}"


def _driver_statements(
    settings: Settings, actions: Sequence[str], *, always: bool = False
) -> list[dict[str, Any]]:
    """Return the statement that allows actions on the driver, if there is one.

    Args:
        settings: settings of the function.
        actions: the actions.
        always: whether it is allowed where no driver is wanted, too: there may be one to remove.
    """
    driver = settings.of_driver
    return [_allow(actions, _function_arns(driver))] if driver and (always or settings.has_driver) else []


def _archives(settings: Settings) -> str:
    return settings.archives.removesuffix("/")


def _actions(service: str, names: Iterable[str]) -> list[str]:
    return [f"{service}:{name}" for name in sorted(names)]


def _object_arns(settings: Settings, parts: Iterable[str]) -> list[str]:
    """Return the ARN patterns of all objects below parts of the deployment's prefix."""
    root = f"arn:{settings.partition}:s3:::{settings.bucket}/{settings.prefix}"
    return [f"{root}/{part}/*" for part in parts]


def _allow_listing(settings: Settings, parts: Iterable[str]) -> dict[str, Any]:
    """Allow to list these prefixes. Without it S3 answers 403, and not 404, for a key that does not exist."""
    prefixes = [f"{settings.prefix}/{part}/*" for part in parts]
    statement = _allow(["s3:ListBucket"], [f"arn:{settings.partition}:s3:::{settings.bucket}"])
    return {**statement, "Condition": {"StringLike": {"s3:prefix": prefixes}}}


def _allow(actions: Sequence[str], resources: Sequence[str]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": list(resources)}


def _policy(statements: Sequence[dict[str, Any]]) -> Policy:
    return {"Version": "2012-10-17", "Statement": list(statements)}
