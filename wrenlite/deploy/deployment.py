"""A deployment as a whole: what it is to be, what there is of it, and the steps between."""

from __future__ import annotations

import base64
import functools
import hashlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from wrenlite.config import Config
from wrenlite.deploy import packaging
from wrenlite.deploy.account import Account, check_region, new_session, sign_in
from wrenlite.deploy.buckets import is_the_users_own
from wrenlite.deploy.clients import Clients
from wrenlite.deploy.function import function_zip
from wrenlite.deploy.functions import Functions
from wrenlite.deploy.plan import Action, Found, Verb, plan
from wrenlite.deploy.provider import Provider, desired
from wrenlite.deploy.resources import Function, Layer, Settings, chosen_before
from wrenlite.errors import ConfigError

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
    def packages(self) -> packaging.Packages:
        """What its layer is to have. Raises ConfigError."""
        settings = self.settings
        return packaging.choose(settings.packages, python=settings.python, architecture=settings.architecture)

    @property
    def layer(self) -> packaging.Layered | None:
        """The layer where it was built before."""
        return self.packages.cached(self._cache)

    def wanted(self) -> tuple[Any, ...]:
        """Its resources, in the order in which they can be made."""
        settings, digest = self.settings, base64.b64encode(hashlib.sha256(self._code()).digest()).decode()
        runtime = f"python{settings.python}"
        layer = Layer(settings.function, self.packages.digest, runtime, settings.architecture)
        return desired(settings, digest, layer)

    def look(self, kind: str) -> Found | None:
        """Its resource of that kind, where it is there."""
        with self._clients.in_words(f"the {kind} of {self.settings.function_arn}"):
            return self._provider.look(kind)

    def found(self) -> list[Found]:
        """What there is of it."""
        return [found for kind in self._provider.kinds if (found := self.look(kind)) is not None]

    def plan(self) -> tuple[Action, ...]:
        """What has to be done. Raises ConfigError where something is in the way that is not wrenlite's."""
        return plan(self.wanted(), self.found())

    def end(self) -> tuple[Action, ...]:
        """What has to be done so that nothing is left of it."""
        return plan((), self.found())

    def needs_layer(self, actions: Sequence[Action]) -> bool:
        """Whether these steps upload the layer."""
        return any(isinstance(action.resource, Layer) and action.verb in _UPLOADS for action in actions)

    def build(self) -> packaging.Layered:
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
                with self._clients.in_words(f"{action.resource.kind} {action.resource.name}"):
                    self._provider.apply(action)
                tell(action, time.monotonic() - begun)


_UPLOADS = (Verb.CREATE, Verb.REPLACE)


def deployed(clients: Clients, account: Account, function: str) -> Function | None:
    """A function that wrenlite has deployed under that name; None where there is none, or not wrenlite's."""
    probe = Settings(account.id, account.region, "no-bucket", function, partition=account.partition)
    with clients.in_words(probe.function_arn):
        found = Functions(clients, probe, function_zip).observe()
    return found.resource if found is not None and found.ours else None  # type: ignore[return-value]


def settings_for(clients: Clients, account: Account, function: str, python: str, **given: Any) -> Settings:
    """Settings from what is given, over what was deployed before, over defaults.

    Args:
        clients: to AWS.
        account: where.
        function: its name.
        python: minor version of Python.
        **given: fields of ``Settings``; None: as before. No role is "", nothing reserved is 0.

    Raises ConfigError for what AWS would refuse.
    """
    base = Settings(
        account.id, account.region, "no-bucket", function, python=python, partition=account.partition
    )
    before = deployed(clients, account, function)
    known: dict[str, Any] = {} if before is None else chosen_before(before, base.role_name)
    known |= {name: value for name, value in given.items() if value is not None}
    known |= {name: None for name in ("role_arn", "reserved") if not known.get(name)}
    known["bucket"] = known.get("bucket") or default_bucket(account, function)
    settings = replace(base, **{name: value for name, value in known.items() if value is not None})
    account.check(settings)
    with clients.in_words(f"arn:{account.partition}:s3:::{settings.bucket}"):
        theirs = is_the_users_own(
            clients, settings.bucket, account=account.id, region=account.region, function=function
        )
    return replace(settings, own_bucket=not theirs)


def of_configuration(config: Config, **given: Any) -> tuple[Clients, Account, Settings]:
    """What is deployed where a configuration says.

    Args:
        config: the configuration.
        **given: as for ``settings_for``.

    Raises CredentialsError, ConfigError, AccessDenied, StoreError.
    """
    session = new_session(config.profile)
    region = config.region or session.get_config_variable("region")
    if not region:
        raise ConfigError("no AWS region is set: --region, WRENLITE_REGION, or aws configure")
    clients, account = sign_in(session, check_region(session, region), config.endpoint_url)
    prefix = None if config.prefix == Config.prefix else config.prefix
    given = {"bucket": config.bucket, "prefix": prefix, **given}
    return clients, account, settings_for(clients, account, config.function, own_python(), **given)


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
    return f"{function.lower().replace('_', '-')}-{account.id}-{account.region}"[:63]


def _cache() -> Path:
    import platformdirs

    return platformdirs.user_cache_path("wrenlite") / "layers"
