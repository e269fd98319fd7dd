"""Corrections of moto where its versions of functions and layers differ from those of AWS.

On AWS the number of a version is never used again, a version to which an alias points cannot be deleted, a
function keeps its copy of a layer whose version is deleted, and each change of a function gives it another
revision, which ``PublishVersion`` compares with the one that it is sent.
"""

import copy
import hashlib
import json
from typing import Any

from moto.awslambda.exceptions import UnknownFunctionException
from moto.awslambda.models import LambdaBackend, LambdaFunction, LambdaStorage, LayerStorage, LayerVersion
from moto.backends import get_backend
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.exceptions import JsonRESTError

_deleted_layers: dict[str, LayerVersion] = {}
_numbers: dict[str, int] = {}
"""The highest number of a version that a function of this ARN ever had."""


class _ConflictError(JsonRESTError):
    code = 409

    def __init__(self, message: str) -> None:
        super().__init__("ResourceConflictException", message)


def correct_versions() -> None:
    """Make moto treat versions as AWS does."""
    LambdaStorage.publish_version = _publish_version
    LambdaFunction.get_configuration = _with_revision(LambdaFunction.get_configuration)
    LambdaBackend.delete_function = _unless_referenced(LambdaBackend.delete_function)
    LayerStorage.delete_layer_version = _keeping_a_copy(LayerStorage.delete_layer_version)


def check_revision(name: str, region: str, expected: str | None) -> str:
    """Return why a function cannot be published as a version; an empty text where it can be.

    Args:
        name: name of the function.
        region: its region.
        expected: the revision that it must have; None: any.
    """
    try:
        function = get_backend("lambda")[DEFAULT_ACCOUNT_ID][region].get_function(name)
    except UnknownFunctionException:
        return ""  # moto says so
    if expected in (None, function.get_configuration()["RevisionId"]):
        return ""
    return "The RevisionId provided does not match the latest RevisionId"


def layer_version(arn: str, region: str) -> LayerVersion:
    """Return a version of a layer, also one that was deleted."""
    found = get_backend("lambda")[DEFAULT_ACCOUNT_ID][region].layers_versions_by_arn(arn)
    return found or _deleted_layers[arn]


def _publish_version(self, name_or_arn: str, description: str = "") -> LambdaFunction:
    latest = self.get_function_by_name_or_arn_forbid_qualifier(name_or_arn)
    versions = self._functions[latest.function_name]["versions"]
    if versions and not latest.code_or_config_updated:
        return versions[-1]
    latest.code_or_config_updated = False
    arn = latest.function_arn
    _numbers[arn] = _numbers.get(arn, 0) + 1
    published = copy.copy(latest)
    published.set_version(_numbers[arn])
    published.description = description or latest.description
    versions.append(published)
    self._arns[published.function_arn] = published
    return published


def _with_revision(original):
    def get_configuration(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        found = original(self, *arguments, **options)
        content = json.dumps([found, self.tags], sort_keys=True, default=str)
        return {**found, "RevisionId": hashlib.sha256(content.encode()).hexdigest()[:32]}

    return get_configuration


def _unless_referenced(original):
    def delete_function(self, function_name: str, qualifier: str | None = None) -> None:
        if qualifier is None:
            _numbers.pop(self.get_function(function_name).function_arn, None)
        else:
            aliases = self.list_aliases(function_name)
            referring = [alias.name for alias in aliases if alias.function_version == qualifier]
            if referring:
                raise _ConflictError(f"Unable to delete version because aliases refer to it: {referring}")
        original(self, function_name, qualifier)

    return delete_function


def _keeping_a_copy(original):
    def delete_layer_version(self, layer_name: str, layer_version: str) -> None:
        for version in self.get_layer_versions(layer_name):
            if str(version.version) == str(layer_version):
                _deleted_layers[version.arn] = version
        original(self, layer_name, layer_version)

    return delete_layer_version
