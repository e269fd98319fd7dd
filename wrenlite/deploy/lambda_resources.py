"""Observe, create, update and delete the function, its driver, and the layer that its tasks import from.

AWS's own waiters wait for Lambda. Where a change in IAM takes time to reach Lambda, the call is repeated with
growing pauses.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from wrenlite.backends.aws import errors
from wrenlite.deploy.clients import Clients, retry, suppress_codes
from wrenlite.deploy.plan import Found
from wrenlite.deploy.resources import (
    Function,
    Layer,
)
from wrenlite.deploy.settings import Settings
from wrenlite.deploy.tags import chosen_tags, dropped_tags, is_ours, layer_description, layer_digest
from wrenlite.errors import BackendError

_ROLE_TIMEOUT_S = 120.0
"""Seconds that may pass until Lambda can assume a new role."""
_UPDATE_TIMEOUT_S = 300.0
"""Seconds that Lambda may take to finish what an earlier run has begun."""
_DIRECT_BYTES = 10 * 2**20
"""The most that is sent to Lambda itself; a larger layer goes through S3. Lambda takes 50 MB in one request,
which base64 makes a third larger."""


class Layers:
    """The layer of a deployment. Its versions have no tags: see ``tags.layer_description``."""

    def __init__(self, clients: Clients, settings: Settings, content: Callable[[], bytes]) -> None:
        """Create an object for the layer. It calls nothing yet.

        Args:
            clients: the clients.
            settings: settings of the deployment.
            content: returns the layer's zip, when it has to be uploaded.
        """
        self._clients = clients
        self._settings = settings
        self._content = content

    def observe(self) -> Found | None:
        """Return the newest version of the layer; None where there is no version."""
        versions = self._versions()
        if not versions:
            return None
        newest = max(versions, key=_number)
        layer = Layer(
            name=self._settings.function,
            digest=layer_digest(newest),
            runtime=next(iter(newest.get("CompatibleRuntimes", ())), ""),
            architecture=next(iter(newest.get("CompatibleArchitectures", ())), self._settings.architecture),
            arn=newest["LayerVersionArn"],
            older=sum(version is not newest and bool(layer_digest(version)) for version in versions),
        )
        return Found(layer, bool(layer.digest))

    def create(self, want: Layer) -> None:
        """Publish a version of the layer; a large one goes through the bucket."""
        zipped = self._content()
        content: dict[str, Any] = {"ZipFile": zipped}
        place = {
            "Bucket": self._settings.bucket,
            "Key": f"{self._settings.prefix}/layers/{want.digest}.zip",
            "ExpectedBucketOwner": self._settings.account,
        }
        if len(zipped) > _DIRECT_BYTES:
            self._clients["s3"].put_object(**place, Body=zipped)
            content = {"S3Bucket": place["Bucket"], "S3Key": place["Key"]}
        published = self._clients["lambda"].publish_layer_version(
            LayerName=want.name,
            Description=layer_description(want.digest),
            Content=content,
            CompatibleRuntimes=[want.runtime],
            CompatibleArchitectures=[want.architecture],
        )
        if "S3Key" in content:
            self._clients["s3"].delete_object(**place)
        self._check_published(published, base64.b64encode(hashlib.sha256(zipped).digest()).decode())

    def _check_published(self, version: dict[str, Any], sent: str) -> None:
        """Check that a published version is what was sent; delete it if it is not.

        Args:
            version: what Lambda says about it.
            sent: SHA-256 of the zip in base64.

        Raises:
            BackendError: it is something else.
        """
        found = version["Content"]["CodeSha256"]
        if found != sent:
            self._delete([version])
            raise BackendError(
                f"Lambda published another layer than the one that was sent: its SHA-256 is {found}, and not "
                f"{sent}. That version was deleted. Run wrenlite-setup again. If that fails too, somebody "
                f"else may write to {self._settings.prefix}/layers/ in the bucket {self._settings.bucket}"
            )

    def update(self, want: Layer) -> None:
        """Publish the wanted version where it is missing, and delete the others.

        A function that uses a deleted version keeps its copy of it.
        """
        newest = self.observe()
        if newest is None or newest.resource != replace(want, older=getattr(newest.resource, "older", 0)):
            self.create(want)
        self._delete(sorted(self._versions(), key=_number)[:-1])

    def delete(self, have: Layer) -> None:
        """Delete all versions of the layer that wrenlite has made."""
        self._delete(self._versions())

    def _versions(self) -> list[dict[str, Any]]:
        return _layer_versions(self._clients, self._settings.function)

    def _delete(self, versions: Iterable[dict[str, Any]]) -> None:
        for version in versions:
            if layer_digest(version):
                with suppress_codes("ResourceNotFoundException"):
                    self._clients["lambda"].delete_layer_version(
                        LayerName=self._settings.function, VersionNumber=version["Version"]
                    )


def _layer_versions(clients: Clients, name: str) -> list[dict[str, Any]]:
    """Return all versions of a layer, as Lambda describes them."""
    with suppress_codes("ResourceNotFoundException"):
        pages = clients["lambda"].get_paginator("list_layer_versions").paginate(LayerName=name)
        return [version for page in pages for version in page["LayerVersions"]]
    return []


def _number(version: Mapping[str, Any]) -> int:
    return int(version["Version"])


class Functions:
    """The function of a deployment, or its driver."""

    def __init__(self, clients: Clients, settings: Settings, code: Callable[[], bytes]) -> None:
        """Create an object for the function. It calls nothing yet.

        Args:
            clients: the clients.
            settings: settings of the deployment.
            code: returns the function's zip.
        """
        self._clients = clients
        self._settings = settings
        self._code = code

    def observe(self) -> Found | None:
        """Return the function as it is; None where it does not exist.

        Raises:
            AccessDenied: these credentials may not read its tags, so that nobody knows whose it is.
        """
        client, name = self._clients["lambda"], self._settings.function
        with suppress_codes("ResourceNotFoundException"):
            response = client.get_function(FunctionName=name)
            found, tags = response["Configuration"], response.get("Tags", {})
            if "TagsError" in response:
                raise errors.access_denied("lambda:ListTags", found["FunctionArn"])
            layers = [layer["Arn"] for layer in found.get("Layers", ())]
            own = [arn for arn in layers if arn.startswith(f"{self._settings.layer_arn}:")]
            network = found.get("VpcConfig") or {}
            function = Function(
                name=name,
                digest=found["CodeSha256"],
                runtime=found.get("Runtime", ""),  # a function that is a container image has none
                architecture=found.get("Architectures", ["x86_64"])[0],
                handler=found.get("Handler", ""),
                memory_mb=found["MemorySize"],
                timeout_s=found["Timeout"],
                ephemeral_mb=found.get("EphemeralStorage", {}).get("Size", 512),
                reserved=response.get("Concurrency", {}).get("ReservedConcurrentExecutions"),
                environment=tuple(sorted(found.get("Environment", {}).get("Variables", {}).items())),
                role=found["Role"],
                layer=self._layer_digest(own[0]) if own else "",
                state=_state(found),
                revision=found.get("RevisionId", ""),
                tags=chosen_tags(tags, self._settings),
                layers=tuple(arn for arn in layers if arn not in own),
                subnets=tuple(sorted(network.get("SubnetIds", ()))),
                security_groups=tuple(sorted(network.get("SecurityGroupIds", ()))),
                may_loop=self._may_loop(),
            )
            return Found(function, is_ours(tags, self._settings.owner))
        return None

    def _may_loop(self) -> bool:
        """Return whether Lambda lets the driver start itself again and again; no other function does so."""
        if not self._settings.driver_of:
            return False
        found = self._clients["lambda"].get_function_recursion_config(FunctionName=self._settings.function)
        return bool(found["RecursiveLoop"] == "Allow")

    def create(self, want: Function) -> None:
        """Create the function, and wait until it can be invoked."""
        client = self._clients["lambda"]

        def create_function() -> None:
            client.create_function(
                **self._configuration(want),
                Code={"ZipFile": self._code()},
                Architectures=[want.architecture],
                Tags=dict(want.tags),
            )

        retry(create_function, timeout_s=_ROLE_TIMEOUT_S, is_transient=_is_new_role)
        client.get_waiter("function_active_v2").wait(FunctionName=want.name)
        self._set_limits(want)

    def update(self, want: Function) -> None:
        """Change tags, code and configuration, in this order, and wait for each change to take effect.

        The configuration is last: it records the settings, and with them the tags of this deployment.
        """
        client = self._clients["lambda"]
        found = self._wait_until_settled()
        self._set_tags(want)
        if found["CodeSha256"] != want.digest or found.get("Architectures", ["x86_64"]) != [
            want.architecture
        ]:
            code = {"ZipFile": self._code(), "Architectures": [want.architecture]}
            client.update_function_code(FunctionName=want.name, **code)
            client.get_waiter("function_updated_v2").wait(FunctionName=want.name)
        retry(
            lambda: client.update_function_configuration(**self._configuration(want)),
            timeout_s=_ROLE_TIMEOUT_S,
            is_transient=_is_new_role,
        )
        client.get_waiter("function_updated_v2").wait(FunctionName=want.name)
        self._set_limits(want)

    def _set_tags(self, want: Function) -> None:
        client, arn = self._clients["lambda"], self._settings.function_arn
        client.tag_resource(Resource=arn, Tags=dict(want.tags))
        if dropped := dropped_tags(self._settings):
            client.untag_resource(Resource=arn, TagKeys=dropped)

    def replace(self, want: Function) -> None:
        """Delete the function and create it again. Nothing is lost: a function holds no data."""
        self.delete(want)
        self.create(want)

    def delete(self, have: Function) -> None:
        """Delete the function."""
        with suppress_codes("ResourceNotFoundException"):
            self._wait_until_settled()
            self._clients["lambda"].delete_function(FunctionName=have.name)

    def _wait_until_settled(self) -> dict[str, Any]:
        """Return the function's configuration, once no change of an earlier run is under way any more."""
        client, name = self._clients["lambda"], self._settings.function

        def configuration() -> dict[str, Any]:
            found: dict[str, Any] = client.get_function(FunctionName=name)["Configuration"]
            return found

        return retry(configuration, timeout_s=_UPDATE_TIMEOUT_S, is_ready=_is_settled)

    def _configuration(self, want: Function) -> dict[str, Any]:
        return {
            "FunctionName": want.name,
            "Runtime": want.runtime,
            "Role": want.role,
            "Handler": want.handler,
            "MemorySize": want.memory_mb,
            "Timeout": want.timeout_s,
            "EphemeralStorage": {"Size": want.ephemeral_mb},
            "Environment": {"Variables": dict(want.environment)},
            # A later layer is laid over an earlier one: where both have a file, it is the user's.
            "Layers": [*self._layer_arns(want.layer), *want.layers],
            "VpcConfig": {
                "SubnetIds": list(want.subnets),
                "SecurityGroupIds": list(want.security_groups),
            },
        }

    def _set_limits(self, want: Function) -> None:
        """Set what holds for all versions of the function: how many run at once, and whether it may loop."""
        client = self._clients["lambda"]
        if want.may_loop:
            client.put_function_recursion_config(FunctionName=want.name, RecursiveLoop="Allow")
        if want.reserved is None:
            client.delete_function_concurrency(FunctionName=want.name)
        else:
            reserved = {"ReservedConcurrentExecutions": want.reserved}
            client.put_function_concurrency(FunctionName=want.name, **reserved)

    def _layer_arns(self, digest: str) -> list[str]:
        """Return the ARN of the newest version of the layer with these packages, in a list.

        Args:
            digest: digest of the packages; an empty text for no layer, and so an empty list.
        """
        if not digest:
            return []
        versions = _layer_versions(self._clients, self._settings.owner)
        fitting = [version for version in versions if layer_digest(version) == digest]
        if not fitting:
            raise BackendError(
                f"the layer {self._settings.owner} has no version with these packages: somebody has "
                "deleted it since this run published it. Run wrenlite-setup again"
            )
        return [max(fitting, key=_number)["LayerVersionArn"]]

    def _layer_digest(self, arn: str) -> str:
        """Return the digest of the packages in a version of the layer, else ``another``."""
        versions = _layer_versions(self._clients, self._settings.owner)
        digests = (layer_digest(version) for version in versions if version["LayerVersionArn"] == arn)
        return next(digests, "another")


def _state(found: Mapping[str, Any]) -> str:
    """Return the state of a function in a word, from Lambda's description."""
    if found.get("State") == "Failed":
        return "failed"
    return "update failed" if found.get("LastUpdateStatus") == "Failed" else "ready"


def _is_settled(found: Mapping[str, Any]) -> bool:
    return found.get("State") != "Pending" and found.get("LastUpdateStatus") != "InProgress"


def _is_new_role(error: Exception) -> bool:
    """Return whether Lambda refuses a role only because it, or what it may do, is too new."""
    message = errors.code_and_message(error)[1]
    signs = ("cannot be assumed", "invalid for CreateGrant", "permissions to call CreateNetworkInterface")
    return any(sign in message for sign in signs)
