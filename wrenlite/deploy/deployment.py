"""A deployment as a whole: what it is to be, what there is of it, and the steps between."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from wrenlite.config import Config
from wrenlite.deploy.account import Account, check_region, new_session, sign_in
from wrenlite.deploy.buckets import is_users_bucket
from wrenlite.deploy.clients import Clients, suppress_codes
from wrenlite.deploy.code_zip import function_zip
from wrenlite.deploy.lambda_resources import Functions
from wrenlite.deploy.packages import BuiltLayer, Packages, choose
from wrenlite.deploy.plan import Action, Found, Verb, plan
from wrenlite.deploy.provider import Provider, desired
from wrenlite.deploy.resources import Function, Layer, Settings, chosen_before
from wrenlite.errors import AccessDenied, ConfigError

Tell = Callable[[Action, float | None], None]
"""Is told of each step as it begins, with None, and as it ends, with its seconds."""


class Deployment:
    """One function, and what belongs to it."""

    def __init__(self, clients: Clients, settings: Settings, cache: Path | None = None) -> None:
        """Args:
        clients: to AWS.
        settings: of the deployment.
        cache: folder where layers are kept; None: the user's.
        """
        self.settings = settings
        self._clients = clients
        self._cache = _cache() if cache is None else cache
        self._code = functools.cache(function_zip)
        self._layer = functools.cache(lambda: self.packages.layer(self._cache))
        self._provider = Provider(clients, settings, lambda: self._layer().content, self._code)

    @functools.cached_property
    def packages(self) -> Packages:
        """What its layer is to have. Raises ConfigError."""
        settings = self.settings
        return choose(settings.packages, python=settings.python, architecture=settings.architecture)

    @property
    def layer(self) -> BuiltLayer | None:
        """The layer where it was built before."""
        return self.packages.cached(self._cache)

    def wanted(self) -> tuple[Any, ...]:
        """Its resources, in the order in which they can be made."""
        settings, digest = self.settings, base64.b64encode(hashlib.sha256(self._code()).digest()).decode()
        runtime = f"python{settings.python}"
        packages = self.packages
        layer = Layer(
            settings.function, packages.digest, runtime, settings.architecture, packages.requirements
        )
        return desired(settings, digest, layer)

    def look(self, kind: str) -> Found | None:
        """Its resource of that kind, where it is there."""
        with self._clients.translate_errors(f"the {kind} of {self.settings.function_arn}"):
            return self._provider.observe(kind)

    def found(self) -> list[Found]:
        """What there is of it."""
        return [found for kind in self._provider.kinds if (found := self.look(kind)) is not None]

    def plan(self) -> tuple[Action, ...]:
        """What has to be done. Raises ConfigError where something is in the way that is not wrenlite's."""
        return plan(self.wanted(), self.found())

    def leaves(self) -> str | None:
        """The bucket that its function uses so far, where another one is wanted."""
        found = self.look("function")
        if found is None or not found.ours or not isinstance(found.resource, Function):
            return None
        bucket = dict(found.resource.environment).get("WRENLITE_BUCKET")
        return None if bucket == self.settings.bucket else bucket

    def end(self) -> tuple[Action, ...]:
        """What has to be done so that nothing is left of it."""
        return plan((), self.found())

    def needs_layer(self, actions: Sequence[Action]) -> bool:
        """Whether these steps upload the layer."""
        return any(isinstance(action.resource, Layer) and action.verb in _UPLOADS for action in actions)

    def build(self) -> BuiltLayer:
        """Its layer, from the cache or built and put there. Raises ConfigError."""
        return self._layer()

    def apply(self, actions: Sequence[Action], tell: Tell) -> None:
        """Take the steps. Cut short, it is completed by the steps of the next plan.

        The layer is built before the first of them: where that fails, nothing was changed.
        """
        if self.needs_layer(actions):
            self.build()
        for action in actions:
            if action.verb is not Verb.KEEP:
                tell(action, None)
                begun = time.monotonic()
                with self._clients.translate_errors(f"{action.resource.kind} {action.resource.name}"):
                    self._provider.apply(action)
                tell(action, time.monotonic() - begun)


_UPLOADS = (Verb.CREATE, Verb.REPLACE)


def deployed(clients: Clients, account: Account, function: str) -> Function | None:
    """A function that wrenlite has deployed under that name; None where there is none, or not wrenlite's."""
    probe = _settings(account, function, bucket="no-bucket")
    with clients.translate_errors(probe.function_arn):
        found = Functions(clients, probe, bytes).observe()
    return found.resource if found and found.ours and isinstance(found.resource, Function) else None


