"""AWS's errors in our words: what happened, to which resource, and what mends it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from wrenlite.errors import (
    AccessDenied,
    BackendError,
    CredentialsError,
    CredentialsExpired,
    NotFound,
    StoreError,
)

_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
_UNKNOWN = frozenset(
    {"InvalidAccessKeyId", "UnrecognizedClientException", "InvalidClientTokenId", "SignatureDoesNotMatch"}
    | {"InvalidSignatureException", "InvalidToken", "MissingAuthenticationTokenException"}
)
_SKEWED = frozenset({"RequestTimeTooSkewed", "RequestInTheFuture"})
_FORBIDDEN = frozenset({"AccessDenied", "AccessDeniedException", "403", "Forbidden", "AllAccessDisabled"})

SIGNING_IN = ("AssumeRole", "GetRoleCredentials", "GetSessionToken", "CreateToken")
"""How operations begin that botocore calls by itself, for credentials."""
_SIGN_IN = "Sign in again (aws sso login, or aws configure), or name another profile"


def sign_in(profile: str | None = None) -> str:
    """How to sign in again, with that profile."""
    return (
        _SIGN_IN if profile is None else f"Sign in again: aws sso login --profile {profile}, or aws configure"
    )


def denied(action: str, resource: str, said: str = "") -> AccessDenied:
    """What to say where AWS forbids an action; has the policy statement that would allow it."""
    statement = json.dumps({"Effect": "Allow", "Action": action, "Resource": resource})
    return AccessDenied(
        f"AWS does not allow {action} on {resource}{f' ({said})' if said else ''}. A policy that allows it "
        f"has the statement {statement}"
    )


def forbidden(code: str) -> bool:
    """Whether an error says that a policy does not allow it."""
    return code in _FORBIDDEN


def credentials(code: str, said: str, profile: str | None = None) -> CredentialsError | None:
    """What to say where AWS does not take the credentials; None where that is not what it says."""
    if code in _EXPIRED:
        return CredentialsExpired(f"the AWS credentials have expired. {sign_in(profile)}")
    if code in _SKEWED or "Signature expired" in said or "Signature not yet current" in said:
        return CredentialsError(
            f"AWS refuses requests with this machine's time ({said}): its clock is wrong. Set it, such as "
            "with timedatectl set-ntp true"
        )
    if code in _UNKNOWN:
        return CredentialsError(f"AWS does not know these credentials ({code}: {said}). {sign_in(profile)}")
    return None


def cannot_refresh(error: Exception, profile: str | None = None) -> CredentialsExpired:
    """What to say where new credentials cannot be had."""
    return CredentialsExpired(f"the AWS credentials cannot be refreshed: {error}. {sign_in(profile)}")


def call_s3(action: str, bucket: str, key: str | None, call: Callable[..., Any], **parameters: Any) -> Any:
    """Call an operation of a client for S3; what goes wrong is said in our words.

    Args:
        action: what IAM calls it, such as ``s3:GetObject``.
        bucket: where.
        key: of the object; None: the bucket as a whole.
        call: the client's method.
        **parameters: of the method.

    Raises NotFound, StoreError, AccessDenied, CredentialsError.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return call(Bucket=bucket, **parameters)
    except ClientError as error:
        if error.operation_name.startswith(SIGNING_IN):
            raise cannot_refresh(error) from error
        raise _s3_error(action, bucket, key, error) from error
    except BotoCoreError as error:
        raise unreachable(f"s3://{bucket}", error) from error


def unreachable(what: str, error: Exception, profile: str | None = None) -> BackendError | StoreError:
    """What to say of an error that botocore has before or without an answer."""
    from botocore import exceptions

    if isinstance(error, exceptions.ProfileNotFound):
        return CredentialsError(f"{error}: profile= or AWS_PROFILE names another, aws configure makes it")
    missing = (exceptions.NoCredentialsError, exceptions.PartialCredentialsError)
    if isinstance(error, missing):
        return CredentialsError(
            f"no AWS credentials: {error}. aws configure makes some, aws sso login signs in"
        )
    if isinstance(
        error, exceptions.CredentialRetrievalError | exceptions.TokenRetrievalError | exceptions.SSOError
    ):
        return cannot_refresh(error, profile)
    return StoreError(f"cannot reach {what}: {error}. Is this machine online, and endpoint_url right?")


def _s3_error(action: str, bucket: str, key: str | None, error: Any) -> Exception:
    code, said = str(error.response["Error"].get("Code")), error.response["Error"].get("Message") or ""
    status = error.response["ResponseMetadata"].get("HTTPStatusCode")
    place = f"s3://{bucket}/{key or ''}"
    if code == "NoSuchBucket":
        return StoreError(
            f"there is no bucket {bucket!r}: create it, or name another; wrenlite-setup makes wrenlite's"
        )
    if code in ("NoSuchKey", "404") or (status == 404 and key is not None):
        return NotFound(f"no blob {place}")
    wrong = credentials(code, said)
    if wrong is not None:
        return wrong
    if forbidden(code) or status == 403:
        return denied(action, f"arn:aws:s3:::{bucket}{'/' + key if key is not None else ''}", said)
    if code in ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"):
        headers = error.response["ResponseMetadata"].get("HTTPHeaders", {})
        there = headers.get("x-amz-bucket-region") or error.response["Error"].get("Region", "another region")
        return StoreError(f"the bucket {bucket!r} is in {there}: region= names the region")
    return StoreError(f"S3 refuses {action} on {place}: {code}: {said}")
