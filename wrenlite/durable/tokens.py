"""``Token``: what gives a detached job on Lambda back, on any machine. And the place that belongs to it."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import NamedTuple

from wrenlite.backends.base import Backend, DriverAddress
from wrenlite.backoff import Patience
from wrenlite.config import Config
from wrenlite.durable import folder
from wrenlite.durable.folder import Folder
from wrenlite.durable.manifest import Manifest
from wrenlite.durable.place import Place
from wrenlite.errors import ConfigError, JobNotFound, WrenliteError

_BEGINNING = "wrenlite-job-"


class Token(NamedTuple):
    """A token is a secret: who has it, and may read the bucket, can have code run in who attaches."""

    job: str
    """Id of the job."""
    key: bytes
    """Of the job: see ``keys``."""
    address: DriverAddress
    """What keeps the job."""

    def text(self) -> str:
        """Return the token as one word."""
        fields = json.dumps([self.job, self.key.hex(), *self.address]).encode()
        return _BEGINNING + base64.urlsafe_b64encode(fields).decode().rstrip("=")


def is_token(text: str) -> bool:
    """Return whether a text is meant as a token."""
    return text.startswith(_BEGINNING)


def parse(text: str) -> Token:
    """Return the token in a text.

    Raises:
        JobNotFound: it is none, or not all of it.
    """
    word = text.strip().removeprefix(_BEGINNING)
    try:
        job, key, *address = json.loads(base64.urlsafe_b64decode(word + "=" * (-len(word) % 4)))
        return Token(str(job), bytes.fromhex(key), DriverAddress(*address))
    except (ValueError, TypeError):  # the text is not shown: it may hold a part of the key
        raise JobNotFound(
            f"{_BEGINNING}… is no token of a job, or not all of it: job.token has all"
        ) from None


def new_place(backend: Backend, job: Manifest) -> Place:
    """Return where a new job is kept. A token of it is left on this machine, for ``attach`` by its id.

    Args:
        backend: what the job was prepared for.
        job: its manifest.

    Raises:
        ConfigError: it would be kept on this machine, and no journal is kept.
        StoreError: its folder cannot be made.
    """
    if backend.driver is None:
        return Folder(folder.new_folder(job.id))
    token = Token(job.id, job.key, backend.driver)
    place = _bucket(token, job.config)
    with contextlib.suppress(ConfigError):  # no journal is kept: then only the token gives the job back
        Folder(folder.new_folder(job.id)).write_token(f"{token.text()}\n{_access(job.config)}")
    return place


def forget(job: str) -> None:
    """Delete what this machine has of a job that could not be detached."""
    with contextlib.suppress(ConfigError):  # no journal is kept
        Folder(folder.detached_folder() / job).remove()


def _access(config: Config) -> str:
    """Return how this machine reaches AWS, which is kept beside a token here, and in no token."""
    return json.dumps([config.profile, config.endpoint_url])


def find_place(job: str, patience: Patience | None = None) -> Place:
    """Return where a job is kept.

    Args:
        job: its token, its id, or the beginning of its id.
        patience: how long a bucket is tried; None: as usual.

    Raises:
        JobNotFound: there is no such job, or there are several.
        BackendError: AWS cannot be used.
    """
    if is_token(job):
        return _bucket(parse(job), Config.load(), patience)
    found = Folder(folder.find(job))
    word, _, access = found.token().partition("\n")
    if not word:
        return found
    try:
        profile, endpoint_url = json.loads(access or "[null, null]")
    except (ValueError, TypeError) as error:
        raise JobNotFound(f"{found.path / folder.TOKEN} is damaged: {error}") from error
    return _bucket(parse(word), Config.load(profile=profile, endpoint_url=endpoint_url), patience)


def is_on_lambda(job: str) -> bool:
    """Return whether a job of this id was detached on Lambda from this machine."""
    with contextlib.suppress(WrenliteError):  # it was not detached
        return bool(Folder(folder.find(job)).token())
    return False


def token_of(place: Place) -> str:
    """Return the token of a job that is kept somewhere; empty where only this machine has it."""
    from wrenlite.durable.bucket import Bucket

    return Token(place.job, place.key, place.driver.address).text() if isinstance(place, Bucket) else ""


def _bucket(token: Token, config: Config, patience: Patience | None = None) -> Place:
    from wrenlite.backends.aws.driver import Driver  # with botocore
    from wrenlite.durable.bucket import Bucket

    driver = Driver(config, token.address)
    if patience is not None:
        driver.store.patience = patience
    return Bucket(driver, token.job, token.key)