def settings_for(account: Account, function: str, before: Function | None, **given: Any) -> Settings:
    """Settings from what is given, over what was deployed before, over defaults.

    Args:
        account: where.
        function: its name.
        before: the function as it is there.
        **given: fields of ``Settings``; None: as before. No role is "", nothing reserved is 0.

    Raises ConfigError for what AWS would refuse.
    """
    base = _settings(account, function, bucket=default_bucket(account, function))
    known: dict[str, Any] = {} if before is None else chosen_before(before, base.role)
    known |= {name: value for name, value in given.items() if value is not None}
    known |= {name: None for name in ("role_arn", "reserved") if not known.get(name)}
    return replace(base, **{name: value for name, value in known.items() if value is not None})


def whose_bucket(clients: Clients, settings: Settings) -> Settings:
    """The settings, with whether the bucket is the user's own. Raises ConfigError where it cannot be used."""
    with clients.translate_errors(f"arn:{settings.partition}:s3:::{settings.bucket}"):
        theirs = is_users_bucket(
            clients,
            settings.bucket,
            account=settings.account,
            region=settings.region,
            function=settings.function,
        )
    return replace(settings, own_bucket=not theirs)


def check_role(clients: Clients, settings: Settings) -> None:
    """Raises ConfigError where a role of the user's own is not there, as far as that can be seen."""
    if settings.role_arn is None:
        return
    if settings.role_arn.split(":")[4] != settings.account:
        raise ConfigError(f"--role-arn {settings.role_arn} is of another account than {settings.account}")
    try:
        with clients.translate_errors(settings.role_arn), suppress_codes("NoSuchEntity"):
            clients["iam"].get_role(RoleName=settings.role_arn.rpartition("/")[2])
            return
    except AccessDenied:
        return
    raise ConfigError(f"--role-arn: there is no role {settings.role_arn} in this account")


def _settings(account: Account, function: str, bucket: str) -> Settings:
    return Settings(
        account.id, account.region, bucket, function, python=own_python(), partition=account.partition
    )


def of_configuration(
    config: Config, *, blind: bool = False, as_deployed: bool = False
) -> tuple[Clients, Account, Settings]:
    """What is deployed where a configuration says.

    Args:
        config: the configuration.
        blind: where these credentials may not look at it, take the configuration's word.
        as_deployed: with the bucket that the function has, whatever is configured.

    Raises CredentialsError, ConfigError, AccessDenied, StoreError.
    """
    session = new_session(config.profile)
    region = config.region or session.get_config_variable("region")
    if not region:
        raise ConfigError("no AWS region is set: --region, WRENLITE_REGION, or aws configure")
    clients, account = sign_in(session, check_region(session, region), config.endpoint_url)
    mine = place_in(config, account)
    try:
        before = deployed(clients, account, config.function)
        mine = {} if as_deployed and before else mine
        return clients, account, whose_bucket(clients, settings_for(account, config.function, before, **mine))
    except AccessDenied:
        if not blind:
            raise
        return clients, account, settings_for(account, config.function, None, **mine)


def place_in(config: Config, account: Account) -> dict[str, Any]:
    """Bucket and prefix as configured; nothing where they are another account's."""
    if config.bucket_owner not in (None, account.id):
        return {"bucket": None, "prefix": None}
    return {"bucket": config.bucket, "prefix": config.prefix}


WRITTEN = ("profile", "region", "bucket", "bucket_owner", "prefix", "function")
"""Settings in ``config.toml`` that say where a deployment is."""


def settled(config: Config, settings: Settings) -> Config:
    """The configuration of who uses a deployment."""
    return replace(
        config,
        region=settings.region,
        bucket=settings.bucket,
        bucket_owner=settings.account,
        prefix=settings.prefix,
        function=settings.function,
    )


def own_python() -> str:
    """Minor version of this Python, such as ``3.12``."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def default_bucket(account: Account, function: str) -> str:
    """A bucket's name that nobody else has."""
    place = f"-{account.id}-{account.region}"
    name = re.sub(r"[^a-z0-9-]", "-", function.lower()).strip("-") or "wrenlite"
    if name != function or len(name + place) > 63:  # two functions must not come to the same
        name = f"{name[: 63 - len(place) - 7].strip('-')}-{hashlib.sha256(function.encode()).hexdigest()[:6]}"
    return name + place


def _cache() -> Path:
    import platformdirs

    return platformdirs.user_cache_path("wrenlite") / "layers"
