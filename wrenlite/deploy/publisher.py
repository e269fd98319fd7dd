"""Check what a user wants to publish, before anything is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Self

from wrenlite.backends.aws.deployed import remote_packages
from wrenlite.config import Config
from wrenlite.deploy.account import RAISE_QUOTA, Account
from wrenlite.deploy.clients import Clients, suppress_codes
from wrenlite.deploy.deployment import current_python, deployed_function, locate_deployment
from wrenlite.deploy.plan import Action
from wrenlite.deploy.publishing import PublishedJob, find_published, zip_digest
from wrenlite.deploy.resources import Function
from wrenlite.deploy.settings import PUBLIC_RESERVED, Settings
from wrenlite.errors import AccessDenied, ConfigError, FunctionMissing
from wrenlite.serving.code import Code, pack
from wrenlite.serving.events import check_call
from wrenlite.serving.publication import (
    Http,
    Objects,
    Publication,
    Trigger,
    check_names,
    check_recursion,
    default_name,
)
from wrenlite.wrong_calls import is_whole_number

_KEPT_FREE = 100
"""Invocations at once of an account that no function may reserve."""


MOST_AT_ONCE, _SHARE = 100, 5
"""Starts that run at once: a fifth of the concurrency of the account, and so many at most."""
PUBLIC_FRONT = 2
"""Invocations at once of a public URL that are left for the requests themselves."""


class Wish(NamedTuple):
    """What a user wants to publish."""

    function: Callable[..., Any]
    target: str
    """``module:function``, for people."""
    on: Trigger
    name: str | None = None
    """None: that of the function."""
    to: str | None = None
    """Address of the outputs; None: below ``outputs/`` in the bucket of the deployment."""
    at_once: int | None = None
    """How many starts run at once; None: as the account's concurrency allows."""


