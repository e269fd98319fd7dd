"""A deployment as a whole: its settings, what exists of it, and the steps between the two."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from wrenlite.backends.aws.deployed import (
    CURRENT_ALIAS,
    PING,
    RecordedLayer,
    recorded_layer,
    versions_by_name,
)
from wrenlite.backends.packages import RemotePackages
from wrenlite.config import Config
from wrenlite.deploy.account import Account, check_region, new_session, sign_in
from wrenlite.deploy.architectures import Choice
from wrenlite.deploy.archives import does_not_fit, unpacked_mb
from wrenlite.deploy.buckets import BucketAccess, bucket_access, encryption_key, is_users_bucket
from wrenlite.deploy.checks import find_layers
from wrenlite.deploy.clients import Clients
from wrenlite.deploy.code_zip import function_zip
from wrenlite.deploy.lambda_resources import Functions
from wrenlite.deploy.managers import StepObserver
from wrenlite.deploy.packages import BuiltLayer, Lock, Packages, archives_folder, choose
from wrenlite.deploy.plan import Action, Found, Verb, plan
from wrenlite.deploy.provider import Provider, desired
from wrenlite.deploy.resources import (
    Archives,
    Function,
    Layer,
    Resource,
)
from wrenlite.deploy.settings import Settings, recorded_settings
from wrenlite.errors import AccessDenied, ConfigError, FunctionBroken


class Deployment:
    """One function together with its bucket, role, log group, layer and driver."""

    def __init__(
        self,
        clients: Clients,
        settings: Settings,
        cache: Path | None = None,
        choice: Choice | None = None,
    ) -> None:
        """Create a deployment. Nothing is sent to AWS yet.

        Args:
            clients: clients of AWS.
            settings: settings of the deployment.
            cache: folder in which built layers are kept; None: the one in the user's cache folder.
            choice: how the architecture in the settings was chosen; None: that is not known.
        """
        self.settings = settings
        self.choice = choice or Choice(settings.architecture, "")
        self._clients = clients
        self._cache = _cache_folder() if cache is None else cache
        self._code = functools.cache(function_zip)
        self._provider = Provider(
            clients,
            settings,
            layer=lambda: self.built.content,
            archives=lambda: archives_folder(self._cache),
            code=self._code,
        )

    @functools.cached_property
    def packages(self) -> Packages:
        """The packages of the layer.

        Raises:
            ConfigError: Lambda does not have this Python, or a requirement is not valid.
        """
        settings = self.settings
        return choose(settings.packages, python=settings.python, architecture=settings.architecture)

    @functools.cached_property
    def versions(self) -> tuple[str, ...]:
        """The packages of the layer and all that they need, with exact versions, such as ``numpy==2.2.6``.

        They are those of the deployed layer as long as the same packages are wanted, and otherwise those that
        the package index resolves now.

        Raises:
            ConfigError: a package has no wheel for Lambda, or the index cannot be reached.
        """
        if not self.packages.requirements:
            return ()
        return self._deployed.versions if self._deployed else self._lock.versions

    def major_differences(self) -> list[str]:
        """Return a phrase for each package that was named whose major version there is another than here."""
        remote = RemotePackages(versions_by_name(self.versions), frozenset(), "")
        return list(remote.differences(names=self.packages.names, parts=1))

    @functools.cached_property
    def _function(self) -> Function | None:
        """The deployed function; None where there is none, or it cannot be read."""
        try:
            found = self.observe("function")
        except AccessDenied:
            return None
        return found.resource if found and found.managed and isinstance(found.resource, Function) else None

    @functools.cached_property
    def _deployed(self) -> RecordedLayer | None:
        """The deployed layer; None where other packages are wanted, or it is not known."""
        if self._function is None:
            return None
        recorded = recorded_layer(dict(self._function.environment))
        if recorded is None or recorded.request != self.packages.digest:
            return None
        return recorded

    @functools.cached_property
    def _lock(self) -> Lock:
        asked = self.choice.lock
        if asked is not None and asked.packages == self.packages:
            return asked
        return self.packages.resolve(self._deployed.versions if self._deployed else None)

    @functools.cached_property
    def built(self) -> BuiltLayer:
        """The layer, and the archives of what does not fit into it: from the cache, or built and put there.

        Raises:
            ConfigError: a package cannot be fetched, or Lambda or the disk here has no room for all of them.
        """
        beside = find_layers(self._clients, self.settings).values()
        beside_bytes = sum(layer.zipped_bytes for layer in beside if layer)
        built = self._lock.layer(self._cache, beside_bytes)
        if refusal := does_not_fit(self.settings.ephemeral_mb, built.archives):
            raise ConfigError(refusal)
        return built

    @property
    def is_built(self) -> bool:
        """Whether this run has built the layer, or found it in the cache."""
        return "built" in vars(self)

    @property
    def must_be_built(self) -> bool:
        """Whether the plan is known only when the layer is built: other packages, or layers, are wanted."""
        layers = self._function.layers if self._function else ()
        is_known = self._deployed is not None and layers == self.settings.layers
        return bool(self.packages.requirements) and not is_known and not self.is_built

    @property
    def archives(self) -> Archives | None:
        """The packages that do not fit into the layer; None where all do, or nothing was built yet."""
        digests, unpacked, size_bytes = tuple[str, ...](), 0, 0
        if self.is_built:
            digests = tuple(sorted(archive.digest for archive in self.built.archives))
            unpacked = unpacked_mb(self.built.archives)
            size_bytes = sum(archive.size_bytes for archive in self.built.archives)
        elif self._deployed:
            digests, unpacked = self._deployed.archives, self._deployed.unpacked_mb
        name = self.settings.archives_name
        return Archives(name, digests, unpacked_mb=unpacked, size_bytes=size_bytes) if digests else None

    @functools.cached_property
    def unreadable_buckets(self) -> tuple[str, ...]:
        """The other buckets for tasks that these credentials may not look at."""
        names = sorted({*self.settings.read, *self.settings.write})
        with self._clients.translate_errors(f"the buckets {', '.join(names)}"):
            access = {name: bucket_access(self._clients, name) for name in names}
        return tuple(name for name in names if access[name] is BucketAccess.DENIED)

    def key_state(self, key: str) -> str:
        """Return the state of a KMS key, such as ``Enabled``.

        Args:
            key: its ARN, or that of an alias.
        """
        with self._clients.translate_errors(key):
            return str(self._clients["kms"].describe_key(KeyId=key)["KeyMetadata"]["KeyState"])

    def ping_driver(self) -> str:
        """Invoke the driver that new executors use, and return its version of wrenlite.

        Raises:
            FunctionBroken: it answers with something else.
            AccessDenied: these credentials may not invoke it.
        """
        driver = self.settings.of_driver
        assert driver is not None
        name = f"{driver.function}:{CURRENT_ALIAS}"
        return ping(self._clients, driver.function_arn, name, "wrenlite logs --driver may say more")

    def desired_resources(self) -> tuple[Resource, ...]:
        """Return the resources as they should be, in the order in which they can be created.

        Raises:
            ConfigError: a package has no wheel for Lambda, or the package index cannot be reached.
        """
        settings, digest = self.settings, base64.b64encode(hashlib.sha256(self._code()).digest()).decode()
        packages, layer, archives = self.packages, None, self.archives
        if packages.requirements:
            # The user's layers decide what fits, also of the byte code.
            content = [*self.versions, *(archives.digests if archives else ()), *sorted(settings.layers)]
            layer = Layer(
                name=settings.function,
                digest=packages.layer_digest(content),
                runtime=f"python{settings.python}",
                architecture=settings.architecture,
                versions=self.versions,
                request=packages.digest,
            )
        return desired(settings, digest, layer, archives if layer else None)

    def observe(self, kind: str, name: str | None = None) -> Found | None:
        """Return an existing resource; None where it does not exist.

        Args:
            kind: its kind.
            name: its name; None: it is the function's own, and not its driver's.
        """
        first = next(each for each in self._provider.names if each[0] == kind and name in (None, each[1]))
        whose = self.settings.of_driver if self.settings.is_drivers(first[1]) else None
        with self._clients.translate_errors(f"the {kind} of {(whose or self.settings).function_arn}"):
            return self._provider.observe(*first)

    def existing_resources(self) -> list[Found]:
        """Return the resources that exist."""
        return [found for name in self._provider.names if (found := self.observe(*name)) is not None]

    def plan(self) -> tuple[Action, ...]:
        """Return the steps to the desired resources. The layer is built, where other packages are wanted.

        Raises:
            ConfigError: a resource of the same name exists and is not managed by wrenlite, or the layer
                cannot be built.
        """
        if self.must_be_built:
            self.build()
        actions = plan(self.desired_resources(), self.existing_resources())
        if self.is_built or not self.uploads_packages(actions):
            return actions
        # Somebody has deleted them. Another zlib makes other archives of the same packages.
        self.build()
        return plan(self.desired_resources(), self.existing_resources())

    def plan_destroy(self) -> tuple[Action, ...]:
        """Return the steps that delete all managed resources."""
        return plan((), self.existing_resources())

    def previous_bucket(self) -> str | None:
        """Return the bucket that the function uses until now; None where it is the desired one."""
        found = self.observe("function")
        if found is None or not found.managed or not isinstance(found.resource, Function):
            return None
        bucket = dict(found.resource.environment).get("WRENLITE_BUCKET")
        return None if bucket == self.settings.bucket else bucket

    def uploads_packages(self, actions: Sequence[Action]) -> bool:
        """Return whether these steps upload the layer or archives."""
        return any(
            (isinstance(action.resource, Layer) and action.verb in (Verb.CREATE, Verb.REPLACE))
            or (isinstance(action.resource, Archives) and action.verb in (Verb.CREATE, Verb.UPDATE))
            for action in actions
        )

    def build(self) -> BuiltLayer:
        """Build the layer and its archives, or find them in the cache.

        Raises:
            ConfigError: a package cannot be fetched, there are too many, or the disk is full.
        """
        return self.built

    def apply(self, actions: Sequence[Action], on_step: StepObserver) -> None:
        """Carry out the steps of a plan. A run that was interrupted is completed by the next plan's steps.

        The layer is built before the first step: if that fails, nothing has been changed.

        Args:
            actions: the steps, in order.
            on_step: called before and after each of them.

        Raises:
            WrenliteError: the layer cannot be built, or AWS refused a step.
        """
        if self.uploads_packages(actions):
            self.build()
        self._provider.apply_all(actions, on_step)


def ping(clients: Clients, arn: str, function: str, advice: str) -> str:
    """Invoke a driver, and return its version of wrenlite.

    Args:
        clients: clients of AWS.
        arn: its ARN, for messages.
        function: its name, perhaps with an alias.
        advice: where more may be said about what goes wrong.

    Raises:
        FunctionBroken: it answers with something else.
        AccessDenied: these credentials may not invoke it.
    """
    name, _, alias = function.partition(":")
    qualifier = {"Qualifier": alias} if alias else {}
    with clients.translate_errors(arn):
        answer = clients["lambda"].invoke(FunctionName=name, **qualifier, Payload=json.dumps(PING))
        text = answer["Payload"].read().decode()
    try:
        return str(json.loads(text)["version"])
    except (ValueError, TypeError, KeyError) as error:
        raise FunctionBroken(
            f"the driver {name} does not answer as it should: {text:.500}. Run wrenlite-setup again; {advice}"
        ) from error


def deployed_function(clients: Clients, account: Account, name: str) -> Function | None:
    """Return the function of this name if it exists and is managed by wrenlite; None otherwise."""
    probe = _default_settings(account, name, bucket="no-bucket")
    with clients.translate_errors(probe.function_arn):
        found = Functions(clients, probe, bytes).observe()
    return found.resource if found and found.managed and isinstance(found.resource, Function) else None


def resolve_settings(account: Account, function: str, existing: Function | None, **given: Any) -> Settings:
    """Return the settings: those that are given, else those of the existing function, else the defaults.

    Args:
        account: the account and region of the deployment.
        function: name of the function.
        existing: the function as it was found; None: there is none.
        **given: fields of ``Settings``; None: not given. ``role_arn=""`` means a role that wrenlite creates
            (so does ``driver_role_arn=""``), ``reserved=0`` means no reserved concurrency, ``boundary=""``
            means no permissions boundary.

    Raises:
        ConfigError: AWS would refuse a setting.
    """
    base = _default_settings(account, function, bucket=default_bucket_name(account, function))
    known: dict[str, Any] = {} if existing is None else recorded_settings(existing, base)
    if given.get("role_arn"):  # the role that wrenlite made is removed, and with it what was chosen for it
        known |= {"role_path": None, "boundary": None}
    if () in (given.get("subnets"), given.get("security_groups")):  # none of the one is none of the other
        known |= {"subnets": None, "security_groups": None}
    if given.get("alarms") == ():
        known["alarm_topic"] = None
    known |= {name: value for name, value in given.items() if value is not None}
    known |= {
        name: None
        for name in ("role_arn", "driver_role_arn", "reserved", "alarm_topic")
        if not known.get(name)
    }
    return replace(base, **{name: value for name, value in known.items() if value is not None})


def with_buckets(clients: Clients, settings: Settings) -> Settings:
    """Return the settings with what the existing buckets show: whose they are, and their keys.

    Raises:
        ConfigError: the bucket belongs to another account, region or function.
    """
    with clients.translate_errors(f"arn:{settings.partition}:s3:::{settings.bucket}"):
        users_own = is_users_bucket(
            clients,
            settings.bucket,
            account=settings.account,
            region=settings.region,
            function=settings.function,
        )
    return with_keys(clients, replace(settings, managed_bucket=not users_own))


def with_keys(clients: Clients, settings: Settings) -> Settings:
    """Return the settings with the keys of the user's that encrypt the buckets that tasks use."""
    keys = []
    for bucket in sorted({settings.bucket, *settings.read, *settings.write}):
        with clients.translate_errors(f"arn:{settings.partition}:s3:::{bucket}"):
            keys.append((bucket, encryption_key(clients, settings, bucket)))
    return replace(settings, keys=tuple((bucket, key) for bucket, key in keys if key))


