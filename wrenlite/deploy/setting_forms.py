"""The forms of settings that name things of AWS: tags, ARNs and paths. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from wrenlite.deploy.resources import TAG
from wrenlite.errors import ConfigError

_MOST_TAGS = 49
"""Tags at most: AWS takes 50 for a resource, and one of them is wrenlite's own."""
_KEY_CHARACTERS = 128
_VALUE_CHARACTERS = 256
_TAG_SIGNS = "_.:/=+-@"
_PATH_CHARACTERS = 512
_BOUNDARY = re.compile(r"arn:aws[\w-]*:iam::(\d{12}|aws):policy/[\w+=,.@/-]+", re.ASCII)
_PATH = re.compile(r"/([\w+=,.@-]+/)*", re.ASCII)
_LAYER = re.compile(r"arn:aws[\w-]*:lambda:([\w-]+):\d{12}:layer:[\w-]+:\d+", re.ASCII)
_MOST_LAYERS = 5
"""Layers that a function of Lambda may have."""
_MOST_SUBNETS, _MOST_GROUPS = 16, 5
ALARM_KINDS = ("throttles", "dollars")
UNKNOWN_ACCOUNT = "0" * 12
"""An account id that stands for one that is not known yet."""


def split_tag(text: str) -> tuple[str, str]:
    """Return the key and the value of a tag from its text, such as ``team=geo``."""
    key, _, value = text.partition("=")
    return key, value


def check_tags(tags: Sequence[str]) -> None:
    """Check tags that a user has chosen.

    Args:
        tags: texts such as ``team=geo``.

    Raises:
        ConfigError: AWS would refuse one of them, or it is wrenlite's own.
    """
    if len(tags) > _MOST_TAGS:
        raise ConfigError(
            f"--tag: must be {_MOST_TAGS} tags at most, beside wrenlite's own; {len(tags)} are given"
        )
    for tag in tags:
        if problem := _tag_problem(tag):
            raise ConfigError(f"--tag {tag!r:.200}: must be KEY=VALUE, such as team=geo: {problem}")
    keys = [split_tag(tag)[0].casefold() for tag in tags]  # IAM does not tell team and Team apart
    for tag, key in zip(tags, keys, strict=True):
        if keys.count(key) > 1:
            raise ConfigError(f"--tag {tag!r}: this key is given twice. Give each key once")


def _tag_problem(tag: str) -> str:
    """Return what is wrong with a tag; an empty text where it is valid."""
    key, value = split_tag(tag)
    wrong = sorted({sign for sign in tag if not _may_be_in_tag(sign)})
    if "=" not in tag or not key.strip():
        return "the key or the sign = is missing"
    if key.casefold().startswith("aws:"):
        return "AWS keeps keys that begin with aws: to itself"
    if key.casefold() == TAG:
        return f"the key {TAG} is wrenlite's own, which marks what belongs to a function"
    if len(key) > _KEY_CHARACTERS or len(value) > _VALUE_CHARACTERS:
        return f"a key has {_KEY_CHARACTERS} characters at most, and a value {_VALUE_CHARACTERS}"
    return f"AWS takes letters, digits, spaces and {_TAG_SIGNS}, and not {' '.join(wrong)}" if wrong else ""


def _may_be_in_tag(sign: str) -> bool:
    return sign in _TAG_SIGNS or unicodedata.category(sign)[0] in "LNZ"


def check_role_path(path: str) -> None:
    """Check the path of a role.

    Raises:
        ConfigError: IAM or Lambda would refuse it.
    """
    if not _PATH.fullmatch(path) or len(path) > _PATH_CHARACTERS:
        raise ConfigError(
            f"--role-path {path!r:.200}: must begin and end with /, such as /teams/geo/, with letters, "
            f"digits and +=,.@-_ between; {_PATH_CHARACTERS} characters at most"
        )


