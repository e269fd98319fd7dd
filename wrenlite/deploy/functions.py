"""The function, and the layer with the packages that its tasks import.

Waiting is by AWS's own waiters, and by asking again with growing pauses where IAM takes its time to let the
world know of a role.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from wrenlite.deploy.clients import Clients, absent
from wrenlite.deploy.plan import Found
from wrenlite.deploy.resources import TAG, Function, Layer, Settings

_ROLE_S = 60.0
"""Seconds that a new role may take until Lambda can assume it."""
_DIRECT_BYTES = 50 * 2**20
"""What Lambda takes without the way by S3."""


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
        name = self._settings.function
        versions = self._clients["lambda"].list_layer_versions(LayerName=name)["LayerVersions"]
        if not versions:
            return None
        newest = max(versions, key=lambda version: int(version["Version"]))
        words = newest.get("Description", "").split()
        ours = len(words) == 2 and words[0] == TAG
        runtime = next(iter(newest.get("CompatibleRuntimes", ())), "")
        architecture = next(iter(newest.get("CompatibleArchitectures", ())), self._settings.architecture)
        digest = words[1] if ours else ""
        return Found(Layer(name, digest, runtime, architecture, newest["LayerVersionArn"]), ours)

    def create(self, want: Layer) -> None:
        """Publish a version, by way of the bucket where it is large."""
        content = self._content()
        where: dict[str, Any] = {"ZipFile": content}
        key = f"{self._settings.prefix}/layers/{want.digest}.zip"
        if len(content) > _DIRECT_BYTES:
            self._clients["s3"].put_object(Bucket=self._settings.bucket, Key=key, Body=content)
            where = {"S3Bucket": self._settings.bucket, "S3Key": key}
        self._clients["lambda"].publish_layer_version(
            LayerName=want.name,
            Description=f"{TAG} {want.digest}",
            Content=where,
            CompatibleRuntimes=[want.runtime],
            CompatibleArchitectures=[want.architecture],
        )
        if "S3Key" in where:
            self._clients["s3"].delete_object(Bucket=self._settings.bucket, Key=key)

    def update(self, want: Layer) -> None:
        """Publish the new version, and delete the old ones: what runs has its copy."""
        client = self._clients["lambda"]
        old = client.list_layer_versions(LayerName=want.name)["LayerVersions"]
        self.create(want)
        for version in old:
            client.delete_layer_version(LayerName=want.name, VersionNumber=version["Version"])

    def delete(self, have: Layer) -> None:
        """Delete all versions."""
        client = self._clients["lambda"]
        for version in client.list_layer_versions(LayerName=have.name)["LayerVersions"]:
            client.delete_layer_version(LayerName=have.name, VersionNumber=version["Version"])


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
            layers = [layer["Arn"] for layer in found.get("Layers", ())]
            role = found["Role"] if self._settings.role_arn else found["Role"].rpartition("/")[2]
            function = Function(
                name=name,
                digest=found["CodeSha256"],
                runtime=found["Runtime"],
                architecture=found.get("Architectures", ["x86_64"])[0],
                handler=found["Handler"],
                memory_mb=found["MemorySize"],
                timeout_s=found["Timeout"],
                ephemeral_mb=found.get("EphemeralStorage", {}).get("Size", 512),
                reserved=answer.get("Concurrency", {}).get("ReservedConcurrentExecutions"),
                environment=tuple(sorted(found.get("Environment", {}).get("Variables", {}).items())),
                role=role,
                layer=self._layer_digest(layers[0]) if layers else "",
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

        _once_the_role_is_known(call)
        client.get_waiter("function_active_v2").wait(FunctionName=want.name)
        self._reserve(want)

    def update(self, want: Function) -> None:
        """Set code and configuration, one after the other, each until it holds."""
        client = self._clients["lambda"]
        code = {"ZipFile": self._code(), "Architectures": [want.architecture]}
        client.update_function_code(FunctionName=want.name, **code)
        client.get_waiter("function_updated_v2").wait(FunctionName=want.name)
        _once_the_role_is_known(lambda: client.update_function_configuration(**self._configuration(want)))
        client.get_waiter("function_updated_v2").wait(FunctionName=want.name)
        self._reserve(want)

    def delete(self, have: Function) -> None:
        """Delete it."""
        self._clients["lambda"].delete_function(FunctionName=have.name)

    def _configuration(self, want: Function) -> dict[str, Any]:
        role = want.role
        if not role.startswith("arn:"):
            role = f"arn:{self._settings.partition}:iam::{self._settings.account}:role/{role}"
        return {
            "FunctionName": want.name,
            "Runtime": want.runtime,
            "Role": role,
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

    def _versions(self) -> Mapping[str, str]:
        """ARNs of the layer's versions by their digest."""
        versions = self._clients["lambda"].list_layer_versions(LayerName=self._settings.function)
        return {
            version.get("Description", "").rpartition(" ")[2]: version["LayerVersionArn"]
            for version in versions["LayerVersions"]
        }

    def _layer_arns(self, digest: str) -> list[str]:
        return [self._versions()[digest]] if digest else []

    def _layer_digest(self, arn: str) -> str:
        return next((digest for digest, there in self._versions().items() if there == arn), "another")


def _once_the_role_is_known(call: Callable[[], object]) -> None:
    """Call Lambda, again with growing pauses while IAM has not yet told it of a new role."""
    from botocore.exceptions import ClientError

    pause, end = 0.5, time.monotonic() + _ROLE_S
    while True:
        try:
            call()
            return
        except ClientError as error:
            unknown = "cannot be assumed" in error.response["Error"]["Message"]
            if not unknown or time.monotonic() + pause > end:
                raise
        time.sleep(pause)
        pause = min(2 * pause, 8.0)
