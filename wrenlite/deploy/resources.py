"""Describe the AWS resources of a deployment, as desired and as found.

Every resource that wrenlite creates is marked with the tag ``wrenlite``, whose value is the function's name.
Versions and aliases cannot carry tags: their descriptions mark them (see ``tags``). A resource without this
mark is never changed or deleted. Names are computed from the ``settings``, so that there is no state file
that could be lost.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, TypeAlias

TAG = "wrenlite"
"""Key of the tag that marks a resource as wrenlite's, and first word of a layer version's description."""
TASK_PREFIXES = ("code", "args", "refs", "results")
"""Parts below the deployment's prefix that the function reads."""
JOB_PREFIXES = (*TASK_PREFIXES, "jobs")
"""The same, and the part with detached jobs, which no task may read."""
TEMPORARY_PREFIXES = (*JOB_PREFIXES, "starts")
"""Parts whose objects expire. Below ``starts/`` are the starts of published jobs, which no task may read."""
PUBLISHED_PREFIX = "published"
"""The part with the code of published jobs, which stays until they are no longer published."""
LOG_DAYS = 14
"""Days for which log events are kept."""

Tags: TypeAlias = tuple[tuple[str, str], ...]
"""Keys and values of tags, sorted."""


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
    tags: Tags = ()


@dataclass(frozen=True)
class Role:
    """The IAM role of a function: what tasks, or the driver, may do on AWS."""

    kind: ClassVar[str] = "role"
    name: str
    trust: str
    """Canonical JSON of the trust policy."""
    policy: str
    """Canonical JSON of the permissions."""
    path: str = "/"
    boundary: str | None = None
    """ARN of the permissions boundary; empty: there is none; None: whichever it is."""
    tags: Tags = ()


@dataclass(frozen=True)
class LogGroup:
    """The log group of a function."""

    kind: ClassVar[str] = "log group"
    name: str
    days: int = LOG_DAYS
    """Days for which log events are kept."""
    tags: Tags = ()


@dataclass(frozen=True)
class Layer:
    """The layer with the packages that tasks import.

    A version of a layer never changes: another digest needs another version.
    """

    kind: ClassVar[str] = "layer"
    name: str
    digest: str
    """Digest of the exact versions of the packages, Python and architecture."""
    runtime: str
    architecture: str
    versions: tuple[str, ...] = field(default=(), compare=False)
    """The packages with exact versions, such as ``numpy==2.2.6``."""
    request: str = field(default="", compare=False)
    """Digest of the request that the versions were resolved from."""
    arn: str = field(default="", compare=False)
    """ARN of the version that was found or published."""
    older: int = 0
    """Number of versions older than the newest, which wrenlite's function does not use."""


@dataclass(frozen=True)
class Archives:
    """The packages that do not fit into the layer, in the bucket: they stay until no version needs them."""

    kind: ClassVar[str] = "archives"
    name: str
    """The bucket, and the beginning of their keys."""
    digests: tuple[str, ...]
    """Sorted."""
    unpacked_mb: int = field(default=0, compare=False)
    """The ephemeral storage that they take."""
    size_bytes: int = field(default=0, compare=False)
    """The size of those that were found."""


@dataclass(frozen=True)
class Function:
    """A Lambda function: the one that runs all batches, or the driver, which runs detached jobs."""

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
    revision: str = field(default="", compare=False)
    """Lambda's name for this state of the function."""
    tags: Tags = ()
    layers: tuple[str, ...] = ()
    """ARNs of layers of the user's own, in the order in which Lambda lays them over each other."""
    subnets: tuple[str, ...] = ()
    """Ids of the subnets that it is in, sorted."""
    security_groups: tuple[str, ...] = ()
    """Ids of its security groups, sorted."""
    may_loop: bool = False
    """Whether Lambda lets it start itself again and again."""


OF_ALL_VERSIONS = ("reserved", "state", "revision", "tags", "may_loop")
"""Fields of a function that are no part of a published version of it."""


class Published(NamedTuple):
    """A published version of the function, which never changes."""

    alias: str
    """The alias that is named after the digest of code and settings; empty where a stopped run made none."""
    number: int
    modified: str
    """When it was published, in ISO format."""
    runtime: str
    memory_mb: int
    timeout_s: int
    role: str
    """ARN of its role."""
    archives: tuple[str, ...] = ()
    """Digests of the archives that it needs."""
    driver: str = ""
    """The alias of the driver's version that belongs to it; empty where there is no driver."""


