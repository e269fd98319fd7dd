"""Keys of jobs, and what is signed with them. Pure.

A job has a key of its own, which only its client and its keeper have. A request carries a key that is derived
from it, so that whoever sees one request cannot forge the reply to another. All that is read from a store
other than by its digest is signed, with its own name: nothing can stand in the place of something else.
"""

from __future__ import annotations

import hashlib
import hmac
import json

from wrenlite.errors import IntegrityError
from wrenlite.protocol import PROTOCOL

_MAC_BYTES = 32


def derived(key: bytes, *context: str) -> bytes:
    """Return a key that follows from another one. The other one does not follow from it.

    Args:
        key: the other key.
        context: what the derived key is for.
    """
    return _mac(key, b"", "key", *context)


def signed(key: bytes, body: bytes, *context: str) -> bytes:
    """Return a text with its HMAC-SHA256 (RFC 2104) before it.

    Args:
        key: the key.
        body: the text.
        context: what the text is, and where it belongs.
    """
    return _mac(key, body, *context) + body


def verified(key: bytes, blob: bytes, *context: str) -> bytes:
    """Return the text that ``signed`` was given, once its HMAC is checked.

    Args:
        key: the key.
        blob: what ``signed`` returned.
        context: as for ``signed``.

    Raises:
        IntegrityError: it was not signed with this key, or for another context.
    """
    mac, body = blob[:_MAC_BYTES], blob[_MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(key, body, *context)):
        raise IntegrityError(
            f"the {' '.join(context)} in the store was not written with the key of this job: it is not used"
        )
    return body


def _mac(key: bytes, body: bytes, *context: str) -> bytes:
    identity = json.dumps([PROTOCOL, *context]).encode()  # it has no zero byte
    return hmac.digest(key, identity + b"\0" + body, hashlib.sha256)
