"""Describe the AWS resources of a deployment, as desired and as found, and the settings behind them.

Every resource that wrenlite creates carries the tag ``wrenlite``, whose value is the function's name. A
resource without this tag is never changed or deleted. Names are computed from the settings, so that there is
no state file that could be lost.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

from wrenlite.config import parse_setting
from wrenlite.deploy import packages
from wrenlite.errors import ConfigError

TAG = "wrenlite"
"""Key of the tag on every resource that wrenlite creates; its value is the function's name."""
TEMPORARY_PREFIXES = ("code", "args", "refs", "results")
"""Parts below the deployment's prefix whose objects expire."""
RECORDED_VARIABLE = "WRENLITE_SETUP"
"""Environment variable of the function that holds ``Settings.recorded`` as JSON."""
EXPIRE_DAYS = 7
"""Days after which temporary objects expire."""
LOG_DAYS = 14
"""Days for which log events are kept."""


@dataclass(frozen=True)
class Settings:
    """The settings of a deployment."""

    account: str
    """AWS account id: 12 digits."""
    region: str
    bucket: str
    function: str = "wrenlite"
    """Name of the Lambda function, after which the other resources are named."""
    prefix: str = "wrenlite"
    """The beginning of all keys in the bucket."""
    managed_bucket: bool = True
    """Whether wrenlite creates, changes and deletes the bucket. Otherwise it is the user's own."""
    role_arn: str | None = None
    """ARN of a role that the user has created, used as it is; None: wrenlite creates a role."""
    memory_mb: int = 1769
    timeout_s: int = 900
    architecture: str = "x86_64"
    ephemeral_mb: int = 512
    """Size of ``/tmp``."""
    reserved: int | None = None
    """Reserved concurrency: the most invocations that can run at once, which is a hard cap on spending."""
    python: str = "3.12"
    """Minor version of the function's Python."""
    read: tuple[str, ...] = ()
    """Other buckets that tasks may read."""
    write: tuple[str, ...] = ()
    """Other buckets that tasks may read and write."""
    packages: tuple[str, ...] = ()
    """Requirements in addition to the layer's default packages."""
    partition: str = "aws"
    """Partition of AWS, which is part of every ARN."""

    def __post_init__(self) -> None:
        """Check the settings before anything is created.

        Raises:
            ConfigError: AWS would refuse a setting.
        """
        for bucket in (self.bucket, *self.read, *self.write):
            parse_setting("bucket", bucket)
            _require(
                f"bucket {bucket!r}",
                not _RESERVED_BUCKET.search(bucket),
                "another name: S3 reserves names of this form",
            )
        parse_setting("prefix", self.prefix)
        _require(
            "--function",
            re.fullmatch(r"[\w-]{1,64}", self.function, re.ASCII),
            "1 to 64 letters, digits, - and _",
        )
        longest = 63 - len(self.region)  # the name of the role is that of the function and the region
        _require(
            "--function", self.role_arn or len(self.function) <= longest, f"{longest} characters at most"
        )
        _require("--memory", 128 <= self.memory_mb <= 10_240, "128 to 10,240 MB")
        _require("--timeout", 1 <= self.timeout_s <= 900, "1 to 900 seconds")
        _require("--ephemeral-storage", 512 <= self.ephemeral_mb <= 10_240, "512 to 10,240 MB")
        _require("--architecture", self.architecture in ("x86_64", "arm64"), "x86_64 or arm64")
        _require(
            "--reserved-concurrency",
            self.reserved is None or self.reserved >= 1,
            "a whole number from 1, or 0 for no reservation",
        )
        _require("account", re.fullmatch(r"\d{12}", self.account), "12 digits")
        arn = self.role_arn is None or re.fullmatch(r"arn:aws[\w-]*:iam::\d{12}:role/.+", self.role_arn)
        _require("--role-arn", arn, "a role's ARN, such as arn:aws:iam::123456789012:role/mine")
        for package in self.packages:
            packages.parse(package)
        _require(
            "--package, --read and --write",
            len(json.dumps(self.recorded)) <= _RECORDED_CHARACTERS,
            f"{_RECORDED_CHARACTERS:,} characters at most, all together",
        )

    @property
    def role_name(self) -> str:
        """Name of the role that wrenlite creates."""
        return f"{self.function}-{self.region}"

    @property
    def role(self) -> str:
        """ARN of the function's role."""
        return self.role_arn or f"arn:{self.partition}:iam::{self.account}:role/{self.role_name}"

    @property
    def log_group(self) -> str:
        """Name of the log group of the function."""
        return f"/aws/lambda/{self.function}"

    @property
    def recorded(self) -> dict[str, tuple[str, ...]]:
        """Settings that no resource shows: the function's environment records them for the next run."""
        return {"packages": self.packages, "read": self.read, "write": self.write}

    @property
    def function_arn(self) -> str:
        """ARN of the function."""
        return f"arn:{self.partition}:lambda:{self.region}:{self.account}:function:{self.function}"


_RESERVED_BUCKET = re.compile(
    r"^(xn--|sthree-|amzn-s3-demo-)|(-s3alias|--ol-s3|\.mrap|--x-s3|--table-s3)$|^[\d.]+$"
)
"""Bucket names that AWS reserves, and names that look like an IP address."""
_RECORDED_CHARACTERS = 1500
"""A function's environment has room for 4 KB, and holds the packages twice, once with versions."""