@dataclass(frozen=True)
class Alias:
    """The alias of the published version that new executors use."""

    kind: ClassVar[str] = "alias"
    name: str
    """Name of the function and of the alias, such as ``wrenlite:current``."""
    target: str
    """The version's own alias, named after its digest; empty where it is no version of wrenlite's."""
    outdated: int = 0
    """Number of versions, of the function and of its driver, that are to be deleted."""
    published: tuple[Published, ...] = field(default=(), compare=False)
    """All versions, the newest first."""


@dataclass(frozen=True)
class LogMetrics:
    """The metrics that CloudWatch takes from the log of the function: cold starts, and peak memory."""

    kind: ClassVar[str] = "metrics"
    name: str
    """Name of the log group."""
    filters: str
    """Canonical JSON of the filters that make them."""


@dataclass(frozen=True)
class Dashboard:
    """The dashboard of a deployment in CloudWatch."""

    kind: ClassVar[str] = "dashboard"
    name: str
    body: str
    """Canonical JSON."""


@dataclass(frozen=True)
class Alarm:
    """An alarm of CloudWatch, which is raised above a threshold."""

    kind: ClassVar[str] = "alarm"
    name: str
    threshold: float
    period_s: int
    metrics: str
    """Canonical JSON of the metrics that it watches, and of the expression of them."""
    topic: str = ""
    """ARN of the topic of SNS that is told; empty: nobody is."""
    tags: Tags = ()


@dataclass(frozen=True)
class PublishedCode:
    """The pickled function of a published job, and its local modules, in the bucket."""

    kind: ClassVar[str] = "code"
    name: str
    """The bucket, and the beginning of their keys."""
    digests: tuple[str, ...]
    """Sorted. What was published before is there, too: starts that go on need it."""


@dataclass(frozen=True)
class Permission:
    """A statement of the policy of a function, which lets somebody invoke it."""

    kind: ClassVar[str] = "permission"
    name: str
    """Name of the function, and the id of the statement, such as ``wrenlite-job-n:wrenlite-objects``."""
    action: str
    principal: str
    """A service of AWS, or ``*`` for everybody."""
    source: str = ""
    """ARN of what invokes it; empty: any."""
    account: str = ""
    """The account that this belongs to; empty: any."""
    auth: str = ""
    """How requests to its URL must be signed for this to hold: ``NONE``; empty: it does not matter."""
    via_url: bool = False
    """Whether it holds for requests to its URL only."""


@dataclass(frozen=True)
class FunctionUrl:
    """The URL of a function."""

    kind: ClassVar[str] = "URL"
    name: str
    """Name of the function."""
    auth: str
    """``AWS_IAM``: requests are signed by somebody whom IAM allows them; ``NONE``: anybody sends them."""
    cross_origin: bool = False
    """Whether pages of other sites may send requests (CORS)."""
    url: str = field(default="", compare=False)
    """Empty where it does not exist yet."""


@dataclass(frozen=True)
class Schedule:
    """A rule of EventBridge that invokes a function at times."""

    kind: ClassVar[str] = "schedule"
    name: str
    """Name of the rule, which is that of the function."""
    expression: str
    """``rate(…)`` or ``cron(…)``, in UTC."""
    target: str
    """ARN of the function; empty where it invokes none, or others."""
    enabled: bool = True
    tags: Tags = ()


@dataclass(frozen=True)
class Notification:
    """One entry of the notifications of a bucket: new objects with such keys invoke a function."""

    kind: ClassVar[str] = "notification"
    name: str
    """The bucket and the id of the entry, such as ``my-bucket:wrenlite-wrenlite-n``."""
    prefix: str
    suffix: str
    target: str
    """ARN of the function."""
    events: tuple[str, ...] = ("s3:ObjectCreated:*",)


Resource: TypeAlias = (
    Bucket
    | Role
    | LogGroup
    | Layer
    | Archives
    | Function
    | Alias
    | LogMetrics
    | Dashboard
    | Alarm
    | PublishedCode
    | Permission
    | FunctionUrl
    | Schedule
    | Notification
)


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
