"""The settings of a deployment: checked, named, and read back from a function that was deployed with them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any

from wrenlite.backends.aws.deployed import RECORDED_VARIABLE, driver_name
from wrenlite.config import parse_setting
from wrenlite.deploy import packages
from wrenlite.deploy.resources import Function
from wrenlite.deploy.setting_forms import (
    check_alarms,
    check_boundary,
    check_layers,
    check_network,
    check_role_path,
    check_tags,
)
from wrenlite.errors import ConfigError
from wrenlite.serving.publication import Http, Objects, Publication, check_names, function_of
from wrenlite.storage.archives import archive_key

_RESERVED_BUCKET = re.compile(r"^(xn--|sthree-|amzn-s3-demo-)|(-s3alias|--ol-s3|\.mrap|--x-s3|--table-s3)$")
"""Bucket names that AWS reserves: nobody can create one, and some of them are access points."""
_PREFIX_CHARACTERS = 128
"""A key of S3 has 1,024 bytes at most, and the role's policy names the prefix ten times."""
_DRIVER_MB = 1024
"""Memory of the driver. What it holds of a job is a few hundred bytes per task."""
_PUBLISHED_MB = 1769
"""Memory of a published job's function, which comes with one processor."""
PUBLIC_RESERVED = 5
"""The most invocations at once of a function whose URL takes requests of anybody."""
_RECORDED_CHARACTERS = 1500
"""A function's environment has room for 4 KB, and holds the packages twice, once with versions."""


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
    role_path: str = "/"
    """Path of the role that wrenlite creates, which is part of its ARN."""
    boundary: str | None = None
    """ARN of the permissions boundary of that role; empty: it has none; None: whichever it has, stays."""
    memory_mb: int = 1769
    timeout_s: int = 900
    architecture: str = "x86_64"
    ephemeral_mb: int = 512
    """What tasks have of ``/tmp``. Packages that are unpacked there have as much beside it as they need."""
    reserved: int | None = None
    """Reserved concurrency: the most invocations that can run at once, which is a hard cap on spending."""
    python: str = "3.12"
    """Minor version of the function's Python."""
    read: tuple[str, ...] = ()
    """Other buckets that tasks may read."""
    write: tuple[str, ...] = ()
    """Other buckets that tasks may read and write."""
    packages: tuple[str, ...] = packages.DEFAULT_PACKAGES
    """Requirements that the layer is made of. Empty: there is no layer."""
    layers: tuple[str, ...] = ()
    """ARNs of versions of layers that the user has made, which the function has beside wrenlite's."""
    subnets: tuple[str, ...] = ()
    """Ids of subnets of the VPC that the function is in. Empty: it is in none."""
    security_groups: tuple[str, ...] = ()
    """Ids of the security groups that it has there."""
    keys: tuple[tuple[str, str], ...] = ()
    """Buckets that are encrypted with a KMS key of the user's, each with the ARN of the key or its alias."""
    tags: tuple[str, ...] = ()
    """Tags for every resource that can have tags, such as ``team=geo``."""
    earlier_tags: tuple[str, ...] = ()
    """Tags that the deployment has until now."""
    driver: bool = True
    """Whether a driver is wanted: a second function, which runs detached jobs."""
    driver_role_arn: str | None = None
    """ARN of a role for the driver that the user has created, used as it is; None: wrenlite creates one."""
    driver_of: str = ""
    """Name of the function whose driver has these settings; empty: they are those of the function itself."""
    dashboard: bool = False
    """Whether a dashboard in CloudWatch is wanted."""
    alarms: tuple[str, ...] = ()
    """Alarms that are wanted, such as ``throttles=100`` and ``dollars=5``."""
    alarm_topic: str | None = None
    """ARN of the topic of SNS that the alarms tell; None: none."""
    partition: str = "aws"
    """Partition of AWS, which is part of every ARN."""

    def __post_init__(self) -> None:
        """Check the settings before anything is created.

        Raises:
            ConfigError: AWS would refuse a setting.
        """
        for option, buckets in (("bucket", (self.bucket,)), ("read", self.read), ("write", self.write)):
            for bucket in buckets:
                parse_setting("bucket", bucket, f"--{option} {bucket!r}")
                _require(
                    f"--{option} {bucket!r}",
                    not _RESERVED_BUCKET.search(bucket),
                    "another name: S3 reserves names of this form",
                )
        parse_setting("prefix", self.prefix, f"--prefix {self.prefix!r:.80}")
        _require(
            "--prefix", len(self.prefix) <= _PREFIX_CHARACTERS, f"{_PREFIX_CHARACTERS} characters at most"
        )
        self._check_function_name()
        _require("--memory", 128 <= self.memory_mb <= 10_240, "128 to 10,240 MB")
        _require("--timeout", 1 <= self.timeout_s <= 900, "1 to 900 seconds")
        _require("--ephemeral-storage", 512 <= self.ephemeral_mb <= 10_240, "512 to 10,240 MB")
        _require("--architecture", self.architecture in ("x86_64", "arm64"), "x86_64 or arm64")
        _require(
            "--reserved-concurrency",
            self.reserved is None or self.reserved >= 1,
            "a whole number from 1, or none for no reservation",
        )
        _require("account", re.fullmatch(r"\d{12}", self.account), "12 digits")
        for option, role in (("--role-arn", self.role_arn), ("--driver-role-arn", self.driver_role_arn)):
            arn = role is None or re.fullmatch(r"arn:aws[\w-]*:iam::\d{12}:role/.+", role)
            _require(option, arn, "a role's ARN, such as arn:aws:iam::123456789012:role/mine")
        self._check_created_role()
        check_network(self.subnets, self.security_groups)
        check_layers(self.layers, self.region, self.layer_arn, with_packages=bool(self.packages))
        check_tags(self.tags)
        check_alarms(self.alarms, self.alarm_topic)
        for package in self.packages:
            packages.parse(package)
        _require(
            "--package, --read, --write and --tag",
            len(json.dumps(self.recorded)) <= _RECORDED_CHARACTERS,
            f"{_RECORDED_CHARACTERS:,} characters at most, all together",
        )

    def _check_function_name(self) -> None:
        _require(
            "--function",
            re.fullmatch(r"[\w-]{1,64}", self.function, re.ASCII),
            "1 to 64 letters, digits, - and _",
        )
        longest = 63 - len(self.region)  # the name of the role is that of the function and the region
        _require(
            "--function", self.role_arn or len(self.function) <= longest, f"{longest} characters at most"
        )
        most = self.longest_with_driver
        with_driver = f"{most} characters at most, or give --no-driver: its name is longer"
        _require("--function", not self.has_driver or len(self.function) <= most, with_driver)

    def _check_created_role(self) -> None:
        check_role_path(self.role_path)
        check_boundary(self.boundary, self.account)
        chosen = {"--role-path": self.role_path != "/", "--permissions-boundary": self.boundary}
        for option, is_chosen in chosen.items():
            given = self.role_arn and is_chosen
            _require(option, not given, "left out: with --role-arn, wrenlite creates no role")

    @property
    def owner(self) -> str:
        """Name of the function whose deployment this is."""
        return self.driver_of or self.function

    @property
    def has_driver(self) -> bool:
        """Whether there is a driver. Who names the role of the function must name that of the driver, too."""
        return self.driver and not self.driver_of and (self.role_arn is None or bool(self.driver_role_arn))

    @property
    def longest_with_driver(self) -> int:
        """The most characters that the name of a function with a driver may have."""
        return (64 if self.driver_role_arn else 63 - len(self.region)) - len(driver_name(""))

    @property
    def of_driver(self) -> Settings | None:
        """The settings of the driver; None where the function's name is too long for it to have one."""
        if self.driver_of or len(self.function) > self.longest_with_driver:
            return None
        own_role = self.driver_role_arn is not None or self.role_arn is not None
        return replace(
            self,
            function=driver_name(self.function),
            driver_of=self.function,
            role_arn=self.driver_role_arn,
            role_path="/" if own_role else self.role_path,
            boundary=None if own_role else self.boundary,
            memory_mb=_DRIVER_MB,
            timeout_s=900,
            ephemeral_mb=512,
            reserved=None,
            packages=(),
            layers=(),
            subnets=(),
            security_groups=(),
            read=(),
            write=(),
        )

    def of_published(self, publication: Publication) -> Settings:
        """Return the settings of the function of a published job.

        Args:
            publication: the job.

        Raises:
            ConfigError: AWS would refuse its name, or one that it mentions.
        """
        check_names(self.function, publication.name, self.region)
        on, own_role = publication.on, self.role_arn is not None
        outputs = publication.outputs.removeprefix("s3://").partition("/")[0]
        return replace(
            self,
            function=function_of(self.function, publication.name),
            driver_of=self.function,
            role_arn=None,
            driver_role_arn=None,
            role_path="/" if own_role else self.role_path,
            boundary=None if own_role else self.boundary,
            memory_mb=_PUBLISHED_MB,
            timeout_s=900,
            reserved=PUBLIC_RESERVED if isinstance(on, Http) and on.public else None,
            packages=(),
            layers=(),
            read=(on.bucket,) if isinstance(on, Objects) else (),
            write=(outputs,) if outputs else (),
        )

    def is_drivers(self, name: str) -> bool:
        """Return whether a resource of this name belongs to the driver."""
        driver = self.of_driver
        return driver is not None and name.partition(":")[0] in (
            driver.function,
            driver.role_name,
            driver.log_group,
        )

    @property
    def role_name(self) -> str:
        """Name of the role that wrenlite creates."""
        return f"{self.function}-{self.region}"

    @property
    def role(self) -> str:
        """ARN of the function's role."""
        return self.role_arn or f"{self._roles}{self.role_path}{self.role_name}"

    @property
    def _roles(self) -> str:
        return f"arn:{self.partition}:iam::{self.account}:role"

    @property
    def layer_arn(self) -> str:
        """ARN of the layer that wrenlite makes, without a version."""
        return f"arn:{self.partition}:lambda:{self.region}:{self.account}:layer:{self.owner}"

    @property
    def log_group(self) -> str:
        """Name of the log group of the function."""
        return f"/aws/lambda/{self.function}"

    @property
    def log_group_arn(self) -> str:
        """ARN of the log group of the function."""
        return f"arn:{self.partition}:logs:{self.region}:{self.account}:log-group:{self.log_group}"

    @property
    def archives(self) -> str:
        """How the keys of the archives begin, below the prefix. Each deployment has its own."""
        return archive_key(self.owner, "")

    @property
    def archives_name(self) -> str:
        """Where the archives are."""
        return f"{self.bucket}/{self.prefix}/{self.archives}".removesuffix("/")

    @property
    def recorded(self) -> dict[str, tuple[str, ...]]:
        """Settings that no resource shows: the function's environment records them for the next run."""
        boundary = (self.boundary,) if self.boundary else ()
        lists = {"packages": self.packages, "read": self.read, "write": self.write}
        driver: dict[str, tuple[str, ...]] = {} if self.driver else {"driver": ()}
        if self.driver_role_arn:
            driver["driver_role"] = (self.driver_role_arn,)
        return {**lists, "tags": self.tags, "boundary": boundary, **driver, **self._recorded_monitoring}

    @property
    def _recorded_monitoring(self) -> dict[str, tuple[str, ...]]:
        topic = (self.alarm_topic,) if self.alarm_topic else ()
        wanted = {"dashboard": ("yes",) * self.dashboard, "alarms": self.alarms, "alarm_topic": topic}
        return {name: values for name, values in wanted.items() if values}

    def path_of(self, role_arn: str) -> str | None:
        """Return the path of the role that wrenlite creates; None where the ARN is that of another role.

        Names of roles are unique in an account, whatever their paths.

        Args:
            role_arn: ARN of a role.
        """
        path = role_arn.removeprefix(self._roles).removesuffix(self.role_name)
        return path if f"{self._roles}{path}{self.role_name}" == role_arn and path.endswith("/") else None

    @property
    def function_arn(self) -> str:
        """ARN of the function."""
        return f"arn:{self.partition}:lambda:{self.region}:{self.account}:function:{self.function}"


