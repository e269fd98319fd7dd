"""Make the AWS backend from a configuration."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from wrenlite import cost
from wrenlite.backends.aws import errors, payload
from wrenlite.backends.aws.cancelling import CANCEL_INTERVAL_S
from wrenlite.backends.aws.data_bucket import DataBucket
from wrenlite.backends.aws.deployed import CURRENT_ALIAS, driver_name, recorded_driver, remote_packages
from wrenlite.backends.aws.invoker import LambdaInvoker
from wrenlite.backends.aws.lost_reply import REPLY_TIMEOUTS, ReplyTimeouts
from wrenlite.backends.aws.payload import StoreLocation
from wrenlite.backends.aws.responses import Target, nothing_reserved
from wrenlite.backends.aws.s3 import S3Store
from wrenlite.backends.aws.session import AwsSession
from wrenlite.backends.aws.transport import Transport
from wrenlite.backends.base import Backend, BatchingPolicy, DriverAddress
from wrenlite.backends.packages import RemotePackages
from wrenlite.config import PREFIX, Config
from wrenlite.errors import (
    AccessDenied,
    ConfigError,
    CredentialsError,
    FunctionBroken,
    FunctionMissing,
    IncompatibleRuntime,
)
from wrenlite.notices import warn
from wrenlite.protocol import Hints, Limits

_log = logging.getLogger("wrenlite")

_USUAL_CONCURRENCY = 1000
"""Invocations at once that AWS allows most accounts; taken where the account's own limit cannot be read."""
_SHARE_LEFT = 10
"""One map leaves this part of the account's free concurrency, a tenth, to the functions beside it."""
_LONGEST_LIMIT_S = 900.0
"""The longest time limit of a function; taken where the function's own cannot be read."""
_USUAL_MEMORY_MB = 1769
"""Memory of one virtual CPU; taken where the function's own cannot be read."""
_SPARE_DESCRIPTORS = 128
"""File descriptors that are left to the program."""
_CODE_BYTES = 50 * 2**20
_CARRIED_BYTES = 2 * 2**20
"""What is sent beyond this costs more time of a home connection than fetching from S3 costs the workers."""
_LOG_LEVELS = {"botocore": logging.INFO, "urllib3": logging.INFO}
"""At DEBUG, botocore logs the headers of requests, which hold credentials of the function's role."""
_LIMITS = Limits(reply_bytes=payload.REPLY_BYTES, persist_after_s=10.0, cancel_interval_s=CANCEL_INTERVAL_S)


Keys = Sequence[str | None]
"""Access key, secret key and session token; empty: boto3 finds credentials."""


def connect(config: Config, timeouts: ReplyTimeouts = REPLY_TIMEOUTS, keys: Keys = ()) -> Backend:
    """Connect to AWS Lambda as configured. This reads the settings of the function and of the account.

    Args:
        config: the settings.
        timeouts: how long to wait for responses and for lost replies.
        keys: as for ``factory.connect``. No other process gets them, so jobs cannot be detached.

    Raises:
        ConfigError: a setting is missing, or this process is itself a Lambda function.
        FunctionMissing: there is no such function.
        IncompatibleRuntime: the function runs another Python.
        CredentialsError: there are no credentials, or AWS does not accept them.
        ServiceUnavailable: Lambda cannot be reached.
    """
    _check_outside_lambda()
    config = replace(config, profile=None) if any(keys) else config
    session = aws_session(config, keys)
    region = _region(config, session.botocore_session)
    client = lambda_client(config, session.botocore_session, region)
    function = _read_function(config, client, region)
    target, architecture = _target(config, function, region, client.meta.partition)
    location = _store_location(config, function, target)
    packages = _packages(config, function)
    slots = _limit_to_descriptors(_concurrency(config, client))
    store = store_at(location, config, session, region)
    transport = Transport(session, "lambda", region, client.meta.endpoint_url)
    invoker = LambdaInvoker(transport, session, store, location, target, slots, timeouts)
    made_from = replace(config, function=target.qualified, region=region), None
    return Backend(
        name=f"AWS Lambda ({config.function} in {region})",
        store=store,
        invoker=invoker,
        batching=batching_policy(slots, target.memory_mb),
        limits=_LIMITS,
        prices=_prices(target, architecture),
        budget=config.budget,
        memory_bytes=target.memory_mb * 2**20,
        longest_s=target.limit_s - payload.reply_margin_s(target.limit_s),
        code_bytes=_CODE_BYTES,
        carried_bytes=_CARRIED_BYTES,
        own_store=False,
        worker_keeps_modules=False,
        hints=_hints(packages),
        packages=packages,
        log_levels=_LOG_LEVELS,
        adopt=invoker.adopt,
        driver=_driver(config, function, location, region),
        made_from=None if any(keys) else made_from,
    )


