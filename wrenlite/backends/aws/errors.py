"""Translate the errors of AWS into wrenlite's errors.

``translate_error`` is the one place that decides which wrenlite error stands for an error of AWS. It is a
pure function, and so is every function here except ``call_s3``. Each message says what happened, to which
resource, and what to do.
"""

from __future__ import annotations

import json
import re
from typing import Any

from wrenlite.errors import (
    AccessDenied,
    BackendError,
    CredentialsError,
    CredentialsExpired,
    FunctionMissing,
    NotFound,
    ServiceUnavailable,
    StoreError,
)

_EXPIRED_CODES = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
)
_UNKNOWN_CREDENTIALS_CODES = frozenset(
    {"InvalidAccessKeyId", "UnrecognizedClientException", "InvalidClientTokenId", "SignatureDoesNotMatch"}
    | {"InvalidSignatureException", "InvalidToken", "MissingAuthenticationTokenException"}
)
_CLOCK_CODES = frozenset({"RequestTimeTooSkewed", "RequestInTheFuture"})
_CLOCK_MESSAGES = ("Signature expired", "Signature not yet current")
ACCESS_DENIED_CODES = frozenset(
    {"AccessDenied", "AccessDeniedException", "403", "Forbidden", "AllAccessDisabled"}
)
_OTHER_REGION_CODES = frozenset(
    {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
)
_SIGN_IN_OPERATIONS = ("AssumeRole", "GetRoleCredentials", "GetSessionToken", "CreateToken")
"""Prefixes of the names of operations that botocore calls by itself to get credentials."""

_S3_ARN = re.compile(r"arn:[\w-]+:s3:::([^/]+)(?:/(.*))?", re.DOTALL)
_FUNCTION_ARN = re.compile(r"arn:[\w-]+:lambda:([\w-]+):[^:]*:function:(.+)")
_VERSION_ARN = re.compile(r"(arn:[\w-]+:lambda:[^:]*:[^:]*:function:[^:]+):[\w$-]+")
_NAMED_IN_MESSAGE = re.compile(r'perform: (\S+)(?: on resource: "?([^"\s]+))?')
"""The action and the resource, as most of AWS's own messages about a missing permission name them."""


def translate_error(
    code: str,
    message: str,
    status: int | None = None,
    *,
    action: str,
    resource: str,
    profile: str | None = None,
    bucket_region: str | None = None,
) -> BackendError | StoreError:
    """Return the wrenlite error for an error that AWS answered with.

    Args:
        code: AWS's code of the error, such as ``AccessDenied``.
        message: AWS's own message.
        status: HTTP status of the response; None where it is not known.
        action: the IAM action that AWS refused, such as ``s3:GetObject``.
        resource: the resource that the request was about: its ARN, or words where there is no ARN. Only an
            ARN of S3 or of a Lambda function lets the error say that the resource is missing.
        profile: the profile whose credentials signed the request; None for the default profile.
        bucket_region: the region of the bucket, where S3 names it.
    """
    found = credentials_error(code, message, profile) or _missing_error(code, status, resource)
    if found is not None:
        return found
    if is_access_denied(code) or status == 403:
        known = _NAMED_IN_MESSAGE.search(message)
        if known is not None:
            return access_denied(known[1], known[2] or resource, message)
        detail = message if is_access_denied(code) else f"{code}: {message}"
        return access_denied(action, resource, detail)
    bucket = _S3_ARN.fullmatch(resource)
    if bucket is not None and code in _OTHER_REGION_CODES:
        return StoreError(
            f"the bucket {bucket[1]!r} is in {bucket_region or 'another region'}: set region= to the region "
            "of the bucket"
        )
    kind = StoreError if action.startswith("s3:") else BackendError
    where = resource if bucket is None else _s3_url(bucket)
    return kind(f"AWS refuses {action} on {where}: {code or status}: {message}")


def translate_client_error(
    error: Any, *, action: str, resource: str, profile: str | None = None
) -> BackendError | StoreError:
    """Return the wrenlite error for a ``ClientError`` of botocore.

    Args:
        error: the ``ClientError``.
        action: the IAM action that was asked for. See ``translate_error``.
        resource: the resource that the call was about. See ``translate_error``.
        profile: the profile whose credentials signed the request; None for the default profile.
    """
    if error.operation_name.startswith(_SIGN_IN_OPERATIONS):
        return refresh_error(error, profile)
    metadata = error.response.get("ResponseMetadata", {})
    named = metadata.get("HTTPHeaders", {}).get("x-amz-bucket-region")
    return translate_error(
        *code_and_message(error),
        metadata.get("HTTPStatusCode"),
        action=action,
        resource=resource,
        profile=profile,
        bucket_region=named or error.response["Error"].get("Region"),
    )


def code_and_message(error: BaseException) -> tuple[str, str]:
    """Return AWS's code and message of a ``ClientError`` of botocore; two empty texts for other errors."""
    from botocore.exceptions import ClientError

    if not isinstance(error, ClientError):
        return "", ""
    details = error.response["Error"]
    return str(details.get("Code")), details.get("Message") or ""


def sign_in_hint(profile: str | None = None) -> str:
    """Return how to sign in again, with that profile or with the default one."""
    if profile is None:
        return "Sign in again (aws sso login, or aws configure), or name another profile"
    return f"Sign in again: aws sso login --profile {profile}, or aws configure"


def is_access_denied(code: str) -> bool:
    """Return whether an error code of AWS says that no policy allows the action."""
    return code in ACCESS_DENIED_CODES


def is_refusal(error: BaseException) -> bool:
    """Return whether an error of wrenlite says that AWS forbids something, or that it is not there.

    Such an error lasts, other than that of a broken connection.
    """
    code, _ = code_and_message(error.__cause__ or error)
    return isinstance(error, AccessDenied | NotFound) or code == "NoSuchBucket"


def access_denied(action: str, resource: str, message: str = "") -> AccessDenied:
    """Return the error for an action that no policy allows, with the policy statement that would allow it.

    Args:
        action: the IAM action, such as ``s3:GetObject``.
        resource: ARN of the resource, or words for it.
        message: AWS's own message; empty where there is none.
    """
    if version := _VERSION_ARN.fullmatch(resource):
        resource = f"{version[1]}:*"  # the next version has another number
    statement = json.dumps({"Effect": "Allow", "Action": action, "Resource": resource})
    detail = f" ({message})" if message else ""
    key = ", and the policy of the key itself must allow it too" if action.startswith("kms:") else ""
    return AccessDenied(
        f"AWS does not allow {action} on {resource}{detail}. A policy that allows it has the statement "
        f"{statement}{key}"
    )


def credentials_error(code: str, message: str, profile: str | None = None) -> CredentialsError | None:
    """Return the error for credentials that AWS does not accept; None where the code says something else."""
    if code in _EXPIRED_CODES:
        return CredentialsExpired(f"the AWS credentials have expired. {sign_in_hint(profile)}")
    if code in _CLOCK_CODES or any(text in message for text in _CLOCK_MESSAGES):
        return CredentialsError(
            f"AWS refuses requests with this machine's time ({message}): its clock is wrong. Set the clock, "
            "for example with timedatectl set-ntp true"
        )
    if code in _UNKNOWN_CREDENTIALS_CODES:
        return CredentialsError(
            f"AWS does not know these credentials ({code}: {message}). {sign_in_hint(profile)}"
        )
    return None


def refresh_error(error: Exception, profile: str | None = None) -> CredentialsExpired:
    """Return the error for credentials that have expired and cannot be renewed."""
    return CredentialsExpired(f"the AWS credentials cannot be refreshed: {error}. {sign_in_hint(profile)}")


def connection_error(
    service: str, error: Exception, profile: str | None = None
) -> CredentialsError | StoreError:
    """Return the wrenlite error for a ``BotoCoreError``: no response came, or no request was made.

    Args:
        service: the service that was called, for the message.
        error: the error that botocore raised.
        profile: the profile whose credentials were used; None for the default profile.
    """
    from botocore import exceptions

    if isinstance(error, exceptions.ProfileNotFound):
        return CredentialsError(
            f"{error}: name another one with profile= or AWS_PROFILE, or create it with aws configure"
        )
    if isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
        return CredentialsError(
            f"no AWS credentials: {error}. Create some with aws configure, or sign in with aws sso login"
        )
    if isinstance(error, exceptions.MissingDependencyException) and "login" in str(error):
        return CredentialsError(
            f"the profile {profile or 'default'!r} signs in with aws login (login_session), for which "
            "botocore needs another package: pip install 'botocore[crt]'"
        )
    if isinstance(error, exceptions.LoginError):
        option = f" --profile {profile}" if profile else ""
        return CredentialsExpired(f"{error} Sign in again: aws login{option}")
    if isinstance(
        error, exceptions.CredentialRetrievalError | exceptions.TokenRetrievalError | exceptions.SSOError
    ):
        return refresh_error(error, profile)
    return StoreError(f"cannot reach {service}: {error}. Is this machine online, and is endpoint_url right?")


def call_lambda(
    action: str, resource: str, client: Any, method: str, profile: str | None, **parameters: Any
) -> Any:
    """Call a method of a client of Lambda, and translate its errors.

    Args:
        action: the IAM action that the call needs, such as ``lambda:InvokeFunction``.
        resource: ARN of the function.
        client: a client of Lambda.
        method: name of its method.
        profile: the profile of the credentials; None: botocore's own chain has found them.
        **parameters: arguments of the method.

    Raises:
        FunctionMissing: there is no such function, or no such version.
        AccessDenied: no policy allows the call.
        CredentialsError: there are no credentials, or AWS does not accept them.
        ServiceUnavailable: Lambda cannot be reached.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return getattr(client, method)(**parameters)
    except ClientError as error:
        raise translate_client_error(error, action=action, resource=resource, profile=profile) from error
    except BotoCoreError as error:
        unreachable = connection_error(f"Lambda in {client.meta.region_name}", error, profile)
        if isinstance(unreachable, StoreError):
            raise ServiceUnavailable(str(unreachable)) from error
        raise unreachable from error


def call_s3(action: str, bucket: str, key: str | None, client: Any, method: str, **parameters: Any) -> Any:
    """Call a method of an S3 client, and translate its errors.

    Args:
        action: the IAM action that the call needs, such as ``s3:GetObject``.
        bucket: name of the bucket.
        key: key of the object; None where the call is about the whole bucket.
        client: an S3 client.
        method: name of its method.
        **parameters: further arguments of the method.

    Raises:
        NotFound: there is no object with that key.
        StoreError: S3 cannot be reached, or refuses the call for another reason.
        AccessDenied: no policy allows the call.
        CredentialsError: there are no credentials, or AWS does not accept them.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return getattr(client, method)(Bucket=bucket, **parameters)
    except ClientError as error:
        arn = f"arn:{client.meta.partition}:s3:::{bucket}" + ("" if key is None else f"/{key}")
        raise translate_client_error(error, action=action, resource=arn) from error
    except BotoCoreError as error:
        raise connection_error(f"s3://{bucket}", error) from error


def _missing_error(code: str, status: int | None, resource: str) -> StoreError | FunctionMissing | None:
    """Return the error for a bucket, an object or a Lambda function that does not exist, else None."""
    s3 = _S3_ARN.fullmatch(resource)
    if s3 is not None and code == "NoSuchBucket":
        return StoreError(
            f"there is no bucket {s3[1]!r}: create it, or name another one. wrenlite-setup creates the "
            "bucket of a deployment"
        )
    if s3 is not None and (code in ("NoSuchKey", "404") or (status == 404 and s3[2] is not None)):
        return NotFound(f"no blob {_s3_url(s3)}")
    function = _FUNCTION_ARN.fullmatch(resource)
    if function is not None and (code == "ResourceNotFoundException" or status == 404):
        name, _, version = function[2].partition(":")
        if version:
            return FunctionMissing(
                f"there is no version {version!r} of the Lambda function {name!r} in {function[1]}: "
                "wrenlite-setup keeps the newest two. A new Executor uses the current one; wrenlite status "
                "lists them"
            )
        return FunctionMissing(
            f"there is no Lambda function {function[2]!r} in {function[1]}: wrenlite-setup creates it; "
            "function= and region= name another one"
        )
    return None


def _s3_url(arn: re.Match[str]) -> str:
    return f"s3://{arn[1]}/{arn[2] or ''}"