class Publisher:
    """A deployment in which functions are published."""

    def __init__(self, clients: Clients, account: Account, settings: Settings) -> None:
        """Read the function of the deployment.

        Args:
            clients: clients of AWS.
            account: the account.
            settings: settings of the deployment.

        Raises:
            FunctionMissing: there is no deployment.
        """
        self.clients, self.account, self.settings = clients, account, settings
        found = deployed_function(clients, account, settings.function)
        if found is None:
            raise FunctionMissing(
                f"there is no deployment {settings.function!r} in {account.region}, account {account.id}, in "
                "which a function could be published: run wrenlite-setup first"
            )
        self.function: Function = found

    @classmethod
    def of(cls, config: Config) -> Self:
        """Sign in, and return the publisher of the deployment that a configuration selects.

        Raises:
            WrenliteError: as of ``locate_deployment``, or there is no deployment.
        """
        return cls(*locate_deployment(config, prefer_deployed_bucket=True))

    def prepare(self, wish: Wish) -> PublishedJob:
        """Return the published job that a user wants, after all checks. Nothing is made.

        Raises:
            ConfigError: it cannot be published so; the message says what to change.
            PackageMissing: the function imports a package that the deployment does not have.
            FunctionNotPicklable: the function cannot be sent.
        """
        check_call(wish.function, wish.on)
        self._check_deployment()
        name = default_name(wish.target) if wish.name is None else wish.name
        check_names(self.settings.function, name, self.settings.region)
        outputs, at_once = self._outputs(name, wish.to), self._at_once(wish)
        publication = Publication(name, wish.on, wish.target, "", "", outputs, at_once)
        check_recursion(publication, f"s3://{self.settings.bucket}/{self.settings.prefix}")
        self._check_buckets(publication)
        environment = dict(self.function.environment)
        layers = bool(self.function.layer) + len(self.function.layers)
        code = pack(wish.function, remote_packages(self.settings.function, environment, layers))
        function, modules = code.digests
        job = self._job(publication._replace(function=function, modules=modules), code)
        if isinstance(wish.on, Objects):
            with self.clients.translate_errors(f"arn:{self.settings.partition}:s3:::{wish.on.bucket}"):
                job.notifications(wish.on.bucket).check_overlap(wish.on)
        if isinstance(wish.on, Http) and wish.on.public:
            self._check_reservation(job)
        return job

    def _job(self, publication: Publication, code: Code) -> PublishedJob:
        return PublishedJob(self.clients, self.settings, publication, code)

    def _at_once(self, wish: Wish) -> int:
        """Return how many starts run at once. Raises ConfigError where a wish is none."""
        is_public = isinstance(wish.on, Http) and wish.on.public
        most = PUBLIC_RESERVED - PUBLIC_FRONT if is_public else MOST_AT_ONCE
        if wish.at_once is None:  # a start takes two invocations beside those of its tasks
            return max(1, min(most, (self.account.concurrency or MOST_AT_ONCE) // _SHARE))
        if not is_whole_number(wish.at_once, 1) or wish.at_once > most:
            public = f", of the {PUBLIC_RESERVED} invocations that a public URL has" * is_public
            raise ConfigError(f"{wish.at_once!r:.40} starts at once (at_once=): must be 1 to {most}{public}")
        return wish.at_once

    def _outputs(self, name: str, to: str | None) -> str:
        """Return the address of the outputs. Raises ConfigError where it is none of a bucket."""
        settings = self.settings
        if to is None:
            return f"s3://{settings.bucket}/{settings.prefix}/outputs/{name}"
        address = to.strip().rstrip("/")
        bucket, _, prefix = address.removeprefix("s3://").partition("/")
        if not address.startswith("s3://") or not bucket or not prefix or "*" in address:
            raise ConfigError(
                f"{to!r} (to=): outputs of a function on AWS are written to a bucket: write s3://BUCKET/PREFIX"
            )
        return address

    def _check_deployment(self) -> None:
        settings = self.settings
        setup = "wrenlite-setup" + f" --function {settings.function}" * (settings.function != "wrenlite")
        if not settings.has_driver:
            raise ConfigError(
                f"the deployment {settings.function!r} has no driver, which keeps the maps of published "
                f"functions: {setup} --driver makes one"
            )
        if self.function.runtime != f"python{current_python()}":
            raise ConfigError(
                f"the function {settings.function} runs {self.function.runtime}, and this is Python "
                f"{current_python()}: publish from an environment with the function's Python, or run {setup}"
            )
        if self.function.digest != zip_digest():
            raise ConfigError(
                f"the function {settings.function} has another version of wrenlite or cloudpickle than this "
                f"environment: run {setup} first"
            )

    def _check_buckets(self, publication: Publication) -> None:
        """Check that the buckets that a job uses exist, in this region.

        Raises:
            ConfigError: one does not.
        """
        on, settings = publication.on, self.settings
        if isinstance(on, Objects):
            if on.is_local:
                raise ConfigError(
                    f"{on}: AWS watches no folder of this machine: write s3://BUCKET/PREFIX*SUFFIX. wrenlite "
                    "serve watches folders"
                )
            _check_bucket(self.clients, settings, "on", on.bucket)
        outputs = publication.outputs.removeprefix("s3://").partition("/")[0]
        if outputs != settings.bucket:
            _check_bucket(self.clients, settings, "to", outputs)

    def _check_reservation(self, job: PublishedJob) -> None:
        """Check that the account can reserve what a public URL needs."""
        unreserved, found = self.account.unreserved, job.found
        now = found.resource.reserved if found and isinstance(found.resource, Function) else None
        if unreserved is not None and unreserved + (now or 0) - PUBLIC_RESERVED < _KEPT_FREE:
            raise ConfigError(
                f"public= reserves {PUBLIC_RESERVED} invocations at once for a URL, which caps what "
                f"strangers can spend. Of {self.account.concurrency} invocations at once in "
                f"{self.account.region} {unreserved} are unreserved, and AWS keeps {_KEPT_FREE} of those "
                "free: none can be reserved. Leave public= out, or ask AWS for more: "
                f"{RAISE_QUOTA} --region {self.account.region}"
            )


def _check_bucket(clients: Clients, settings: Settings, option: str, name: str) -> None:
    """Check that a bucket exists, and is this account's and in this region.

    Args:
        clients: the clients.
        settings: settings of the deployment.
        option: the argument that names it.
        name: its name.

    Raises:
        ConfigError: it is not so.
    """
    arn = f"arn:{settings.partition}:s3:::{name}"
    try:
        with clients.translate_errors(arn), suppress_codes("404", "NoSuchBucket"):
            place = {"Bucket": name, "ExpectedBucketOwner": settings.account}
            region = clients["s3"].head_bucket(**place).get("BucketRegion", settings.region)
            if region != settings.region:
                raise ConfigError(
                    f"s3://{name} ({option}=): the bucket is in {region}, and the function would be in "
                    f"{settings.region}: use a bucket of {settings.region}, or a deployment in {region}"
                )
            return
    except AccessDenied as error:
        raise ConfigError(
            f"s3://{name} ({option}=): the bucket is another account's, or these credentials may not look at "
            f"it (s3:ListBucket on {arn}): name another one"
        ) from error
    raise ConfigError(
        f"s3://{name} ({option}=): there is no such bucket. Create it first, or correct the name"
    )


def removable(clients: Clients, settings: Settings, name: str) -> tuple[PublishedJob, tuple[Action, ...]]:
    """Return a published job, and the steps that remove it.

    Raises:
        ConfigError: no job can have this name, or nothing of this name is published.
    """
    job = find_published(clients, settings, name)
    steps = job.plan_removal()
    if not steps:
        raise ConfigError(
            f"nothing is published as {name!r} in the deployment {settings.function!r}: wrenlite published "
            "lists what is"
        )
    return job, steps
