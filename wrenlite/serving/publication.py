"""What is published, and what triggers it: records, and the texts that people write for them. Pure."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from wrenlite.config import is_bucket_name
from wrenlite.errors import ConfigError
from wrenlite.storage.base import wrong_key

VARIABLE = "WRENLITE_PUBLISHED"
"""Environment variable of the function of a published job that holds the record, as JSON."""
_NAME = r"[a-z0-9]([a-z0-9-]{0,22}[a-z0-9])?"
_ID_DIGITS = 12
_LONGEST_NAME = 64
"""Of functions and roles."""
_UNIT_S = {"minute": 60, "hour": 3600, "day": 86_400}
_RATES = '"15 minutes", "1 hour", "1 day", or AWS\'s cron(0 3 * * ? *) for 03:00 UTC each day'


class Objects(NamedTuple):
    """Each object that is written to a bucket, or each file in a folder, where its key fits."""

    bucket: str
    """Name of the bucket; absolute path of the folder."""
    prefix: str = ""
    """How the key begins, or the path of the file in the folder."""
    suffix: str = ""
    """How the key ends."""

    @property
    def is_local(self) -> bool:
        """Whether these are files in a folder of this machine."""
        return os.path.isabs(self.bucket)

    def fits(self, key: str) -> bool:
        """Return whether an object of this key, or a file of this path in the folder, is one of them."""
        long_enough = len(key) >= len(self.prefix) + len(self.suffix)
        return long_enough and key.startswith(self.prefix) and key.endswith(self.suffix)

    def __str__(self) -> str:
        star = "*" if self.suffix or not self.prefix.endswith("/") else ""
        keys = f"{self.prefix}{star}{self.suffix}"
        return os.path.join(self.bucket, keys) if self.is_local else f"s3://{self.bucket}/{keys}"


class Http(NamedTuple):
    """Each request to an address."""

    public: bool = False
    """Whether anybody may send one, in place of those whom IAM allows it."""

    def __str__(self) -> str:
        return "public HTTP" if self.public else "HTTP"


class Every(NamedTuple):
    """Times of a schedule."""

    expression: str
    """As EventBridge has it: ``rate(1 day)``, or ``cron(0 3 * * ? *)``."""

    @property
    def seconds(self) -> float | None:
        """Seconds between two of the times; None: the schedule is a ``cron`` expression."""
        found = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", self.expression)
        return float(found[1]) * _UNIT_S[found[2]] if found else None

    def __str__(self) -> str:
        return self.expression


Trigger = Objects | Http | Every
_KINDS: Mapping[str, type[Objects] | type[Http] | type[Every]] = {
    "objects": Objects,
    "http": Http,
    "every": Every,
}


class Publication(NamedTuple):
    """A published job."""

    name: str
    """What identifies it in its deployment."""
    on: Trigger
    """What starts it."""
    target: str
    """``module:function``, for people."""
    function: str
    """SHA-256 of the pickled function, hexadecimal."""
    modules: str
    """The same of the zip of the user's local modules; empty: there are none."""
    outputs: str
    """Address below which each start has a folder for what it leaves behind, which its id names."""
    at_once: int = 0
    """How many starts run at once on AWS: see ``queue``. 0: any number."""

    def to_json(self) -> str:
        """Return this as JSON."""
        kind = next(kind for kind, record in _KINDS.items() if type(self.on) is record)
        fields = {**self._asdict(), "on": {kind: self.on._asdict()}}
        return json.dumps(fields, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Publication:
        """Return what ``to_json`` has written.

        Raises:
            ConfigError: it has not written this text, or that of another version of wrenlite did.
        """
        try:
            fields = json.loads(text)
            [(kind, parts)] = fields["on"].items()
            on: Any = _KINDS[kind](**parts)
            return cls(**{**fields, "on": on})
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ConfigError(
                f"the record of a published job cannot be read: {text!r:.200}. Publish it again with this "
                "version of wrenlite"
            ) from None

    def code_key(self, digest: str) -> str:
        """Return where code of this job is in the store of the deployment, where it does not expire.

        Args:
            digest: its SHA-256.
        """
        return f"{self.code_prefix}{digest}"

    @property
    def code_prefix(self) -> str:
        """How the keys of the code of this job begin, in the store of the deployment."""
        return f"published/{self.name}/"

    def start_id(self, digits: str) -> str:
        """Return the id of a start.

        Args:
            digits: 12 hexadecimal ones, or more, which are cut off.
        """
        return f"{self.name}-{digits[:_ID_DIGITS]}"

    def has_start(self, start: str) -> bool:
        """Return whether a text has the form of an id of a start of this job."""
        return re.fullmatch(rf"{re.escape(self.name)}-[0-9a-f]{{{_ID_DIGITS}}}", start) is not None


def name_in(start: str) -> str:
    """Return the name of the published job of a start.

    Args:
        start: its id.
    """
    return start.rpartition("-")[0]


def parse_objects(text: str) -> Objects:
    """Return the objects that a text such as ``s3://BUCKET/PREFIX*.csv`` or ``FOLDER/*.csv`` means.

    Raises:
        ConfigError: it means none; the message says what to write.
    """
    shape = "write s3://BUCKET/PREFIX*SUFFIX, such as s3://my-bucket/inbox/*.csv"
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise ConfigError(f"{text!r:.80} names no objects: {shape}")
    scheme, found, rest = text.strip().partition("://")
    if (found and scheme.lower() != "s3") or (text.startswith("s3:") and not found):
        raise ConfigError(f"{text!r} names no objects of a bucket: {shape}")
    _check_pattern(text, rest if found else text)
    if not found:
        return _parse_folder(text.strip())
    bucket, _, keys = rest.partition("/")
    if not is_bucket_name(bucket):
        raise ConfigError(f"{text!r}: {bucket!r} is not the name of a bucket: {shape}")
    prefix, _, suffix = keys.partition("*")
    if prefix and (wrong := wrong_key(prefix.removesuffix("/"))):
        raise ConfigError(f"{text!r}: the beginning {prefix!r} of its keys: {wrong}")
    return Objects(bucket, prefix, suffix)


def _check_pattern(text: str, pattern: str) -> None:
    if pattern.count("*") > 1 or any(sign in pattern for sign in "?[]"):
        raise ConfigError(
            f"{text!r}: objects are chosen by how their keys begin and end. Write one * between the two, and "
            "no other wildcard; a * stands for folders, too"
        )


def _parse_folder(text: str) -> Objects:
    """Return the files in a folder: ``FOLDER``, ``FOLDER/*.csv``, ``FOLDER/begin*end``."""
    folder, prefix, suffix = text, "", ""
    if "*" in text:
        before, _, suffix = text.partition("*")
        folder, prefix = os.path.split(before)
    return Objects(os.path.abspath(os.path.expanduser(folder or ".")), prefix, suffix)


def parse_every(text: str) -> Every:
    """Return the schedule that a text such as ``1 day``, ``rate(15 minutes)`` or ``cron(…)`` means.

    Raises:
        ConfigError: it means none; the message says what to write.
    """
    word = text.strip() if isinstance(text, str) else ""
    if cron := re.fullmatch(r"cron\((.*)\)", word, re.DOTALL):
        return _parse_cron(word, cron[1].split())
    rate = re.fullmatch(r"rate\((.*)\)", word, re.DOTALL)
    found = re.fullmatch(r"(?:(\d{1,6}) ?)?(minute|hour|day|week)s?", (rate[1] if rate else word).strip())
    if found is None or not int(found[1] or 1):
        five = len(word.split()) == 5 and " * " in f" {word} "
        why = "; cron of AWS has six fields, the last one of which is the year" if five else ""
        raise ConfigError(f"{text!r:.80} is not a schedule{why}: write {_RATES}")
    number, unit = int(found[1] or 1), found[2]
    if unit == "week":
        number, unit = 7 * number, "day"
    return Every(f"rate({number} {unit}{'s' * (number != 1)})")


def _parse_cron(text: str, fields: list[str]) -> Every:
    """Return the schedule of an expression, whose form is checked. AWS checks the values."""
    if len(fields) != 6 or not all(re.fullmatch(r"[\w*?,/#-]+", field, re.ASCII) for field in fields):
        raise ConfigError(
            f"{text!r:.80} is not a schedule: AWS's cron has six fields, for minutes, hours, day of the "
            f"month, month, day of the week and year. Write {_RATES}"
        )
    if [fields[2], fields[4]].count("?") != 1:
        raise ConfigError(
            f"{text!r:.80} is not a schedule: AWS's cron needs ? for the day of the month or for the day of "
            f"the week, and a value or * for the other one. Write {_RATES}"
        )
    return Every(f"cron({' '.join(fields)})")


def default_name(target: str) -> str:
    """Return the name of a published job that the user has given none.

    Args:
        target: ``module:function``.
    """
    word = re.sub(r"[^a-z0-9]+", "-", target.rpartition(":")[2].rpartition(".")[2].lower())
    return word.strip("-")[:24].strip("-") or "job"


def check_name(name: object) -> None:
    """Check the name of a published job.

    Raises:
        ConfigError: it cannot be one; the message says what can.
    """
    if not isinstance(name, str) or not re.fullmatch(_NAME, name):
        raise ConfigError(
            f"{name!r:.80} is not the name of a published job: use 1 to 24 of a-z, 0-9 and -, and no - at "
            "either end"
        )


def function_of(function: str, name: str) -> str:
    """Return the name of the Lambda function of a published job.

    Args:
        function: name of the deployment's function.
        name: of the job; empty: how the names of all of them begin.
    """
    return f"{function}-job-{name}"


def check_names(function: str, name: str, region: str) -> None:
    """Check that function and role of a published job have names that AWS takes.

    Args:
        function: name of the deployment's function.
        name: of the job.
        region: AWS region of the deployment.

    Raises:
        ConfigError: they would be too long, or the name cannot be one.
    """
    check_name(name)
    longest = f"{function_of(function, name)}-{region}"
    if (over := len(longest) - _LONGEST_NAME) > 0:
        raise ConfigError(
            f"the role {longest} would have a name of {len(longest)} characters, and AWS takes "
            f"{_LONGEST_NAME}: publish {name!r} under a name that is {over} shorter (--name)"
        )


def check_recursion(publication: Publication, store: str = "") -> None:
    """Check that what a published job leaves behind does not start it again.

    Args:
        publication: the job.
        store: address of the store of the deployment, or folder of the records, which each start writes to.

    Raises:
        ConfigError: it would. The message says what to change.
    """
    on = publication.on
    if not isinstance(on, Objects):
        return
    if on.is_local:
        if _is_in(os.path.abspath(publication.outputs), on.bucket):
            raise ConfigError(_loops(publication.name, on, publication.outputs, "another folder"))
        if store and _is_in(store, on.bucket):
            raise ConfigError(
                f"the records of starts would be written to {store}, and {on} watches that: each start would "
                "start others without end. Choose another folder for them (--state)"
            )
        return
    if _is_watched(publication.outputs, on):
        raise ConfigError(_loops(publication.name, on, publication.outputs, "another prefix or bucket"))
    if store and _is_watched(store, on):
        bucket, _, prefix = store.removeprefix("s3://").partition("/")
        if not on.prefix.startswith(f"{prefix}/outputs/".lstrip("/")):  # which another job may leave behind
            raise ConfigError(
                f"{on} also means what wrenlite itself writes to {store}, so that each start of "
                f"{publication.name!r} would start others: watch objects beside these, such as "
                f"s3://{bucket}/inbox/*{on.suffix}"
            )


def _is_watched(address: str, on: Objects) -> bool:
    """Return whether some of what can be written below an address is among the objects, by the prefix."""
    scheme, found, rest = address.partition("://")
    bucket, _, prefix = rest.partition("/")
    below = f"{prefix.strip('/')}/".lstrip("/")
    is_there = found and scheme == "s3" and bucket == on.bucket
    return bool(is_there and (below.startswith(on.prefix) or on.prefix.startswith(below)))


def _is_in(path: str, folder: str) -> bool:
    path, folder = os.path.realpath(path), os.path.realpath(folder)
    return os.path.commonpath([path, folder]) == folder


def _loops(name: str, on: Objects, outputs: str, elsewhere: str) -> str:
    return (
        f"the outputs of {name!r} would be written to {outputs}, and {on} watches that, so that each start "
        f"would start others without end: choose {elsewhere} for the outputs (--to), or for what is watched"
    )
