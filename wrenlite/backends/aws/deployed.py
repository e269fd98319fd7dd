"""What a client reads of a deployment: the alias that it uses, and the packages that its function records."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from wrenlite.backends.packages import RemotePackages, normalised

CURRENT_ALIAS = "current"
"""Alias of the published version of the function that new executors use."""
RECORDED_VARIABLE = "WRENLITE_SETUP"
"""Environment variable of the function that holds, as JSON, what cannot be read from the function itself."""
_DRIVER_SUFFIX = "-driver"
PING = {"wrenlite": "ping"}
"""An event that asks the driver whether it works."""
_OF_THE_RUNTIME = frozenset(
    {"boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "simplejson", "six", "urllib3"}
)
"""Packages that Lambda's own runtime for Python has."""
_OF_THE_FUNCTION = frozenset({"cloudpickle", "wrenlite"})
"""Packages in the zip of the function."""
BASE_PACKAGES = ("numpy", "pillow")
"""Packages that are in a layer beside those that the user names: ``wrenlite demo`` imports them. They are
small. cloudpickle is in the function's own zip."""


class RecordedLayer(NamedTuple):
    """The layer of a deployment, as its function records it."""

    named: tuple[str, ...]
    """The packages as the user named them."""
    versions: tuple[str, ...]
    """The packages and all that they need, with exact versions, such as ``numpy==2.2.6``."""
    request: str
    """Digest of the request that the versions were resolved from."""
    archives: tuple[str, ...] = ()
    """Digests of the archives of those packages that do not fit into the layer."""
    unpacked_mb: int = 0
    """The ephemeral storage that those take."""


def recorded_layer(environment: Mapping[str, str]) -> RecordedLayer | None:
    """Return the layer that a function records; None where it records none that wrenlite knows.

    Args:
        environment: the variables of the function.
    """
    try:
        record = dict(json.loads(environment.get(RECORDED_VARIABLE, "{}")))
        named = tuple(record["packages"])
        # A function without a list of versions has an unknown layer, unless it is known to have none.
        versions = record["layer"] if named else ()
    except (ValueError, TypeError, KeyError):  # somebody has edited the variable
        return None
    unpacked_mb = next(iter(record.get("unpacked_mb", ())), 0)
    archives = tuple(record.get("archives", ()))
    return RecordedLayer(named, tuple(versions), record.get("request", ""), archives, unpacked_mb)


def driver_name(function: str) -> str:
    """Return the name of the driver of a function, which runs its detached jobs.

    Args:
        function: name or ARN of the function, without a version.
    """
    return function + _DRIVER_SUFFIX


def recorded_driver(environment: Mapping[str, str]) -> str:
    """Return the alias of the version of the driver that belongs to this version; empty: there is none.

    Args:
        environment: the variables of the function.
    """
    try:
        return str(next(iter(json.loads(environment.get(RECORDED_VARIABLE, "{}")).get("driver", ())), ""))
    except (ValueError, TypeError, AttributeError):  # somebody has edited the variable
        return ""


def recorded_archives(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the digests of the archives that a function needs.

    Args:
        environment: its variables.
    """
    layer = recorded_layer(environment)
    return () if layer is None else layer.archives


def remote_packages(
    function: str, environment: Mapping[str, str], layers: int | None = None
) -> RemotePackages | None:
    """Return the packages that tasks find on Lambda; None where that is not known.

    Args:
        function: name of the function.
        environment: its variables.
        layers: number of its layers; None: it has no others than wrenlite's.
    """
    layer = recorded_layer(environment)
    if layer is None:
        return None
    named = {_split(text)[0]: text for text in layer.named}
    command = "wrenlite-setup" if function == "wrenlite" else f"wrenlite-setup --function {function}"
    left_out = [name for name in BASE_PACKAGES if name not in named]
    options = [f"--package {_quoted(text)}" for text in layer.named if text not in BASE_PACKAGES]
    options += [f"--without {name}" for name in left_out]
    always = _OF_THE_RUNTIME | _OF_THE_FUNCTION
    return RemotePackages(
        versions_by_name(layer.versions),
        always,
        " ".join([command, *options]),
        complete=layers is None or layers <= bool(layer.versions),
    )


def versions_by_name(requirements: Iterable[str]) -> dict[str, str]:
    """Return the exact versions in requirements by normalised name; an empty text where there is none."""
    return dict(map(_split, requirements))


def _split(requirement: str) -> tuple[str, str]:
    """Return the normalised name and the version, or what stands for it, of a requirement."""
    end = next((at for at, sign in enumerate(requirement) if sign in " <>=!~;@["), len(requirement))
    return normalised(requirement[:end]), requirement.rpartition("==")[2] if "==" in requirement else ""


def _quoted(text: str) -> str:
    import shlex

    return shlex.quote(text)