def check_network(subnets: Sequence[str], groups: Sequence[str]) -> None:
    """Check the ids of subnets and security groups.

    Args:
        subnets: ids of subnets.
        groups: ids of security groups.

    Raises:
        ConfigError: one is not an id, or there are subnets without security groups or the reverse.
    """
    given = (
        ("--vpc-subnets", subnets, "subnet", _MOST_SUBNETS),
        ("--security-groups", groups, "sg", _MOST_GROUPS),
    )
    for option, ids, word, most in given:
        for each in ids:
            if not re.fullmatch(rf"{word}-([0-9a-f]{{8}}|[0-9a-f]{{17}})", each):
                raise ConfigError(f"{option} {each!r:.80}: must be an id, such as {word}-0123456789abcdef0")
        if len(ids) > most:
            raise ConfigError(f"{option}: must be {most} at most, and {len(ids)} are given")
    if bool(subnets) != bool(groups):
        missing = "--security-groups" if subnets else "--vpc-subnets"
        raise ConfigError(f"{missing} is missing: a function in a VPC has both subnets and security groups")


def check_layers(layers: Sequence[str], region: str, own: str, *, with_packages: bool) -> None:
    """Check the ARNs of layers of the user's.

    Args:
        layers: the ARNs.
        region: the region of the function; empty where it is not known yet.
        own: ARN of the layer that wrenlite makes.
        with_packages: whether there is one.

    Raises:
        ConfigError: one is not the ARN of a version of a layer there, or there are too many.
    """
    for layer in layers:
        found = _LAYER.fullmatch(layer)
        if found is None:
            raise ConfigError(
                f"--layer {layer!r:.200}: must be the ARN of a version of a layer, such as "
                "arn:aws:lambda:eu-west-1:123456789012:layer:mine:3"
            )
        if region and found[1] != region:
            raise ConfigError(f"--layer {layer}: must be in the region of the function, {region}")
        if layer.startswith(f"{own}:"):
            raise ConfigError(f"--layer {layer}: must be another layer than that which wrenlite makes")
    most = _MOST_LAYERS - with_packages if region else _MOST_LAYERS
    if len(layers) > most or len(set(layers)) < len(layers):
        beside = (
            f" beside that with the packages, and {most + 1} with --package none" if with_packages else ""
        )
        raise ConfigError(f"--layer: must be {most} at most{beside}; and each is given once")


def check_boundary(arn: str | None, account: str) -> None:
    """Check the ARN of a permissions boundary.

    Args:
        arn: the ARN; empty or None: there is nothing to check.
        account: id of the account that deploys.

    Raises:
        ConfigError: it is not the ARN of a policy, or that policy belongs to another account.
    """
    found = _BOUNDARY.fullmatch(arn) if arn else None
    if arn and found is None:
        raise ConfigError(
            f"--permissions-boundary {arn!r:.200}: must be a policy's ARN, such as "
            f"arn:aws:iam::123456789012:policy/boundary"
        )
    if found and account != UNKNOWN_ACCOUNT and found[1] not in ("aws", account):
        raise ConfigError(
            f"--permissions-boundary: the policy {arn} belongs to another account than {account}"
        )


def check_alarms(alarms: Sequence[str], topic: str | None) -> None:
    """Check what alarms were asked for.

    Args:
        alarms: such as ``throttles=100`` and ``dollars=5``.
        topic: ARN of the topic of SNS that is told.

    Raises:
        ConfigError: one of them is not valid.
    """
    kinds = [split_alarm(alarm)[0] for alarm in alarms]
    if len({*kinds}) < len(kinds):
        raise ConfigError(f"--alarm: one of each kind, and not {' '.join(alarms)}")
    if topic and not re.fullmatch(r"arn:aws[\w-]*:sns:[\w-]+:\d{12}:[\w-]{1,256}", topic):
        raise ConfigError(
            f"--alarm-topic {topic!r:.200}: must be the ARN of a topic, such as "
            "arn:aws:sns:eu-west-1:123456789012:mine"
        )
    if topic and not alarms:
        raise ConfigError("--alarm-topic: there is no --alarm that could tell it something")


def split_alarm(alarm: str) -> tuple[str, float]:
    """Return the kind of an alarm and its threshold."""
    kind, _, text = alarm.partition("=")
    try:
        threshold = float(text)
    except ValueError:
        threshold = float("nan")
    if kind not in ALARM_KINDS or not 0 < threshold < 1e9:
        raise ConfigError(
            f"--alarm {alarm!r:.80}: must be throttles=N, the refused requests in 5 minutes, or dollars=N, "
            "the estimated dollars in an hour, with a number above 0"
        )
    return kind, threshold
