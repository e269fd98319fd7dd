"""AWS's signature, version 4, of POST requests to any service but S3. Pure.

Source: "Create a signed AWS API request" in the IAM user guide. botocore's signer takes four times as long,
since it derives the key of the day for every request, and copies the headers for each step.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

_ALGORITHM = "AWS4-HMAC-SHA256"


def sign(
    credentials: Any,
    service: str,
    region: str,
    path: str,
    headers: Mapping[str, str],
    data: bytes,
    now: float,
) -> dict[str, str]:
    """Return all headers of a request: those to be signed, and those of the signature.

    Args:
        credentials: frozen credentials of botocore.
        service: name of the service, such as ``lambda``.
        region: region of the service.
        path: path of the URL, quoted and without ``.`` and ``..``. There is no query.
        headers: the headers to be signed, ``host`` among them. Names are in lower case, and values have no
            spaces at their ends and no two in a row.
        data: the body.
        now: seconds since the epoch.
    """
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    day = moment[:8]
    digest = hashlib.sha256(data).hexdigest()
    signed = {**headers, "x-amz-content-sha256": digest, "x-amz-date": moment}
    if credentials.token:
        signed["x-amz-security-token"] = credentials.token
    names = sorted(signed)
    listed = ";".join(names)
    lines = [f"{name}:{signed[name]}" for name in names]
    canonical = "\n".join(["POST", quote(path, safe="/~"), "", *lines, "", listed, digest])
    scope = f"{day}/{region}/{service}/aws4_request"
    text = f"{_ALGORITHM}\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = _hmac(_key_of_day(credentials.secret_key, day, region, service), text).hex()
    signed["authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, "
        f"SignedHeaders={listed}, Signature={signature}"
    )
    return signed


@lru_cache(maxsize=1)
def _key_of_day(secret: str, day: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = _hmac(key, part)
    return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
