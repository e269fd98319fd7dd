"""GDAL's errors translated into wrenlite's, with the band, its scene, the cause and the fix. Pure.

Of an error of S3, GDAL passes on the message, and for some errors a number of its own; of an error of another
server it passes on the HTTP status.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

from wrenlite.backends.aws import errors
from wrenlite.errors import AccessDenied, CredentialsError, NotFound, StoreError
from wrenlite.gallery.ndvi.bands import S3

_CODES_BY_NUMBER = {12: "NoSuchBucket", 13: "NoSuchKey", 14: "AccessDenied", 16: "SignatureDoesNotMatch"}
"""S3's error codes, by GDAL's error numbers (``CPLE_AWS…``)."""
_NO_CREDENTIALS = 15
"""GDAL's error number for a request that it had no credentials to sign with."""
_SIGNING_HOSTS = ".blob.core.windows.net"
"""The end of the names of hosts whose addresses are signed; an unsigned one is answered with 409 or 403."""
_CODES_BY_MESSAGE = {
    "InvalidAccessKeyId": "Access Key Id you provided",
    "ExpiredToken": "token has expired|security token .* expired",
    "RequestTimeTooSkewed": "difference between the request time",
    "InvalidToken": "token is malformed|token .* is invalid",
    "AccessDenied": r"HTTP response code: 40[139]\b",
    "NoSuchKey": r"HTTP response code: 404\b|No such file|does not exist in the file system",
}
"""S3's error codes, with patterns of the messages that come with them.

Some patterns are for the status of a server that sends no message.
"""


NOT_A_RASTER = "not recognized as being in a supported file format"
"""Part of GDAL's message about a file that is no raster, such as a web page."""
_PAGE = re.compile(
    rb"\s*(?:\xef\xbb\xbf)?\s*(?:<!doctype html|<\?xml[^>]*>\s*(?:<!doctype html|<html)|<html)", re.I
)
_LOGIN = "Log in with a browser and download the files, or use the same items on S3"


def is_web_page(start: bytes) -> bool:
    """Return whether a file that begins so is a web page (HTML), as servers send to who is not logged in."""
    return _PAGE.match(start) is not None


def web_page(what: str, href: str) -> Exception:
    """Return the error for a web page in place of a file: AccessDenied, or StoreError for a download."""
    if "://" not in href:
        return StoreError(
            f"cannot read {what}: the file is a web page, as a server sends to who is not logged in. Log in,"
            " and download it again"
        )
    return AccessDenied(f"the server sends a web page in place of {what}: it requires a login. {_LOGIN}")


def not_a_raster(what: str, href: str, start: bytes | None) -> Exception:
    """Return the error for a file that GDAL does not recognise as a raster.

    Args:
        what: see ``translate``.
        href: the file's address, as the scene has it.
        start: the file's first bytes; None where they are not known.
    """
    if start is not None and is_web_page(start):
        return web_page(what, href)
    advice = "check its address" if "://" in href else "download it again"
    if start == b"":
        return StoreError(f"cannot read {what}: the file is empty; {advice}")
    begin = f", and begins with {start[:16]!r}" if start else ""
    return StoreError(f"cannot read {what}: the file is not a raster{begin}; {advice}")


def translate(what: str, href: str, number: int | None, message: str) -> Exception:
    """Return the error to raise for a file that could not be read.

    Args:
        what: the thing that could not be read, with an address that holds no credentials.
        href: the file's address, as the scene has it.
        number: GDAL's error number, if there is one.
        message: GDAL's messages, without credentials.

    Returns:
        NotFound, AccessDenied, CredentialsError, CredentialsExpired or StoreError.
    """
    if href.startswith(S3) and number == _NO_CREDENTIALS:
        return CredentialsError(
            f"no AWS credentials to read {what}: {message}. Create credentials with aws configure, or sign in"
            " with aws sso login"
        )
    code = _s3_code(number, message)
    if code == "NoSuchKey":
        advice = "; check the product id and the dates in it" if "://" in href else ""
        return NotFound(f"there is no {what}{advice}")
    if code == "AccessDenied" and "://" in href:
        return _access_denied(what, href, message)
    if href.startswith(S3):
        if code == "NoSuchBucket":
            return NotFound(f"there is no bucket {href[len(S3) :].partition('/')[0]!r}: cannot read {what}")
        credentials_error = errors.credentials_error(code, message)
        if credentials_error is not None:
            return type(credentials_error)(f"cannot read {what}: {credentials_error}")
    return StoreError(f"cannot read {what}: {message}")


def _s3_code(number: int | None, message: str) -> str:
    """Return S3's code for an error, or an empty string where it cannot be recognised."""
    if number in _CODES_BY_NUMBER:
        return _CODES_BY_NUMBER[number]
    in_xml = re.search(r"<Code>(\w+)</Code>", message)
    if in_xml is not None:
        return in_xml[1]
    return next((code for code, pattern in _CODES_BY_MESSAGE.items() if re.search(pattern, message)), "")


def _access_denied(what: str, href: str, message: str) -> AccessDenied:
    """Return the error for a file that the server refuses, with the fix for S3 or for another server."""
    if href.startswith(S3):
        return AccessDenied(
            f"S3 refuses {what}: {message}. The AWS credentials must allow s3:GetObject there. If"
            " the bucket is requester pays, as usgs-landsat is, the reader needs"
            " requester_pays=True"
        )
    if "sig" in parse_qs(urlsplit(href).query):
        advice = "The signature in the address may have expired: search and sign the items again"
    elif (urlsplit(href).hostname or "").endswith(_SIGNING_HOSTS) or "HTTP response code: 409" in message:
        advice = (
            "Such addresses have to be signed: pip install planetary-computer and search again, which signs"
            " them, or use the same items on S3"
        )
    elif "HTTP response code: 401" in message:
        advice = f"The server requires a login. {_LOGIN}"
    else:
        advice = f"The server requires a login or a signature. {_LOGIN}, or sign the items"
    return AccessDenied(f"the server refuses {what}: {message}. {advice}")
