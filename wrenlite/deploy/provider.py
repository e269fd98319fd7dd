"""What AWS has, and how it is changed: one small class a kind of resource, each with the same four methods.

Nothing here decides: ``plan`` does.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from wrenlite.deploy import policies
from wrenlite.deploy.buckets import Buckets
from wrenlite.deploy.clients import Clients
from wrenlite.deploy.code_zip import HANDLER
from wrenlite.deploy.lambda_resources import Functions, Layers
from wrenlite.deploy.log_groups import LogGroups
from wrenlite.deploy.plan import Action, Found, Verb
from wrenlite.deploy.resources import (
    RECORDED_VARIABLE,
    Bucket,
    Function,
    Layer,
    LogGroup,
    Resource,
    Role,
    Settings,
    canonical_policy,
    canonical_rules,
)
from wrenlite.deploy.roles import Roles


def desired(settings: Settings, code_digest: str, layer: Layer | None) -> tuple[Resource, ...]:
    """What a deployment consists of, in the order in which it can be made.

    Args:
        settings: of the deployment.
        code_digest: SHA-256 of the function's zip, base64.
        layer: the packages; None: none beside what the zip has.
    """
    wanted: list[Resource] = []
    if settings.managed_bucket:
        rules = canonical_rules(policies.lifecycle_rules(settings))
        wanted.append(Bucket(settings.bucket, canonical_policy(policies.of_bucket(settings)), rules))
    if settings.role_arn is None:
        own = canonical_policy(policies.of_function(settings))
        wanted.append(Role(settings.role_name, canonical_policy(policies.trust()), own))
    wanted.append(LogGroup(settings.log_group))
    if layer is not None:
        wanted.append(layer)
    environment = {
        "WRENLITE_BUCKET": settings.bucket,
        "WRENLITE_PREFIX": settings.prefix,
        "WRENLITE_BUCKET_OWNER": settings.account,
        RECORDED_VARIABLE: json.dumps({**settings.recorded, "layer": layer.requirements if layer else ()}),
    }
    wanted.append(
        Function(
            name=settings.function,
            digest=code_digest,
            runtime=f"python{settings.python}",
            architecture=settings.architecture,
            handler=HANDLER,
            memory_mb=settings.memory_mb,
            timeout_s=settings.timeout_s,
            ephemeral_mb=settings.ephemeral_mb,
            reserved=settings.reserved,
            environment=tuple(sorted(environment.items())),
            role=settings.role,
            layer=layer.digest if layer else "",
        )
    )
    return tuple(wanted)


class Provider:
    """All of them."""

    def __init__(
        self, clients: Clients, settings: Settings, layer: Callable[[], bytes], code: Callable[[], bytes]
    ) -> None:
        """Args:
        clients: to AWS.
        settings: of the deployment.
        layer: gives the layer's zip, when it has to be uploaded.
        code: gives the function's zip.
        """
        self._kinds: dict[str, Any] = {
            "bucket": Buckets(clients, settings),
            "role": Roles(clients, settings),
            "log group": LogGroups(clients, settings),
            "layer": Layers(clients, settings, layer),
            "function": Functions(clients, settings, code),
        }

    @property
    def kinds(self) -> tuple[str, ...]:
        """Of resources, in the order in which they are made."""
        return tuple(self._kinds)

    def look(self, kind: str) -> Found | None:
        """The resource of that kind, where it is there."""
        found: Found | None = self._kinds[kind].observe()
        return found

    def apply(self, action: Action) -> None:
        """Take one step. Running a plan again after it was cut short completes it."""
        of_kind, resource = self._kinds[action.resource.kind], action.resource
        steps: dict[Verb, Callable[[Resource], None]] = {
            Verb.CREATE: of_kind.create,
            Verb.UPDATE: of_kind.update,
            Verb.REPLACE: getattr(of_kind, "replace", of_kind.update),
            Verb.DELETE: of_kind.delete,
        }
        if action.verb in steps:
            steps[action.verb](resource)
