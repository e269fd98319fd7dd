"""Who may do what: the policies of the function, of its users, of who deploys it, and of the bucket.

No statement has a ``*`` for its resource, except where AWS knows none narrower; a comment says so there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from wrenlite.deploy.resources import EXPIRE_DAYS, TEMPORARY, Settings

Policy = dict[str, Any]


def trust() -> Policy:
    """Who may take the function's role: Lambda."""
    return _policy(
        [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]
    )


def of_function(settings: Settings) -> Policy:
    """What the function may do: write its log, read what clients put, write values."""
    statements = [
        _allow(["logs:CreateLogStream", "logs:PutLogEvents"], [f"{_log_group(settings)}:*"]),
        _allow(["s3:GetObject"], _objects(settings, TEMPORARY)),
        _allow(["s3:PutObject"], _objects(settings, ["results", "outputs"])),
        _listing(settings, TEMPORARY),
    ]
    if settings.read or settings.write:
        readable = sorted({*settings.read, *settings.write})
        places = [f"arn:{settings.partition}:s3:::{bucket}" for bucket in readable]
        statements.append(_allow(["s3:ListBucket"], places))
        statements.append(_allow(["s3:GetObject"], [f"{place}/*" for place in places]))
    if settings.write:
        writable = [f"arn:{settings.partition}:s3:::{bucket}/*" for bucket in sorted(settings.write)]
        statements.append(_allow(["s3:PutObject"], writable))
    return _policy(statements)


def of_client(settings: Settings) -> Policy:
    """What somebody needs who maps over data: invoke the one function, and the bucket's prefixes."""
    return _policy(
        [
            _allow(["lambda:InvokeFunction", "lambda:GetFunctionConfiguration"], [settings.function_arn]),
            # The account's limit of concurrency belongs to no resource.
            _allow(["lambda:GetAccountSettings"], ["*"]),
            *_of_users(settings),
        ]
    )


def _of_users(settings: Settings) -> list[dict[str, Any]]:
    """What users do in the bucket."""
    return [
        _allow(["s3:PutObject"], _objects(settings, ["code", "args", "refs"])),
        _allow(["s3:GetObject"], _objects(settings, ["results", "outputs"])),
        _allow(["s3:DeleteObject"], _objects(settings, [*TEMPORARY, "outputs"])),
        _listing(settings, [*TEMPORARY, "outputs"]),
    ]


def of_deployer(settings: Settings) -> Policy:
    """What somebody needs who runs wrenlite-setup, doctor, logs and destroy: these resources by their names.

    Signing in (``sts:GetCallerIdentity``) needs no permission. Who may write a role's policy and pass the
    role to a function can do whatever roles can: this is an administrator's policy, however short it is.
    """
    layer = f"arn:{settings.partition}:lambda:{settings.region}:{settings.account}:layer:{settings.function}"
    log, bucket = _log_group(settings), f"arn:{settings.partition}:s3:::{settings.bucket}"
    layers = f"{bucket}/{settings.prefix}/layers/*"
    logs = ["FilterLogEvents", "ListTagsForResource", "PutRetentionPolicy", "TagResource"]
    function = ["CreateFunction", "DeleteFunction", "DeleteFunctionConcurrency", "GetFunction"]
    function += ["GetFunctionConfiguration", "InvokeFunction", "ListTags", "PutFunctionConcurrency"]
    function += ["TagResource", "UpdateFunctionCode", "UpdateFunctionConfiguration"]
    statements = [
        _allow(_actions("lambda", function), [settings.function_arn]),
        _allow(_actions("lambda", ["ListLayerVersions", "PublishLayerVersion"]), [layer]),
        _allow(_actions("lambda", ["DeleteLayerVersion", "GetLayerVersion"]), [f"{layer}:*"]),
        # The account's limit of concurrency belongs to no resource.
        _allow(["lambda:GetAccountSettings"], ["*"]),
        _allow(_actions("logs", ["CreateLogGroup", "DeleteLogGroup", *logs]), [log, f"{log}:*"]),
        # Asked for by the beginning of a name, which is no resource of its own.
        _allow(["logs:DescribeLogGroups"], [f"{log.partition(':log-group:')[0]}:log-group:*"]),
        _allow(_actions("s3", _BUCKET if settings.own_bucket else _BUCKET_OF_THE_USERS), [bucket]),
        _allow(["s3:DeleteObject", "s3:GetObject", "s3:PutObject"], [layers]),
        *_of_users(settings),
    ]
    if settings.own_bucket:  # to empty it
        statements.append(_allow(["s3:DeleteObject", "s3:DeleteObjectVersion"], [f"{bucket}/*"]))
    role = _ROLE if settings.role_arn is None else ("GetRole",)
    statements.append(_allow(_actions("iam", role), [settings.role]))
    passing = _allow(["iam:PassRole"], [settings.role])
    condition = {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}
    return _policy([*statements, {**passing, "Condition": condition}])


