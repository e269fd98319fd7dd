"""What wrenlite has on AWS: plain descriptions, as wanted and as found.

A resource that wrenlite makes carries the tag ``wrenlite`` with the function's name; without it nothing is
ever changed or deleted. Names are computed from the settings, so that there is no file of state to lose.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

from wrenlite.errors import ConfigError

TAG = "wrenlite"
"""Key of the tag of everything that wrenlite makes; its value is the function's name."""
TEMPORARY = ("code", "args", "refs", "results")
"""Prefixes whose objects expire."""
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
    """Further buckets that tasks may write to."""
    partition: str = "aws"

    def __post_init__(self) -> None:
        """Raises ConfigError for what AWS would refuse, before anything is made."""
        _check("function", re.fullmatch(r"[\w-]{1,64}", self.function), "1 to 64 letters, digits, - and _")
        _check("memory_mb", 128 <= self.memory_mb <= 10_240, "128 to 10,240 MB")
        _check("timeout_s", 1 <= self.timeout_s <= 900, "1 to 900 seconds")
        _check("ephemeral_mb", 512 <= self.ephemeral_mb <= 10_240, "512 to 10,240 MB")
        _check("architecture", self.architecture in ("x86_64", "arm64"), "x86_64 or arm64")
        _check("reserved", self.reserved is None or self.reserved >= 1, "a whole number from 1")
        _check("account", re.fullmatch(r"\d{12}", self.account), "12 digits")
        ours = self.role_arn is None or re.fullmatch(r"arn:aws[\w-]*:iam::\d{12}:role/.+", self.role_arn)
        _check("role_arn", ours, "a role's ARN")

    @property
    def role_name(self) -> str:
        """Of the role that is made."""
        return f"{self.function}-{self.region}"

    @property
    def function_arn(self) -> str:
        """Of the function."""
        return f"arn:{self.partition}:lambda:{self.region}:{self.account}:function:{self.function}"


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
    arn: str = field(default="", compare=False)
    """Of the version that was found or made."""


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
    """Name of the role that is made, or ARN of the user's own."""
    layer: str
    """Digest of the layer; empty where there is none."""


Resource: TypeAlias = Bucket | Role | LogGroup | Layer | Function


def canonical(policy: Any) -> str:
    """A policy as text that is equal where the policies are."""
    return json.dumps(policy, sort_keys=True, separators=(",", ":"))