def _default_settings(account: Account, function: str, bucket: str) -> Settings:
    return Settings(
        account=account.id,
        region=account.region,
        bucket=bucket,
        function=function,
        python=current_python(),
        partition=account.partition,
    )


def locate_deployment(
    config: Config, *, allow_denied: bool = False, prefer_deployed_bucket: bool = False
) -> tuple[Clients, Account, Settings]:
    """Sign in, and read the settings of the deployment that a configuration selects.

    Args:
        config: the configuration.
        allow_denied: where the credentials may not read the deployment, rely on the configuration alone.
        prefer_deployed_bucket: use the existing function's bucket, even if the configuration names another.

    Returns:
        Clients of AWS, the account, and the settings.

    Raises:
        CredentialsError: there are no valid credentials.
        ConfigError: a setting is missing or not valid.
        AccessDenied: the credentials may not read the deployment.
        StoreError: AWS cannot be reached.
    """
    session = new_session(config.profile)
    region = config.region or session.get_config_variable("region")
    if not region:
        raise ConfigError("no AWS region is set: use --region, WRENLITE_REGION, or aws configure")
    clients, account = sign_in(session, check_region(session, region), config.endpoint_url)
    given = configured_bucket(config, account)
    try:
        existing = deployed_function(clients, account, config.function)
        if prefer_deployed_bucket and existing:
            given = {}
        settings = resolve_settings(account, config.function, existing, **given)
        return clients, account, with_buckets(clients, settings)
    except AccessDenied:
        if not allow_denied:
            raise
        return clients, account, resolve_settings(account, config.function, None, **given)