_BUCKET_OF_THE_USERS = ("GetBucketTagging", "ListBucket")
_BUCKET = (
    *("CreateBucket", "DeleteBucket", "TagResource", "ListBucketVersions", *_BUCKET_OF_THE_USERS),
    *("GetBucketPolicy", "PutBucketPolicy", "GetLifecycleConfiguration", "PutLifecycleConfiguration"),
    *("GetBucketPublicAccessBlock", "PutBucketPublicAccessBlock"),
    *("GetBucketOwnershipControls", "PutBucketOwnershipControls"),
    *("GetEncryptionConfiguration", "PutEncryptionConfiguration"),
)
_ROLE = (
    *("CreateRole", "DeleteRole", "GetRole", "TagRole", "UpdateAssumeRolePolicy"),
    *("DeleteRolePolicy", "DetachRolePolicy", "GetRolePolicy", "ListAttachedRolePolicies"),
    *("ListRolePolicies", "PutRolePolicy"),
)


def of_bucket(settings: Settings) -> Policy:
    """What the bucket refuses to everybody: connections without TLS."""
    place = f"arn:{settings.partition}:s3:::{settings.bucket}"
    statement = {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [place, f"{place}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return _policy([statement])


def lifecycle(settings: Settings) -> list[dict[str, Any]]:
    """Rules for when the bucket forgets: temporary objects, and uploads that were never finished."""
    rules: list[dict[str, Any]] = [
        {
            "ID": f"wrenlite-{part}",
            "Filter": {"Prefix": f"{settings.prefix}/{part}/"},
            "Status": "Enabled",
            "Expiration": {"Days": EXPIRE_DAYS},
        }
        for part in (*TEMPORARY, "layers")
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


def _log_group(settings: Settings) -> str:
    place = f"arn:{settings.partition}:logs:{settings.region}:{settings.account}"
    return f"{place}:log-group:{settings.log_group}"


def _actions(service: str, names: Iterable[str]) -> list[str]:
    return [f"{service}:{name}" for name in sorted(names)]


def _objects(settings: Settings, parts: Iterable[str]) -> list[str]:
    place = f"arn:{settings.partition}:s3:::{settings.bucket}/{settings.prefix}"
    return [f"{place}/{part}/*" for part in parts]


def _listing(settings: Settings, parts: Iterable[str]) -> dict[str, Any]:
    """Without it a key that is not there is 403, not 404."""
    prefixes = [f"{settings.prefix}/{part}/*" for part in parts]
    statement = _allow(["s3:ListBucket"], [f"arn:{settings.partition}:s3:::{settings.bucket}"])
    return {**statement, "Condition": {"StringLike": {"s3:prefix": prefixes}}}


def _allow(actions: Sequence[str], resources: Sequence[str]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": list(resources)}


def _policy(statements: Sequence[dict[str, Any]]) -> Policy:
    return {"Version": "2012-10-17", "Statement": list(statements)}