def store_at(location: StoreLocation, config: Config, session: AwsSession, region: str) -> S3Store:
    """Return the store at a location, for a client. It sends nothing yet.

    Args:
        location: where it is.
        config: the settings.
        session: gives the credentials.
        region: region of the bucket.
    """
    return S3Store(
        location.bucket,
        location.prefix,
        session=session,
        region=region,
        endpoint_url=config.endpoint_url,
        owner=location.owner,
    )


def open_bucket(config: Config, bucket: str, prefix: str) -> S3Store:
    """Return a store in any bucket, with the configured profile, region and endpoint. It sends nothing yet.

    Args:
        config: the settings.
        bucket: name of the bucket.
        prefix: how all keys begin, without a slash at either end.
    """
    return S3Store(
        bucket,
        prefix,
        session=aws_session(config),
        region=config.region,
        endpoint_url=config.endpoint_url,
        profile=config.profile,
    )


def open_data_bucket(config: Config, bucket: str, conditions: Mapping[str, str] | None = None) -> DataBucket:
    """Return a bucket to read from, with the configured profile and endpoint. It sends nothing yet.

    Args:
        config: the settings.
        bucket: name of the bucket.
        conditions: as for ``DataBucket``.
    """
    return DataBucket(
        bucket,
        conditions=conditions,
        session=aws_session(config),
        region=config.region,
        endpoint_url=config.endpoint_url,
        profile=config.profile,
    )


