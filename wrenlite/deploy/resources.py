"""What wrenlite has on AWS: plain descriptions, as wanted and as found.

A resource that wrenlite makes carries the tag ``wrenlite`` with the function's name; without it nothing is
ever changed or deleted. Names are computed from the settings, so that there is no file of state to lose.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

from wrenlite.config import parse
from wrenlite.deploy import packages
from wrenlite.errors import ConfigError

TAG = "wrenlite"
"""Key of the tag of everything that wrenlite makes; its value is the function's name."""
TEMPORARY = ("code", "args", "refs", "results")
"""Prefixes whose objects expire."""
CHOSEN = "WRENLITE_SETUP"
"""The variable of the function's environment that has ``Settings.chosen``."""
EXPIRE_DAYS = 7
LOG_DAYS = 14


@dataclass(frozen=True)
class Settings:
    """What a deployment is made from."""

    account: str
    region: str
    bucket: str
    function: str = "wrenlite"
    prefix: str = "wrenlite"
    own_bucket: bool = True
    """Make it, or keep it as one that was made. Otherwise it is used as it is."""
    role_arn: str | None = None
    """A role of the user's own, used as it is."""
    memory_mb: int = 1769
    timeout_s: int = 900
    architecture: str = "x86_64"
    ephemeral_mb: int = 512
    reserved: int | None = None
    """Invocations at once at most: a hard cap on what is spent."""
    python: str = "3.12"
    read: tuple[str, ...] = ()
    """Further buckets that tasks may read."""
    write: tuple[str, ...] = ()
    """Further buckets that tasks may read and write."""
    packages: tuple[str, ...] = ()
    """Requirements beside the layer's default packages."""
    partition: str = "aws"

    def __post_init__(self) -> None:
        """Raises ConfigError for what AWS would refuse, before anything is made."""
        for bucket in (self.bucket, *self.read, *self.write):
            parse("bucket", bucket)
            _check(
                f"bucket {bucket!r}", not _RESERVED.search(bucket), "another name: S3 keeps that for itself"
            )
        parse("prefix", self.prefix)
        _check(
            "--function",
            re.fullmatch(r"[\w-]{1,64}", self.function, re.ASCII),
            "1 to 64 letters, digits, - and _",
        )
        longest = 63 - len(self.region)
        _check("--function", self.role_arn or len(self.function) <= longest, f"{longest} characters at most")
        _check("--memory", 128 <= self.memory_mb <= 10_240, "128 to 10,240 MB")
        _check("--timeout", 1 <= self.timeout_s <= 900, "1 to 900 seconds")
        _check("--ephemeral-storage", 512 <= self.ephemeral_mb <= 10_240, "512 to 10,240 MB")
        _check("--architecture", self.architecture in ("x86_64", "arm64"), "x86_64 or arm64")
        _check(
            "--reserved-concurrency",
            self.reserved is None or self.reserved >= 1,
            "a whole number from 1; 0: none",
        )
        _check("account", re.fullmatch(r"\d{12}", self.account), "12 digits")
        ours = self.role_arn is None or re.fullmatch(r"arn:aws[\w-]*:iam::\d{12}:role/.+", self.role_arn)
        _check("--role-arn", ours, "a role's ARN, such as arn:aws:iam::123456789012:role/mine")
        for package in self.packages:
            packages.parse(package)
        room = len(json.dumps(self.chosen)) <= _CHOSEN_CHARACTERS
        _check(
            "--package, --read and --write", room, f"{_CHOSEN_CHARACTERS:,} characters at most, all together"
        )

    @property
    def role_name(self) -> str:
        """Of the role that is made."""
        return f"{self.function}-{self.region}"

    @property
    def role(self) -> str:
        """ARN of the function's role."""
        return self.role_arn or f"arn:{self.partition}:iam::{self.account}:role/{self.role_name}"

    @property
    def log_group(self) -> str:
        """Name of the group that the function's log goes to."""
        return f"/aws/lambda/{self.function}"

    @property
    def chosen(self) -> dict[str, tuple[str, ...]]:
        """What cannot be read off a function: it carries it along, for the next run to begin with."""
        return {"packages": self.packages, "read": self.read, "write": self.write}

    @property
    def function_arn(self) -> str:
        """Of the function."""
        return f"arn:{self.partition}:lambda:{self.region}:{self.account}:function:{self.function}"


_RESERVED = re.compile(r"^(xn--|sthree-|amzn-s3-demo-)|(-s3alias|--ol-s3|\.mrap|--x-s3|--table-s3)$|^[\d.]+$")
"""Names of buckets that AWS keeps for itself, and what looks like an IP address."""
_CHOSEN_CHARACTERS = 1500
"""A function's environment has 4 KB, and the packages are in it a second time, with their versions."""


