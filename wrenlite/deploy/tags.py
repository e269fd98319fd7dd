"""The tags by which wrenlite knows its own resources. Pure.

Everything that wrenlite makes carries a tag whose key is ``TAG`` and whose value is the function's name. A
version of a layer cannot carry tags: its description holds the same key, and the digest of its packages. So
do the descriptions of the function's versions and aliases, with the alias that is named after a digest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from wrenlite.deploy.resources import TAG, Tags
from wrenlite.deploy.setting_forms import split_tag
from wrenlite.deploy.settings import Settings


def is_ours(tags: Mapping[str, str], function: str) -> bool:
    """Return whether a resource belongs to the deployment of a function, and so may be changed and deleted.

    Args:
        tags: the tags of the resource.
        function: name of the function.
    """
    return tags.get(TAG) == function


def tags_of(settings: Settings) -> Tags:
    """Return the tags of all resources of a deployment: wrenlite's own, and those that the user chose."""
    return tuple(sorted({**dict(map(split_tag, settings.tags)), TAG: settings.owner}.items()))


def chosen_tags(found: Mapping[str, str], settings: Settings) -> Tags:
    """Return the tags of a resource that the deployment sets, or has set until now.

    Tags that somebody else has given to it are not wrenlite's to change.

    Args:
        found: the tags of the resource.
        settings: settings of the deployment.
    """
    keys = {*dict(tags_of(settings)), *dict(map(split_tag, settings.earlier_tags))}
    return tuple(sorted((key, value) for key, value in found.items() if key in keys))


def dropped_tags(settings: Settings) -> list[str]:
    """Return the keys of tags that a deployment has until now, and shall not have any more."""
    return sorted({key for key, _ in map(split_tag, settings.earlier_tags)} - dict(tags_of(settings)).keys())


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Return tags as S3 and IAM take them: a list of keys and values."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def from_tag_list(listed: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return tags from the list of keys and values that S3 and IAM give."""
    return {tag["Key"]: tag["Value"] for tag in listed}


def layer_description(digest: str) -> str:
    """Return the description of a version of a layer that wrenlite makes.

    Args:
        digest: digest of its packages.
    """
    return f"{TAG} {digest}"


def layer_digest(version: Mapping[str, str]) -> str:
    """Return the digest of the packages in a version of a layer; an empty text where it is not wrenlite's.

    Args:
        version: Lambda's description of the version.
    """
    words = version.get("Description", "").split()
    return words[1] if len(words) == 2 and words[0] == TAG else ""


def version_description(alias: str) -> str:
    """Return the description of a version of the function, and of the aliases that name it.

    Args:
        alias: the alias that is named after the version's digest.
    """
    return f"{TAG} {alias}"


def is_described_as_ours(described: Mapping[str, str]) -> bool:
    """Return whether wrenlite has made a version of the function, or an alias.

    Args:
        described: Lambda's description of it.
    """
    return described.get("Description", "").startswith(f"{TAG} ")