def configured_bucket(config: Config, account: Account) -> dict[str, Any]:
    """Return the configured bucket and prefix by name; None for both if another account owns the bucket."""
    if config.bucket_owner not in (None, account.id):
        return {"bucket": None, "prefix": None}
    return {"bucket": config.bucket, "prefix": config.prefix}


LOCATION_SETTINGS = ("profile", "region", "bucket", "bucket_owner", "prefix", "function")
"""Settings in ``config.toml`` that select a deployment."""


def client_config(config: Config, settings: Settings) -> Config:
    """Return the configuration of a client that uses a deployment."""
    return replace(
        config,
        region=settings.region,
        bucket=settings.bucket,
        bucket_owner=settings.account,
        prefix=settings.prefix,
        function=settings.function,
    )


def current_python() -> str:
    """Return the minor version of this Python, such as ``3.12``."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def default_bucket_name(account: Account, function: str) -> str:
    """Return a bucket name that no other account, region or function leads to."""
    suffix = f"-{account.id}-{account.region}"
    name = re.sub(r"[^a-z0-9-]", "-", function.lower()).strip("-") or "wrenlite"
    if name != function or len(name + suffix) > 63:  # a digest keeps the names of two functions apart
        name = (
            f"{name[: 63 - len(suffix) - 7].strip('-')}-{hashlib.sha256(function.encode()).hexdigest()[:6]}"
        )
    return name + suffix


def _cache_folder() -> Path:
    import platformdirs

    return platformdirs.user_cache_path("wrenlite") / "layers"
