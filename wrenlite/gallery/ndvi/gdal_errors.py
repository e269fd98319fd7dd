"""What GDAL could not read, in wrenlite's errors: which band of which scene, why, and the mend. Pure.

Of S3's answers GDAL passes on the message and, for a few, a number of its own; of other servers' the status.
"""

from __future__ import annotations

import re

from wrenlite.backends.aws import errors
from wrenlite.errors import AccessDenied, CredentialsError, NotFound, StoreError
from wrenlite.gallery.ndvi.bands import S3

_NUMBERS = {12: "NoSuchBucket", 13: "NoSuchKey", 14: "AccessDenied", 16: "SignatureDoesNotMatch"}
"""GDAL's numbers (CPLE_AWS…), and S3's codes that they stand for."""
_UNSIGNED = 15
"""Its number where it found nothing to sign with."""
_TOLD = {
    "InvalidAccessKeyId": "Access Key Id you provided",
    "ExpiredToken": "token has expired|security token .* expired",
    "RequestTimeTooSkewed": "difference between the request time",
    "InvalidToken": "token is malformed|token .* is invalid",
    "AccessDenied": r"HTTP response code: 40[13]\b",
    "NoSuchKey": r"HTTP response code: 404\b|No such file|does not exist in the file system",
}
"""S3's codes, by the messages that come with them, and the statuses of servers that send no message."""


def refusal(where: str, href: str, number: int | None, told: str) -> Exception:
    """The error to raise.

    Args:
        where: what was to be read, without credentials.
        href: its address, as the scene has it.
        number: GDAL's, if there is one.
        told: GDAL's messages, without credentials.

    Gives NotFound, AccessDenied, CredentialsError, CredentialsExpired or StoreError.
    """
    if href.startswith(S3) and number == _UNSIGNED:
        return CredentialsError(
            f"no AWS credentials to read {where} with: {told}. aws configure makes some, aws sso login signs"
            " in"
        )
    code = _code(number, told)
    if code == "NoSuchKey":
        mend = "; check the product id and its processing date" if "://" in href else ""
        return NotFound(f"there is no {where}{mend}")
    if code == "AccessDenied" and "://" in href:
        return _denied(where, href, told)
    if href.startswith(S3):
        if code == "NoSuchBucket":
            return NotFound(f"there is no bucket {href[len(S3) :].partition('/')[0]!r}: cannot read {where}")
        wrong = errors.credentials_error(code, told)
        if wrong is not None:
            return type(wrong)(f"cannot read {where}: {wrong}")
    return StoreError(f"cannot read {where}: {told}")


def _code(number: int | None, told: str) -> str:
    """S3's code for what happened; empty where it cannot be told."""
    if number in _NUMBERS:
        return _NUMBERS[number]
    plain = re.search(r"<Code>(\w+)</Code>", told)
    if plain is not None:
        return plain[1]
    return next((code for code, words in _TOLD.items() if re.search(words, told)), "")


def _denied(where: str, href: str, told: str) -> AccessDenied:
    if href.startswith(S3):
        return AccessDenied(
            f"S3 refuses {where}: {told}. The bucket usgs-landsat is requester pays: reading it takes"
            " GdalReader(requester_pays=True), and AWS credentials that are allowed s3:GetObject there"
        )
    return AccessDenied(
        f"the server refuses {where}: {told}. Its address is signed for a time only, or wants a login: search"
        " and sign the items again, or take those on S3"
    )
