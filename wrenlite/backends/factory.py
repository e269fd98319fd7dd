"""Makes backends from the configuration, and stores from addresses."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from wrenlite.backends import local
from wrenlite.backends.base import Backend
from wrenlite.config import Config, is_bucket_name
from wrenlite.errors import ConfigError
from wrenlite.serialize.initializers import Initializer
from wrenlite.storage.base import Store, wrong_key
from wrenlite.storage.local import LocalStore


def connect(
    config: Config,
    initializer: Initializer | None = None,
    store: LocalStore | None = None,
    keys: Sequence[str | None] = (),
) -> Backend:
    """Make the backend that is configured.

    Args:
        config: the settings.
        initializer: what each local worker calls before its first task; None: nothing.
        store: of local workers; None: a temporary folder.
        keys: the access key, secret key and session token of AWS; default: boto3 finds credentials.

    Raises:
        ConfigError: a setting is missing or cannot be used.
        BackendError: nothing can run there; the message says what to do.
    """
    if config.backend == "inline":
        return local.connect_inline(initializer)
    if config.backend == "aws":
        from wrenlite.backends.aws.connect import connect as connect_aws

        return connect_aws(config, keys=keys)
    backend = local.connect(
        workers=config.workers,
        memory_limit=config.memory_limit,
        max_tasks_per_worker=config.max_tasks_per_worker,
        initializer=initializer,
        store=store,
    )
    return replace(backend, made_from=(config, initializer))


def open_store(address: str | os.PathLike[str]) -> Store:
    """Make a store for files that tasks leave behind: close over it, or pass it as an argument.

    ::

        outputs = wrenlite.open_store("s3://my-bucket/pictures")
        executor.map(lambda n: outputs.put(f"{n}.png", draw(n)), range(100))

    A store is sent to workers without credentials: a task uses those that it finds there. On Lambda that is
    the role of the function, which may write under ``outputs/`` of wrenlite's own bucket and prefix, and to
    the buckets that ``wrenlite-setup --write`` named. A folder is one of this machine, so only local workers
    reach it.

    Args:
        address: ``s3://BUCKET``, ``s3://BUCKET/PREFIX``, or a folder, which is made when it is first written
            to. Profile, region and endpoint of S3 come from the configuration.

    Raises:
        ConfigError: the text is not the address of a store.
    """
    text = os.fspath(address) if isinstance(address, str | os.PathLike) else None
    if not isinstance(text, str) or "\0" in text:
        raise ConfigError(f"{address!r} is not the address of a store: give s3://BUCKET/PREFIX, or a folder")
    scheme, found, rest = text.partition("://")
    if not found and text and not text.startswith("s3:"):
        return LocalStore(os.path.expanduser(text))
    bucket, _, prefix = rest.partition("/")
    prefix = prefix.strip("/")
    if scheme.lower() != "s3" or not is_bucket_name(bucket):
        raise ConfigError(f"{text!r} is not the address of a store: give s3://BUCKET/PREFIX, or a folder")
    if prefix and (wrong := wrong_key(prefix)):
        raise ConfigError(f"{text!r} is not the address of a store: its prefix {prefix!r}: {wrong}")
    from wrenlite.backends.aws.connect import open_bucket

    return open_bucket(Config.load(), bucket, prefix)
