"""A published job as resources on AWS: a function of its own with its role, log, code and trigger.

The function is named ``<function>-job-<name>`` and carries the tag of the deployment, so that it is found
again without a state file. Its environment has the record of the job.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Iterator, Sequence

from wrenlite.backends.aws.s3 import S3Store
from wrenlite.backends.aws.session import AwsSession
from wrenlite.deploy import policies
from wrenlite.deploy.clients import Clients, suppress_codes
from wrenlite.deploy.code_zip import function_zip
from wrenlite.deploy.deployment import ping, with_keys
from wrenlite.deploy.lambda_resources import Functions
from wrenlite.deploy.log_groups import LogGroups
from wrenlite.deploy.managers import Managers, StepObserver
from wrenlite.deploy.plan import Action, Found, Verb, plan
from wrenlite.deploy.provider import ENVIRONMENT_BYTES, check_size, place_variables, role_of
from wrenlite.deploy.resources import (
    Function,
    FunctionUrl,
    LogGroup,
    Notification,
    Permission,
    PublishedCode,
    Resource,
    Schedule,
)
from wrenlite.deploy.roles import Roles
from wrenlite.deploy.settings import Settings
from wrenlite.deploy.tags import tags_of
from wrenlite.deploy.triggers import (
    FunctionUrls,
    Notifications,
    Permissions,
    Schedules,
    notification_name,
)
from wrenlite.errors import ConfigError
from wrenlite.serving.code import Code
from wrenlite.serving.driver import HANDLER
from wrenlite.serving.publication import VARIABLE, Every, Http, Objects, Publication, Trigger, function_of

STATEMENT = "wrenlite"
"""Id of the statement that lets the trigger invoke the function."""
URL_STATEMENT = "wrenlite-url"
"""Id of the second statement that a public URL needs."""
_TRIGGERS = ("URL", "schedule", "notification")


def publication_in(function: Function) -> Publication:
    """Return the record of the job whose function this is.

    Raises:
        ConfigError: it has none, or one of another version of wrenlite.
    """
    return Publication.from_json(dict(function.environment).get(VARIABLE, ""))


def store_of(clients: Clients, settings: Settings) -> S3Store:
    """Return the store of a deployment."""
    return S3Store(
        settings.bucket,
        settings.prefix,
        session=AwsSession(lambda: clients.session),
        region=settings.region,
        endpoint_url=clients.endpoint_url,
        owner=settings.account,
    )


@functools.cache
def _zip() -> bytes:
    return function_zip()


def zip_digest() -> str:
    """Return the digest of the zip that functions have, as Lambda says it."""
    return base64.b64encode(hashlib.sha256(_zip()).digest()).decode()


class PublishedJob:
    """A published job: what exists of it, what is wanted, and the steps between the two."""

    def __init__(
        self, clients: Clients, deployment: Settings, publication: Publication, code: Code | None = None
    ) -> None:
        """Create it. This sends nothing to AWS yet.

        Args:
            clients: clients of AWS.
            deployment: settings of the deployment.
            publication: what is wanted.
            code: its code; None: it is in the bucket already.

        Raises:
            ConfigError: AWS would refuse a name.
        """
        self.publication = publication
        self.name = publication.name
        self.deployment = deployment
        self.settings = deployment.of_published(publication)
        self._clients = clients
        self._code = code
        self._id = f"wrenlite-{deployment.function}-{publication.name}"

    @functools.cached_property
    def found(self) -> Found | None:
        """The function as it is; None where there is none."""
        with self._clients.translate_errors(self.settings.function_arn):
            return Functions(self._clients, self.settings, _zip).observe()

    @functools.cached_property
    def before(self) -> Publication | None:
        """What is published under this name; None where nothing is, or its record cannot be read."""
        found = self.found
        if found is None or not found.managed or not isinstance(found.resource, Function):
            return None
        try:
            return publication_in(found.resource)
        except ConfigError:
            return None

    @functools.cached_property
    def _managers(self) -> Managers:
        clients, settings, function = self._clients, self.settings, self.settings.function
        triggers: list[Trigger] = [self.publication.on, *([self.before.on] if self.before else [])]
        return Managers(
            clients,
            {
                ("log group", settings.log_group): LogGroups(clients, settings),
                ("role", settings.role_name): Roles(clients, settings),
                ("code", self.code_name): _PublishedCodes(self),
                ("function", function): Functions(clients, settings, _zip),
                **{
                    ("permission", f"{function}:{statement}"): Permissions(clients, function, statement)
                    for statement in (STATEMENT, URL_STATEMENT)
                },
                ("URL", function): FunctionUrls(clients, function),
                ("schedule", function): Schedules(clients, settings),
                **{
                    ("notification", notification_name(on.bucket, self._id)): self.notifications(on.bucket)
                    for on in triggers
                    if isinstance(on, Objects)
                },
            },
        )

    def notifications(self, bucket: str) -> Notifications:
        """Return what reads and changes the notifications of a bucket."""
        return Notifications(self._clients, self.settings, bucket, self._id)

    @property
    def store(self) -> S3Store:
        """The store of the deployment."""
        return store_of(self._clients, self.deployment)

    @property
    def code(self) -> Code | None:
        """The code that is to be stored; None: it is there already."""
        return self._code

    @property
    def code_name(self) -> str:
        """The bucket and the beginning of the keys of its code."""
        place = f"{self.settings.bucket}/{self.settings.prefix}"
        return f"{place}/{self.publication.code_prefix}".removesuffix("/")

    def desired(self, deployed: Function) -> tuple[Resource, ...]:
        """Return the resources as they should be, in the order in which they can be made.

        Args:
            deployed: the function of the deployment, whose layers and network this one has.

        Raises:
            ConfigError: the record of the job, or the policy of its role, is longer than AWS takes.
        """
        settings, publication = with_keys(self._clients, self.settings), self.publication
        variables = {
            **place_variables(settings),
            "WRENLITE_FUNCTION": settings.owner,
            VARIABLE: publication.to_json(),
        }
        size = sum(len(name) + len(value.encode()) for name, value in variables.items())
        check_size(size, ENVIRONMENT_BYTES, "the environment of a function, which names what is published")
        function = Function(
            name=settings.function,
            digest=zip_digest(),
            runtime=deployed.runtime,
            architecture=deployed.architecture,
            handler=HANDLER,
            memory_mb=settings.memory_mb,
            timeout_s=settings.timeout_s,
            ephemeral_mb=deployed.ephemeral_mb,
            reserved=settings.reserved,
            environment=tuple(sorted(variables.items())),
            role=settings.role,
            layer=deployed.layer,
            tags=tags_of(settings),
            layers=deployed.layers,
            subnets=deployed.subnets,
            security_groups=deployed.security_groups,
            may_loop=True,
        )
        digests = tuple(sorted(filter(None, (publication.function, publication.modules))))
        return (
            LogGroup(settings.log_group, tags=tags_of(settings)),
            role_of(settings, policies.of_published(settings, publication)),
            PublishedCode(self.code_name, digests),
            function,
            *self.trigger(),
        )

    def trigger(self) -> Iterator[Resource]:
        """Yield what invokes the function, each after what lets it do so."""
        settings, on = self.settings, self.publication.on
        name, arn, statement = settings.function, settings.function_arn, f"{settings.function}:{STATEMENT}"
        match on:
            case Objects():
                bucket = f"arn:{settings.partition}:s3:::{on.bucket}"
                yield Permission(statement, _INVOKE, "s3.amazonaws.com", bucket, settings.account)
                yield Notification(notification_name(on.bucket, self._id), on.prefix, on.suffix, arn)
            case Http(public=True):
                yield Permission(statement, "lambda:InvokeFunctionUrl", "*", auth="NONE")
                yield Permission(f"{name}:{URL_STATEMENT}", _INVOKE, "*", via_url=True)
                yield FunctionUrl(name, "NONE")
            case Http():  # whom IAM allows both actions needs no statement here
                yield FunctionUrl(name, "AWS_IAM")
            case Every():
                place = f"arn:{settings.partition}:events:{settings.region}:{settings.account}"
                yield Permission(statement, _INVOKE, "events.amazonaws.com", f"{place}:rule/{name}")
                yield Schedule(name, on.expression, arn, tags=tags_of(settings))

    def existing(self) -> list[Found]:
        """Return the resources that exist."""
        managers, found = self._managers, []
        for kind, name in managers.names:
            with self._clients.translate_errors(f"the {kind} {name}"):
                found.append(managers.observe(kind, name))
        return [each for each in found if each is not None]

    def plan(self, deployed: Function) -> tuple[Action, ...]:
        """Return the steps to the desired resources. What invokes the function no longer ends first.

        Args:
            deployed: the function of the deployment.

        Raises:
            ConfigError: a resource of the same name exists and is not managed by wrenlite.
        """
        steps = plan(self.desired(deployed), self.existing(), "--name")
        return tuple(sorted(steps, key=lambda step: not _ends_trigger(step)))

    def plan_removal(self) -> tuple[Action, ...]:
        """Return the steps that delete all of it but the outputs. The log, by which it is found, is last."""
        steps = plan((), self.existing())
        return tuple(sorted(steps, key=lambda step: isinstance(step.resource, LogGroup)))

    def apply(self, actions: Sequence[Action], on_step: StepObserver) -> None:
        """Carry out the steps of a plan. A run that was interrupted is completed by the next plan's steps.

        Args:
            actions: the steps, in order.
            on_step: called before and after each of them.

        Raises:
            WrenliteError: AWS refused a step.
        """
        self._managers.apply_all(actions, on_step)

    def ping(self) -> str:
        """Invoke the function, which starts nothing, and return its version of wrenlite.

        Raises:
            FunctionBroken: it answers with something else.
            AccessDenied: these credentials may not invoke it.
        """
        settings, advice = self.settings, f"wrenlite logs --published {self.name} may say more"
        return ping(self._clients, settings.function_arn, settings.function, advice)

    def url(self) -> str:
        """Return the URL of the function; an empty text where it has none."""
        with self._clients.translate_errors(self.settings.function_arn):
            found = FunctionUrls(self._clients, self.settings.function).observe()
        return found.resource.url if found and isinstance(found.resource, FunctionUrl) else ""


_INVOKE = "lambda:InvokeFunction"


def _ends_trigger(step: Action) -> bool:
    return step.verb is Verb.DELETE and step.resource.kind in _TRIGGERS


class _PublishedCodes:
    """The code of a published job in the store of its deployment."""

    def __init__(self, job: PublishedJob) -> None:
        self._job = job

    def observe(self) -> Found | None:
        digests = tuple(sorted(key.rpartition("/")[2] for key in self._keys()))
        return Found(PublishedCode(self._job.code_name, digests), managed=True) if digests else None

    def _keys(self) -> list[str]:
        with suppress_codes("NoSuchBucket"):
            return [entry.key for entry in self._job.store.list(self._job.publication.code_prefix)]
        return []

    def create(self, want: PublishedCode) -> None:
        assert self._job.code is not None
        self._job.code.store(self._job.store, self._job.publication)

    def update(self, want: PublishedCode) -> None:
        """Store what is missing. The rest stays: a start that is handed over runs the code that it began."""
        self.create(want)

    def delete(self, have: PublishedCode) -> None:
        self._job.store.delete(self._keys())


def published_names(clients: Clients, deployment: Settings) -> list[str]:
    """Return the names of the published jobs of a deployment, also of those of which only a part exists.

    Raises:
        AccessDenied: these credentials may not list functions, or the groups of their logs.
    """
    begin, log_begin = function_of(deployment.function, ""), function_of(deployment.log_group, "")
    with clients.translate_errors(f"the functions {begin}*"):
        pages = clients["lambda"].get_paginator("list_functions").paginate()
        functions = [each["FunctionName"] for page in pages for each in page["Functions"]]
    with clients.translate_errors(f"the log groups {log_begin}*"):
        pages = clients["logs"].get_paginator("describe_log_groups").paginate(logGroupNamePrefix=log_begin)
        groups = [group["logGroupName"] for page in pages for group in page["logGroups"]]
    names = {name.removeprefix(begin) for name in functions if name.startswith(begin)}
    return sorted(names | {group.removeprefix(log_begin) for group in groups})


def only_named(name: str) -> Publication:
    """Return a published job of which only the name is known."""
    return Publication(name, Http(), target="", function="", modules="", outputs="")


def find_published(clients: Clients, deployment: Settings, name: str) -> PublishedJob:
    """Return the published job of a name, as its function records it.

    Where there is no function, or it has no record that this version can read, only the name is known. Then
    the job can be removed.

    Raises:
        ConfigError: no job can have this name.
    """
    job = PublishedJob(clients, deployment, only_named(name))
    return PublishedJob(clients, deployment, job.before._replace(name=name)) if job.before else job


def find_all_published(clients: Clients, deployment: Settings) -> list[PublishedJob]:
    """Return the published jobs of a deployment. A function or log of somebody else's is none.

    Raises:
        AccessDenied: these credentials may not list functions, or the groups of their logs.
    """
    jobs = []
    for name in published_names(clients, deployment):
        try:
            job = find_published(clients, deployment, name)
        except ConfigError:  # no name of a job
            continue
        if any(found.managed and isinstance(found.resource, Function | LogGroup) for found in job.existing()):
            jobs.append(job)
    return jobs