def _check(name: str, holds: object, must_be: str) -> None:
    if not holds:
        raise ConfigError(f"{name}: must be {must_be}")


@dataclass(frozen=True)
class Bucket:
    """Where functions and large values go: private, encrypted, TLS only, its temporary objects expire."""

    kind: ClassVar[str] = "bucket"
    name: str
    policy: str
    lifecycle: str
    public_access_blocked: bool = True
    owner_enforced: bool = True
    encrypted: bool = True


@dataclass(frozen=True)
class Role:
    """What the function may do."""

    kind: ClassVar[str] = "role"
    name: str
    trust: str
    policy: str


@dataclass(frozen=True)
class LogGroup:
    """Where the function's log goes."""

    kind: ClassVar[str] = "log group"
    name: str
    days: int = LOG_DAYS


@dataclass(frozen=True)
class Layer:
    """The packages that tasks import. A version of it never changes: another digest is another version."""

    kind: ClassVar[str] = "layer"
    name: str
    digest: str
    runtime: str
    architecture: str
    requirements: tuple[str, ...] = field(default=(), compare=False)
    """What it was asked to hold."""
    arn: str = field(default="", compare=False)
    """Of the version that was found or made."""
    older: int = 0
    """Versions beside the newest, which no function of ours uses."""


@dataclass(frozen=True)
class Function:
    """The function that runs everything."""

    kind: ClassVar[str] = "function"
    name: str
    digest: str
    """SHA-256 of the zip, base64, as Lambda says it."""
    runtime: str
    architecture: str
    handler: str
    memory_mb: int
    timeout_s: int
    ephemeral_mb: int
    reserved: int | None
    environment: tuple[tuple[str, str], ...]
    role: str
    """Its ARN."""
    layer: str
    """Digest of the layer; empty where there is none."""
    state: str = "ready"
    """Or ``failed``: it can only be made anew. Or ``update failed``."""


def chosen_before(function: Function, role: str) -> dict[str, Any]:
    """Settings that a function was deployed with: what the next run begins with.

    Args:
        function: as it was found.
        role: ARN of the role that wrenlite makes for it; another one is the user's own.

    Raises ConfigError where somebody has changed what cannot be read off it.
    """
    environment = dict(function.environment)
    try:
        lists = dict(json.loads(environment.get(CHOSEN, "{}")))
    except ValueError as error:
        raise ConfigError(
            f"the function {function.name} has {CHOSEN} in its environment as nobody can read it: {error}. "
            "Remove that variable; wrenlite-setup sets it again"
        ) from error
    return {
        "bucket": environment.get("WRENLITE_BUCKET"),
        "prefix": environment.get("WRENLITE_PREFIX"),
        "role_arn": None if function.role == role else function.role,
        "memory_mb": function.memory_mb,
        "timeout_s": function.timeout_s,
        "architecture": function.architecture,
        "ephemeral_mb": function.ephemeral_mb,
        "reserved": function.reserved,
        **{name: tuple(lists.get(name, ())) for name in ("packages", "read", "write")},
    }


Resource: TypeAlias = Bucket | Role | LogGroup | Layer | Function


def canonical(policy: Any) -> str:
    """A policy as text that is equal where the policies are, however AWS gives them back."""
    statements = [_statement(one) for one in policy.get("Statement", ())]
    ordered = {**policy, "Statement": sorted(statements, key=json.dumps)}
    return json.dumps(ordered, sort_keys=True, separators=(",", ":"))


def canonical_rules(rules: Sequence[dict[str, Any]]) -> str:
    """The rules of a bucket's lifecycle, likewise."""
    plain = [{**rule, "Filter": {"Prefix": rule.get("Filter", {}).get("Prefix", "")}} for rule in rules]
    return json.dumps(sorted(plain, key=lambda rule: str(rule.get("ID"))), sort_keys=True)


def _statement(statement: dict[str, Any]) -> dict[str, Any]:
    """With lists for what may be one text or a list of them, and in order."""
    found = dict(sorted(statement.items()))
    for name in ("Action", "Resource", "Principal", "Condition"):
        if name in found:
            found[name] = _listed(found[name], inside=name in ("Action", "Resource"))
    return found


def _listed(value: Any, *, inside: bool = True) -> Any:
    if isinstance(value, dict):
        return {name: _listed(one) for name, one in sorted(value.items())}
    if isinstance(value, str):
        return [value] if inside else value  # Principal: "*" is no list
    return sorted(value)