def recorded_settings(function: Function, defaults: Settings) -> dict[str, Any]:
    """Return the settings that a function was deployed with, from which the next run starts.

    Args:
        function: the function as it was found.
        defaults: settings that know the name of the role that wrenlite creates for it.

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
    role_path = defaults.path_of(function.role)
    names = ("packages", "read", "write", "tags", "alarms")
    known = {name: tuple(lists[name]) for name in names if name in lists}
    return {
        "bucket": environment.get("WRENLITE_BUCKET"),
        "prefix": environment.get("WRENLITE_PREFIX"),
        "role_arn": function.role if role_path is None else None,
        "role_path": role_path,
        "boundary": next(iter(lists.get("boundary", ())), None),
        "earlier_tags": known.get("tags"),
        "driver": False if lists.get("driver") == [] else None,
        "driver_role_arn": next(iter(lists.get("driver_role", ())), None),
        "dashboard": bool(lists.get("dashboard")),
        "alarm_topic": next(iter(lists.get("alarm_topic", ())), None),
        "memory_mb": function.memory_mb,
        "timeout_s": function.timeout_s,
        "architecture": function.architecture,
        "ephemeral_mb": next(iter(lists.get("ephemeral_mb", ())), function.ephemeral_mb),
        "reserved": function.reserved,
        "layers": function.layers,
        "subnets": function.subnets,
        "security_groups": function.security_groups,
        **known,
    }


def _require(name: str, valid: object, must_be: str) -> None:
    """Raise ConfigError where a setting is not valid."""
    if not valid:
        raise ConfigError(f"{name}: must be {must_be}")
