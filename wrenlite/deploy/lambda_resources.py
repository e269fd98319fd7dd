"""The function, and the layer with the packages that its tasks import.

Waiting is by AWS's own waiters, and by asking again with growing pauses where IAM takes its time to let the
world know of a role.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from wrenlite.backends.aws import errors
from wrenlite.deploy.clients import Clients, absent, patiently
from wrenlite.deploy.plan import Found
from wrenlite.deploy.resources import TAG, Function, Layer, Settings
from wrenlite.errors import BackendError

_ROLE_S = 120.0
"""Seconds that a new role may take until Lambda can assume it."""
_SETTLES_S = 300.0
"""Seconds that Lambda may take for what an earlier run has begun."""
_DIRECT_BYTES = 10 * 2**20
"""What goes to Lambda without the way by S3. It takes 50 MB, in one request with a third more in base64."""


class Layers:
    """The packages. A layer has no tags: its description says whose it is, and its digest."""

    def __init__(self, clients: Clients, settings: Settings, content: Callable[[], bytes]) -> None:
        """Args:
        clients: to AWS.
        settings: of the deployment.
        content: gives the zip, when it has to be uploaded.
        """
        self._clients = clients
        self._settings = settings
        self._content = content

    def observe(self) -> Found | None:
        """The newest version."""
        versions = self._versions()
        if not versions:
            return None
        newest = max(versions, key=lambda version: int(version["Version"]))
        runtime = next(iter(newest.get("CompatibleRuntimes", ())), "")
        architecture = next(iter(newest.get("CompatibleArchitectures", ())), self._settings.architecture)
        digest, arn = _digest(newest), newest["LayerVersionArn"]
        older = sum(version is not newest and bool(_digest(version)) for version in versions)
        found = Layer(self._settings.function, digest, runtime, architecture, arn=arn, older=older)
        return Found(found, bool(digest))

    def create(self, want: Layer) -> None:
        """Publish a version, by way of the bucket where it is large."""
        content = self._content()
        where: dict[str, Any] = {"ZipFile": content}
        place = {
            "Bucket": self._settings.bucket,
            "Key": f"{self._settings.prefix}/layers/{want.digest}.zip",
            "ExpectedBucketOwner": self._settings.account,
        }
        if len(content) > _DIRECT_BYTES:
            self._clients["s3"].put_object(**place, Body=content)
            where = {"S3Bucket": place["Bucket"], "S3Key": place["Key"]}
        self._clients["lambda"].publish_layer_version(
            LayerName=want.name,
            Description=f"{TAG} {want.digest}",
            Content=where,
            CompatibleRuntimes=[want.runtime],
            CompatibleArchitectures=[want.architecture],
        )
        if "S3Key" in where:
            self._clients["s3"].delete_object(**place)

    def update(self, want: Layer) -> None:
        """Publish the version where it is not there yet, and delete the others: what runs has its copy."""
        newest = self.observe()
        if newest is None or newest.resource != replace(want, older=getattr(newest.resource, "older", 0)):
            self.create(want)
        self._delete(sorted(self._versions(), key=lambda version: int(version["Version"]))[:-1])

    def delete(self, have: Layer) -> None:
        """Delete all versions."""
        self._delete(self._versions())

    def _versions(self) -> list[dict[str, Any]]:
        return _versions(self._clients, self._settings.function)

    def _delete(self, versions: Iterable[dict[str, Any]]) -> None:
        for version in versions:
            if _digest(version):
                with absent("ResourceNotFoundException"):
                    self._clients["lambda"].delete_layer_version(
                        LayerName=self._settings.function, VersionNumber=version["Version"]
                    )


def _versions(clients: Clients, name: str) -> list[dict[str, Any]]:
    """All versions of a layer."""
    with absent("ResourceNotFoundException"):
        pages = clients["lambda"].get_paginator("list_layer_versions").paginate(LayerName=name)
        return [version for page in pages for version in page["LayerVersions"]]
    return []


def _digest(version: Mapping[str, Any]) -> str:
    """What a version of the layer was made of; nothing where it is not wrenlite's."""
    words = version.get("Description", "").split()
    return str(words[1]) if len(words) == 2 and words[0] == TAG else ""