def batching_policy(slots: int, memory_mb: int = _USUAL_MEMORY_MB) -> BatchingPolicy:
    """Return the batching policy for Lambda.

    Args:
        slots: the number of invocations at once.
        memory_mb: memory of the function.
    """
    return BatchingPolicy(
        target_s=max(1.0, slots * 0.002),  # a client starts about 500 per second: this keeps all slots busy
        least_s=0.1,  # about two round trips
        batch_bytes=min(64, memory_mb // 8) * 2**20,  # encoded, decoded and unpickled are in memory together
        flight_bytes=256 * 2**20,
        first_wave=16,
        gather_s=0.005,  # a fraction of a round trip; a loop submits a call in much less
        first_wave_wait_s=1.0,  # longer than most cold starts take
        backoff_s=0.1,
    )


def _check_outside_lambda() -> None:
    if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
        raise ConfigError(
            "Executor.aws() inside a Lambda function would start invocations that no budget and no cost "
            "counts. Executor() runs in this task"
        )


def aws_session(config: Config, keys: Keys = ()) -> AwsSession:
    """Return the AWS identity of this process, as configured.

    Args:
        config: the settings.
        keys: as for ``factory.connect``.
    """
    from botocore.session import Session

    def make_session() -> Session:
        session = Session(profile=config.profile)
        if any(keys):
            session.set_credentials(*keys)
        return session

    return AwsSession(make_session)


def _region(config: Config, session: Any) -> str:
    from botocore.exceptions import BotoCoreError

    try:
        region = config.region or session.get_config_variable("region")
    except BotoCoreError as error:  # there is no such profile
        raise errors.connection_error("AWS", error) from error
    if not region:
        raise ConfigError("no AWS region is set: give region=, set WRENLITE_REGION, or run aws configure")
    return str(region)


def lambda_client(config: Config, session: Any, region: str) -> Any:
    """Return a client of Lambda.

    Args:
        config: the settings.
        session: a session of botocore.
        region: name of the region.

    Raises:
        ConfigError: the region, or the endpoint, cannot be used.
        CredentialsError: the credentials of the profile cannot be read.
    """
    from botocore.config import Config as ClientConfig
    from botocore.exceptions import BotoCoreError

    retries = ClientConfig(
        retries={"mode": "standard", "total_max_attempts": 3}, connect_timeout=5, read_timeout=15
    )
    try:
        return session.create_client(
            "lambda", region_name=region, endpoint_url=config.endpoint_url, config=retries
        )
    except (BotoCoreError, ValueError) as error:
        translated = errors.connection_error("AWS", error, config.profile)
        if isinstance(translated, CredentialsError):  # creating a client finds them
            raise translated from error
        raise ConfigError(f"region={region!r}: {error}") from error


def _read_function(config: Config, client: Any, region: str) -> Mapping[str, Any]:
    """Return Lambda's settings of the version that new executors use.

    One request finds the version and its settings, so that they belong together even if the function is being
    deployed at this moment. A function has no such version if something other than wrenlite-setup made it, or
    an older one. Then, and where a policy does not cover versions, the settings are those of the function.
    There are none where this client may read neither.
    """
    denied = False
    if _unqualified(config.function) == config.function:  # else the user has chosen a version
        try:
            return _read_settings(config, client, region, Qualifier=CURRENT_ALIAS)
        except FunctionMissing:
            _log.info("the Lambda function %s has no version for new executors", config.function)
        except AccessDenied:
            denied = True
    try:
        found = _read_settings(config, client, region)
    except AccessDenied:
        _log.info(
            "this client may not read the settings of the Lambda function %s: the usual ones are assumed",
            config.function,
        )
        return {}
    if denied:
        warn(
            f"the policy of this client covers the Lambda function {config.function}, and not its versions: "
            "whoever runs wrenlite-setup changes jobs that run. wrenlite-setup --print-policy user prints a "
            "policy that covers both"
        )
    return found


def _read_settings(config: Config, client: Any, region: str, **qualifier: str) -> Mapping[str, Any]:
    """Return Lambda's settings of the function, or of a version of it.

    Raises:
        AccessDenied: this client may not read them.
        FunctionMissing: there is no such function, or no such version.
        CredentialsError: there are no credentials, or AWS does not accept them.
        ServiceUnavailable: Lambda cannot be reached.
    """
    found: Mapping[str, Any] = errors.call_lambda(
        "lambda:GetFunctionConfiguration",
        _function_arn(config, region, client.meta.partition),
        client,
        "get_function_configuration",
        config.profile,
        FunctionName=config.function,
        **qualifier,
    )
    return found


def _target(config: Config, function: Mapping[str, Any], region: str, partition: str) -> tuple[Target, str]:
    """Return the function as a target for requests, and its architecture.

    Args:
        config: the settings.
        function: Lambda's settings of the function. Usual values stand for those that are missing.
        region: region of the function.
        partition: partition of that region.

    Raises:
        IncompatibleRuntime: the function runs another Python.
    """
    own = str(payload.versions()["python"])
    python = function.get("Runtime", own).removeprefix("python")
    if python != own:
        raise IncompatibleRuntime(
            f"the Lambda function {config.function} runs Python {python} and this process Python {own}: "
            f"functions cannot be pickled for another Python. {payload.python_advice(python, own)}"
        )
    version = function.get("Version", "")
    name, arn = config.function, function.get("FunctionArn", _function_arn(config, region, partition))
    if version.isdigit():  # published, and so the same as long as the executor exists
        name, arn = (f"{_unqualified(text)}:{version}" for text in (name, arn))
    target = Target(
        function=config.function,
        qualified=name,
        region=region,
        arn=arn,
        memory_mb=function.get("MemorySize", _USUAL_MEMORY_MB),
        limit_s=float(function.get("Timeout", _LONGEST_LIMIT_S)),
    )
    return target, function.get("Architectures", ["x86_64"])[0]


def _prices(target: Target, architecture: str) -> cost.Prices:
    """Return the prices of the function. A warning says where they are another region's."""
    if unknown := cost.unknown_prices(target.region):
        warn(unknown)
    return cost.prices(target.region, architecture, memory_mb=target.memory_mb, limit_s=target.limit_s)


def _function_arn(config: Config, region: str, partition: str) -> str:
    """Return the ARN of the function, with a star for the account, which is not known yet."""
    if config.function.startswith("arn:"):
        return config.function
    return f"arn:{partition}:lambda:{region}:*:function:{config.function}"


def _environment(function: Mapping[str, Any]) -> Mapping[str, str]:
    variables: Mapping[str, str] = function.get("Environment", {}).get("Variables", {})
    return variables


def _packages(config: Config, function: Mapping[str, Any]) -> RemotePackages | None:
    layers = len(function.get("Layers", ()))
    return remote_packages(name_of(config.function), _environment(function), layers)


def _hints(packages: RemotePackages | None) -> Hints:
    """Return the advice for messages, with a command that keeps the packages that are there."""
    if packages is None:
        return payload.LAMBDA_HINTS
    command = packages.with_packages(["NAME"])
    return payload.LAMBDA_HINTS._replace(package=f"{command} adds a package to the function's layer")


def _store_location(config: Config, function: Mapping[str, Any], target: Target) -> StoreLocation:
    """Return where blobs are stored: as configured, else as the function itself was deployed with."""
    deployed = _environment(function)
    bucket = config.bucket or deployed.get("WRENLITE_BUCKET")
    if bucket is None:
        raise ConfigError(
            "no bucket is set: wrenlite-setup creates one and saves its name; bucket= or WRENLITE_BUCKET "
            "names another one"
        )
    prefix = config.prefix or deployed.get("WRENLITE_PREFIX") or PREFIX
    return StoreLocation(bucket, prefix, config.bucket_owner or _account(target.arn))


def _account(arn: str) -> str | None:
    """Return the account in an ARN; None where the ARN has a star in its place."""
    account = arn.split(":")[4]
    return account if account.isdigit() else None


def _driver(
    config: Config, function: Mapping[str, Any], location: StoreLocation, region: str
) -> DriverAddress | None:
    """Return the driver that belongs to this version of the function; None: there is none."""
    alias = recorded_driver(_environment(function))
    if not alias:
        return None
    return DriverAddress(f"{driver_name(_unqualified(config.function))}:{alias}", region, *location)


def _concurrency(config: Config, client: Any) -> int:
    """Return the number of invocations at once: as configured or reserved, else a share of the account's.

    Raises:
        FunctionBroken: the reservation is 0, so that nothing can run.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    if config.max_concurrency is not None:
        return config.max_concurrency
    with contextlib.suppress(ClientError, BotoCoreError):  # a policy without it: the next number is too small
        found = client.get_function_concurrency(FunctionName=_unqualified(config.function))
        if (reserved := found.get("ReservedConcurrentExecutions")) is not None:
            if not reserved:
                raise FunctionBroken(nothing_reserved(config.function))
            return int(reserved)
    with contextlib.suppress(ClientError, BotoCoreError):  # Lambda itself refuses what is too many
        limit: Mapping[str, int] = client.get_account_settings()["AccountLimit"]
        free = max(1, limit.get("UnreservedConcurrentExecutions") or limit["ConcurrentExecutions"])
        used = free - free // _SHARE_LEFT
        if used < free:
            _log.info(
                "%d invocations run at once: of the %d that the account has left, %d stay free for its other "
                "functions. max_concurrency=, or wrenlite-setup --reserved-concurrency, sets another number",
                used,
                free,
                free - used,
            )
        return used
    return _USUAL_CONCURRENCY


def _unqualified(function: str) -> str:
    """Return the name or ARN of a function without its version or alias, to which no reservation belongs."""
    parts = function.split(":")
    return ":".join(parts[: 7 if len(parts) > 2 else 1])


def name_of(function: str) -> str:
    """Return the name in the name or ARN of a function, as wrenlite-setup takes it."""
    return _unqualified(function).rpartition(":")[2]


def _limit_to_descriptors(slots: int) -> int:
    """Return the number of invocations at once for which this process can have file descriptors.

    Each invocation takes a connection, and so a descriptor. The soft limit of the process is raised where it
    is too low and the hard limit allows it.

    Args:
        slots: the number of invocations that is wanted.
    """
    try:
        import resource
    except ImportError:  # not a POSIX system: there is no such limit
        return slots
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = slots + _SPARE_DESCRIPTORS
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return slots
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == wanted:
        return slots
    _log.warning(
        "%d invocations run at once in place of %d, because this process may not open more files. Raise its "
        "limit with ulimit -n",
        soft - _SPARE_DESCRIPTORS,
        slots,
    )
    return max(1, soft - _SPARE_DESCRIPTORS)
