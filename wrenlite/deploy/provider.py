"""Observe and change the resources of a deployment on AWS: one small class per kind, with the same methods.

Nothing here decides what to change: ``plan`` does.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wrenlite.backends.aws.deployed import CURRENT_ALIAS, RECORDED_VARIABLE
from wrenlite.deploy import policies
from wrenlite.deploy.aliases import Aliases, desired_alias
from wrenlite.deploy.archives import ephemeral_mb
from wrenlite.deploy.bucket_archives import BucketArchives
from wrenlite.deploy.buckets import Buckets
from wrenlite.deploy.clients import Clients
from wrenlite.deploy.code_zip import DRIVER_HANDLER, HANDLER
from wrenlite.deploy.dashboard import desired_monitoring
from wrenlite.deploy.lambda_resources import Functions, Layers
from wrenlite.deploy.log_groups import LogGroups
from wrenlite.deploy.managers import Managers
from wrenlite.deploy.monitoring import monitoring
from wrenlite.deploy.resources import (
    Alias,
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
ENVIRONMENT_BYTES = 4096
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
        resources.append(role_of(settings, policies.of_function(settings)))
    resources.append(LogGroup(settings.log_group, tags=tags))
    if layer is not None:
        resources.append(layer)
    if archives is not None:
        resources.append(archives)
    driver = settings.of_driver if settings.has_driver else None
    if driver is not None:  # before the function, which records its version
        resources += _driver_resources(driver, code_digest)
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
        environment=_environment(settings, layer, archives, resources[-1] if driver else None),
        role=settings.role,
        layer=layer.digest if layer else "",
        tags=tags,
        layers=settings.layers,
        subnets=tuple(sorted(settings.subnets)),
        security_groups=tuple(sorted(settings.security_groups)),
    )
    return (*resources, function, desired_alias(function), *desired_monitoring(settings, tags))


def _driver_resources(settings: Settings, code_digest: str) -> tuple[Resource, ...]:
    """Return the resources of the driver, in the order in which they can be made; its alias is the last.

    Args:
        settings: settings of the driver.
        code_digest: SHA-256 of its zip, which is that of the function, in base64.
    """
    tags = tags_of(settings)
    role = (role_of(settings, policies.of_driver(settings)),) if settings.role_arn is None else ()
    function = Function(
        name=settings.function,
        digest=code_digest,
        runtime=f"python{settings.python}",
        architecture=settings.architecture,
        handler=DRIVER_HANDLER,
        memory_mb=settings.memory_mb,
        timeout_s=settings.timeout_s,
        ephemeral_mb=settings.ephemeral_mb,
        reserved=None,
        environment=tuple(
            sorted({**place_variables(settings), "WRENLITE_DRIVER": settings.function}.items())
        ),
        role=settings.role,
        layer="",
        tags=tags,
        may_loop=True,
    )
    return (*role, LogGroup(settings.log_group, tags=tags), function, desired_alias(function))


def role_of(settings: Settings, document: policies.Policy) -> Role:
    """Return the role of the function, or of its driver.

    Raises:
        ConfigError: its policy is longer than AWS takes.
    """
    policy = canonical_policy(document)
    check_size(len(policy), _POLICY_CHARACTERS, "a role's policy, which lists each --read and --write")
    return Role(
        name=settings.role_name,
        trust=canonical_policy(policies.trust()),
        policy=policy,
        path=settings.role_path,
        boundary=settings.boundary,
        tags=tags_of(settings),
    )


def place_variables(settings: Settings) -> dict[str, str]:
    """Return the variables that say where objects are stored."""
    return {
        "WRENLITE_BUCKET": settings.bucket,
        "WRENLITE_PREFIX": settings.prefix,
        "WRENLITE_BUCKET_OWNER": settings.account,
    }


def _environment(
    settings: Settings, layer: Layer | None, archives: Archives | None, driver: Resource | None
) -> tuple[tuple[str, str], ...]:
    """Return the environment of the function, sorted.

    Raises:
        ConfigError: it is larger than Lambda takes.
    """
    of_layer: dict[str, Any] = {"layer": layer.versions, "request": layer.request} if layer else {}
    if archives is not None:
        of_layer |= {"archives": archives.digests, "unpacked_mb": [archives.unpacked_mb]}
        of_layer["ephemeral_mb"] = [settings.ephemeral_mb]
    of_driver = {"driver": [driver.target]} if isinstance(driver, Alias) else {}
    recorded = {**settings.recorded, **of_layer, **of_driver}
    environment = {**place_variables(settings), RECORDED_VARIABLE: json.dumps(recorded)}
    size = sum(len(name) + len(value) for name, value in environment.items())
    check_size(size, ENVIRONMENT_BYTES, "a function's environment, which lists all that is in the layer")
    return tuple(sorted(environment.items()))


def check_size(size: int, most: int, what: str) -> None:
    """Raise ConfigError where AWS would refuse a text because of its size."""
    if size > most:
        raise ConfigError(
            f"{size:,} characters are too many for {what}: AWS takes {most:,}. Name fewer, or divide them "
            "over two functions (--function NAME)"
        )


class Provider(Managers):
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
        functions, driver = Functions(clients, settings, code), settings.of_driver
        of_driver, driver_aliases = self._driver(clients, driver, code) if driver else ({}, None)
        aliases = Aliases(clients, settings, functions.observe, driver_aliases)
        managers: dict[tuple[str, str], Any] = {
            ("bucket", settings.bucket): Buckets(clients, settings),
            ("role", settings.role_name): Roles(clients, settings),
            ("log group", settings.log_group): LogGroups(clients, settings),
            ("layer", settings.function): Layers(clients, settings, layer),
            ("archives", settings.archives_name): BucketArchives(
                clients, settings, archives, aliases.observe
            ),
            ("function", settings.function): functions,
            ("alias", f"{settings.function}:{CURRENT_ALIAS}"): aliases,
            **of_driver,
            **monitoring(clients, settings),
        }
        super().__init__(clients, managers)

    def _driver(
        self, clients: Clients, settings: Settings, code: Callable[[], bytes]
    ) -> tuple[dict[tuple[str, str], Any], Aliases]:
        """Return what manages the resources of the driver, by kind and name; and that of its aliases."""
        functions = Functions(clients, settings, code)
        aliases = Aliases(clients, settings, functions.observe)
        managers = {
            ("role", settings.role_name): Roles(clients, settings),
            ("log group", settings.log_group): LogGroups(clients, settings),
            ("function", settings.function): functions,
            ("alias", f"{settings.function}:{CURRENT_ALIAS}"): aliases,
        }
        return managers, aliases
