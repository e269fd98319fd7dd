"""Observe and change the resources of a deployment on AWS: one small class per kind, with the same methods.

Nothing here decides what to change: ``plan`` does.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wrenlite.backends.aws.deployed import RECORDED_VARIABLE
from wrenlite.deploy import policies
from wrenlite.deploy.aliases import Aliases, desired_alias
from wrenlite.deploy.archives import ephemeral_mb
from wrenlite.deploy.bucket_archives import BucketArchives
from wrenlite.deploy.buckets import Buckets
from wrenlite.deploy.clients import Clients
from wrenlite.deploy.code_zip import HANDLER
from wrenlite.deploy.lambda_resources import Functions, Layers
from wrenlite.deploy.log_groups import LogGroups
from wrenlite.deploy.plan import Action, Found, Verb
from wrenlite.deploy.resources import (
    Archives,
    Bucket,
    Function,
    Layer,
    LogGroup,
    Resource,
    Role,
    canonical_policy,
    canonical_rules,
)
from wrenlite.deploy.roles import Roles
from wrenlite.deploy.settings import Settings
from wrenlite.deploy.tags import tags_of
from wrenlite.errors import ConfigError

_POLICY_CHARACTERS = 10_240
"""The most that all inline policies of a role may have together, without white space."""
_ENVIRONMENT_BYTES = 4096
"""The most that the names and values of a function's environment may have together."""


def desired(
    settings: Settings, code_digest: str, layer: Layer | None, archives: Archives | None = None
) -> tuple[Resource, ...]:
    """Return the resources of a deployment, in the order in which they can be made.

    Args:
        settings: settings of the deployment.
        code_digest: SHA-256 of the function's zip, in base64.
        layer: the layer with the packages; None: no packages beside those in the function's zip.
        archives: the packages that do not fit into the layer; None: all do.

    Raises:
        ConfigError: lists of packages or buckets are longer than AWS takes.
    """
    resources, tags = list[Resource](), tags_of(settings)
    if settings.managed_bucket:
        rules = canonical_rules(policies.lifecycle_rules(settings))
        policy = canonical_policy(policies.of_bucket(settings))
        resources.append(Bucket(settings.bucket, policy, rules, tags=tags))
    if settings.role_arn is None:
        resources.append(_role(settings))
    resources.append(LogGroup(settings.log_group, tags=tags))
    if layer is not None:
        resources.append(layer)
    if archives is not None:
        resources.append(archives)
    function = Function(
        name=settings.function,
        digest=code_digest,
        runtime=f"python{settings.python}",
        architecture=settings.architecture,
        handler=HANDLER,
        memory_mb=settings.memory_mb,
        timeout_s=settings.timeout_s,
        ephemeral_mb=ephemeral_mb(settings.ephemeral_mb, archives.unpacked_mb if archives else 0),
        reserved=settings.reserved,
        environment=_environment(settings, layer, archives),
        role=settings.role,
        layer=layer.digest if layer else "",
        tags=tags,
        layers=settings.layers,
        subnets=tuple(sorted(settings.subnets)),
        security_groups=tuple(sorted(settings.security_groups)),
    )
    return (*resources, function, desired_alias(function))


def _role(settings: Settings) -> Role:
    """Return the role of the function.

    Raises:
        ConfigError: its policy is longer than AWS takes.
    """
    policy = canonical_policy(policies.of_function(settings))
    _check_size(len(policy), _POLICY_CHARACTERS, "a role's policy, which lists each --read and --write")
    return Role(
        name=settings.role_name,
        trust=canonical_policy(policies.trust()),
        policy=policy,
        path=settings.role_path,
        boundary=settings.boundary,
        tags=tags_of(settings),
    )


def _environment(
    settings: Settings, layer: Layer | None, archives: Archives | None
) -> tuple[tuple[str, str], ...]:
    """Return the environment of the function, sorted.

    Raises:
        ConfigError: it is larger than Lambda takes.
    """
    of_layer: dict[str, Any] = {"layer": layer.versions, "request": layer.request} if layer else {}
    if archives is not None:
        of_layer |= {"archives": archives.digests, "unpacked_mb": [archives.unpacked_mb]}
        of_layer["ephemeral_mb"] = [settings.ephemeral_mb]
    environment = {
        "WRENLITE_BUCKET": settings.bucket,
        "WRENLITE_PREFIX": settings.prefix,
        "WRENLITE_BUCKET_OWNER": settings.account,
        RECORDED_VARIABLE: json.dumps({**settings.recorded, **of_layer}),
    }
    size = sum(len(name) + len(value) for name, value in environment.items())
    _check_size(size, _ENVIRONMENT_BYTES, "a function's environment, which lists all that is in the layer")
    return tuple(sorted(environment.items()))


def _check_size(size: int, most: int, what: str) -> None:
    """Raise ConfigError where AWS would refuse a text because of its size."""
    if size > most:
        raise ConfigError(
            f"{size:,} characters are too many for {what}: AWS takes {most:,}. Name fewer, or divide them "
            "over two functions (--function NAME)"
        )


class Provider:
    """All resources of a deployment, by kind."""

    def __init__(
        self,
        clients: Clients,
        settings: Settings,
        *,
        layer: Callable[[], bytes],
        archives: Callable[[], Path],
        code: Callable[[], bytes],
    ) -> None:
        """Create a provider. It calls nothing yet.

        Args:
            clients: the clients.
            settings: settings of the deployment.
            layer: returns the layer's zip, when it has to be uploaded.
            archives: returns the folder of archives, when they have to be uploaded.
            code: returns the function's zip.
        """
        functions = Functions(clients, settings, code)
        aliases = Aliases(clients, settings, functions.observe)
        self._kinds: dict[str, Any] = {
            "bucket": Buckets(clients, settings),
            "role": Roles(clients, settings),
            "log group": LogGroups(clients, settings),
            "layer": Layers(clients, settings, layer),
            "archives": BucketArchives(clients, settings, archives, aliases.observe),
            "function": functions,
            "alias": aliases,
        }

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of resources, in the order in which they are made."""
        return tuple(self._kinds)

    def observe(self, kind: str) -> Found | None:
        """Return the resource of a kind as it is; None where it does not exist."""
        found: Found | None = self._kinds[kind].observe()
        return found

    def apply(self, action: Action) -> None:
        """Carry out one step of a plan. A plan that was interrupted is completed by running the next plan."""
        resources, resource = self._kinds[action.resource.kind], action.resource
        methods: dict[Verb, Callable[[Resource], None]] = {
            Verb.CREATE: resources.create,
            Verb.UPDATE: resources.update,
            Verb.REPLACE: getattr(resources, "replace", resources.update),
            Verb.DELETE: resources.delete,
        }
        if action.verb in methods:
            methods[action.verb](resource)