def _require(name: str, valid: object, must_be: str) -> None:
    """Raise ConfigError where a setting is not valid."""
    if not valid:
        raise ConfigError(f"{name}: must be {must_be}")


@dataclass(frozen=True)
class Bucket:
    """The bucket for functions and large values: private, encrypted, TLS only; temporary objects expire."""

    kind: ClassVar[str] = "bucket"
    name: str
    policy: str
    """Canonical JSON."""
    lifecycle: str
    """Canonical JSON of the lifecycle rules."""
    public_access_blocked: bool = True
    owner_enforced: bool = True
    """Whether the bucket's owner owns all objects, and ACLs are disabled."""
    encrypted: bool = True


@dataclass(frozen=True)
class Role:
    """The IAM role of the function: what tasks may do on AWS."""

    kind: ClassVar[str] = "role"
    name: str
    trust: str
    """Canonical JSON of the trust policy."""
    policy: str
    """Canonical JSON of the permissions."""


@dataclass(frozen=True)
class LogGroup:
    """The log group of the function."""

    kind: ClassVar[str] = "log group"
    name: str
    days: int = LOG_DAYS
    """Days for which log events are kept."""


@dataclass(frozen=True)
class Layer:
    """The layer with the packages that tasks import.

    A version of a layer never changes: another digest needs another version.
    """

    kind: ClassVar[str] = "layer"
    name: str
    digest: str
    """Digest of the request: requirements, Python and architecture."""
    runtime: str
    architecture: str
    requirements: tuple[str, ...] = field(default=(), compare=False)
    """Requirements that the layer was built from."""
    arn: str = field(default="", compare=False)
    """ARN of the version that was found or published."""
    older: int = 0
    """Number of versions older than the newest, which wrenlite's function does not use."""


@dataclass(frozen=True)
class Function:
    """The Lambda function that runs all batches."""

    kind: ClassVar[str] = "function"
    name: str
    digest: str
    """SHA-256 of the zip in base64, as Lambda reports it."""
    runtime: str
    architecture: str
    handler: str
    memory_mb: int
    timeout_s: int
    ephemeral_mb: int
    reserved: int | None
    environment: tuple[tuple[str, str], ...]
    """Names and values of the environment variables, sorted."""
    role: str
    """ARN of the role."""
    layer: str
    """Digest of the layer; empty where the function has none."""
    state: str = "ready"
    """``ready``, ``update failed``, or ``failed``: then the function must be created again."""


def recorded_settings(function: Function, managed_role_arn: str) -> dict[str, Any]:
    """Return the settings that a function was deployed with, from which the next run starts.

    Args:
        function: the function as it was found.
        managed_role_arn: ARN of the role that wrenlite creates for it; another one is the user's own.

    Returns:
        Fields of ``Settings`` by name.

    Raises:
        ConfigError: somebody has changed the variable in the function's environment that records settings.
    """
    environment = dict(function.environment)
    try:
        lists = dict(json.loads(environment.get(RECORDED_VARIABLE, "{}")))
    except ValueError as error:
        raise ConfigError(
            f"the environment variable {RECORDED_VARIABLE} of the function {function.name} is not valid "
            f"JSON: {error}. Delete that variable; wrenlite-setup sets it again"
        ) from error
    return {
        "bucket": environment.get("WRENLITE_BUCKET"),
        "prefix": environment.get("WRENLITE_PREFIX"),
        "role_arn": None if function.role == managed_role_arn else function.role,
        "memory_mb": function.memory_mb,
        "timeout_s": function.timeout_s,
        "architecture": function.architecture,
        "ephemeral_mb": function.ephemeral_mb,
        "reserved": function.reserved,
        **{name: tuple(lists.get(name, ())) for name in ("packages", "read", "write")},
    }


Resource: TypeAlias = Bucket | Role | LogGroup | Layer | Function


def canonical_policy(policy: Any) -> str:
    """Return a policy as JSON text that is the same for equal policies, however AWS returns them."""
    statements = [_canonical_statement(statement) for statement in policy.get("Statement", ())]
    ordered = {**policy, "Statement": sorted(statements, key=json.dumps)}
    return json.dumps(ordered, sort_keys=True, separators=(",", ":"))


def canonical_rules(rules: Sequence[dict[str, Any]]) -> str:
    """Return lifecycle rules as JSON text that is the same for equal rules, however S3 returns them."""
    plain = [{**rule, "Filter": {"Prefix": rule.get("Filter", {}).get("Prefix", "")}} for rule in rules]
    return json.dumps(sorted(plain, key=lambda rule: str(rule.get("ID"))), sort_keys=True)


def _canonical_statement(statement: dict[str, Any]) -> dict[str, Any]:
    """Sort a statement, with a list wherever a policy may have one text or a list of texts."""
    ordered = dict(sorted(statement.items()))
    for name in ("Action", "Resource", "Principal", "Condition"):
        if name in ordered:
            ordered[name] = _sort_lists(ordered[name], wrap_text=name in ("Action", "Resource"))
    return ordered


def _sort_lists(value: Any, *, wrap_text: bool = True) -> Any:
    """Sort every list in a value; a text becomes a list of one, unless it must stay a text."""
    if isinstance(value, dict):
        return {name: _sort_lists(inner) for name, inner in sorted(value.items())}
    if isinstance(value, str):
        return [value] if wrap_text else value  # Principal: "*" must not become a list
    return sorted(value)