class Functions:
    """The function that runs everything."""

    def __init__(self, clients: Clients, settings: Settings, code: Callable[[], bytes]) -> None:
        """Args:
        clients: to AWS.
        settings: of the deployment.
        code: gives the zip.
        """
        self._clients = clients
        self._settings = settings
        self._code = code

    def observe(self) -> Found | None:
        """What is there."""
        client, name = self._clients["lambda"], self._settings.function
        with absent("ResourceNotFoundException"):
            answer = client.get_function(FunctionName=name)
            found, tags = answer["Configuration"], answer.get("Tags", {})
            if "TagsError" in answer:  # then nobody knows whose it is
                raise errors.denied("lambda:ListTags", found["FunctionArn"])
            layers = [layer["Arn"] for layer in found.get("Layers", ())]
            function = Function(
                name=name,
                digest=found["CodeSha256"],
                runtime=found.get("Runtime", ""),  # one that is an image has none
                architecture=found.get("Architectures", ["x86_64"])[0],
                handler=found.get("Handler", ""),
                memory_mb=found["MemorySize"],
                timeout_s=found["Timeout"],
                ephemeral_mb=found.get("EphemeralStorage", {}).get("Size", 512),
                reserved=answer.get("Concurrency", {}).get("ReservedConcurrentExecutions"),
                environment=tuple(sorted(found.get("Environment", {}).get("Variables", {}).items())),
                role=found["Role"],
                layer=self._layer_digest(layers[0]) if layers else "",
                state=_state(found),
            )
            return Found(function, tags.get(TAG) == name)
        return None

    def create(self, want: Function) -> None:
        """Make it, and wait until it can be invoked."""
        client = self._clients["lambda"]

        def call() -> None:
            client.create_function(
                **self._configuration(want),
                Code={"ZipFile": self._code()},
                Architectures=[want.architecture],
                Tags={TAG: want.name},
            )

        patiently(call, _role_is_new, _ROLE_S)
        client.get_waiter("function_active_v2").wait(FunctionName=want.name)
        self._reserve(want)

    def update(self, want: Function) -> None:
        """Set code and configuration, one after the other, each until it holds."""
        client = self._clients["lambda"]
        found = self._settled()
        if found["CodeSha256"] != want.digest or found.get("Architectures", ["x86_64"]) != [
            want.architecture
        ]:
            code = {"ZipFile": self._code(), "Architectures": [want.architecture]}
            client.update_function_code(FunctionName=want.name, **code)
            client.get_waiter("function_updated_v2").wait(FunctionName=want.name)
        patiently(
            lambda: client.update_function_configuration(**self._configuration(want)), _role_is_new, _ROLE_S
        )
        client.get_waiter("function_updated_v2").wait(FunctionName=want.name)
        self._reserve(want)

    def replace(self, want: Function) -> None:
        """Make it anew: it holds nothing that would be lost."""
        self.delete(want)
        self.create(want)

    def delete(self, have: Function) -> None:
        """Delete it."""
        with absent("ResourceNotFoundException"):
            self._settled()
            self._clients["lambda"].delete_function(FunctionName=have.name)

    def _settled(self) -> dict[str, Any]:
        """Its configuration, once nothing of an earlier run is under way any more."""
        pause, end = 0.5, time.monotonic() + _SETTLES_S
        while True:
            answer = self._clients["lambda"].get_function(FunctionName=self._settings.function)
            found: dict[str, Any] = answer["Configuration"]
            busy = found.get("State") == "Pending" or found.get("LastUpdateStatus") == "InProgress"
            if not busy or time.monotonic() > end:
                return found
            time.sleep(pause)
            pause = min(2 * pause, 8.0)

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
            "Layers": self._layer_arns(want.layer),
        }

    def _reserve(self, want: Function) -> None:
        client = self._clients["lambda"]
        if want.reserved is None:
            client.delete_function_concurrency(FunctionName=want.name)
        else:
            reserved = {"ReservedConcurrentExecutions": want.reserved}
            client.put_function_concurrency(FunctionName=want.name, **reserved)

    def _layer_arns(self, digest: str) -> list[str]:
        versions = _versions(self._clients, self._settings.function)
        fits = [version for version in versions if digest and _digest(version) == digest]
        if digest and not fits:
            raise BackendError(
                f"the layer {self._settings.function} has no version with these packages any more: somebody "
                "has deleted it meanwhile. wrenlite-setup makes it again"
            )
        return [max(fits, key=lambda one: int(one["Version"]))["LayerVersionArn"]] if digest else []

    def _layer_digest(self, arn: str) -> str:
        versions = _versions(self._clients, self._settings.function)
        return next((_digest(one) for one in versions if one["LayerVersionArn"] == arn), "another")


def _state(found: Mapping[str, Any]) -> str:
    """In a word, from what Lambda says."""
    if found.get("State") == "Failed":
        return "failed"
    return "update failed" if found.get("LastUpdateStatus") == "Failed" else "ready"


def _role_is_new(code: str, said: str) -> bool:
    """Whether Lambda only has not heard of a new role yet."""
    return "cannot be assumed" in said or "invalid for CreateGrant" in said
