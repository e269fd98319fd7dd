"""Functions that invoke functions: Lambda stops what looks like an endless loop, unless a function allows it.

Each invocation hands a header on, which counts how often each function took part in what led to it. AWS's
SDKs put it into requests that they send within a function.
"""

import hashlib
import re
from collections import Counter

_LINEAGE = re.compile(r"Lineage=([^;]*)")
_MOST = 16
"""The invocations of one function in one chain of requests that Lambda allows."""


def next_trace(arn: str, header: str, *, allowed: bool) -> str | None:
    """Return the trace header of an invocation; None where Lambda stops the loop that it is part of.

    Args:
        arn: ARN of the function, without a version.
        header: the trace header of the request; empty where it did not come from a function.
        allowed: whether the function allows loops.
    """
    found = _LINEAGE.search(header)
    parts = [part.split(":") for part in found[1].split("|")] if found else []
    counts = Counter({name: int(number) for _, name, number in parts})
    name = hashlib.sha256(arn.encode()).hexdigest()[:8]
    counts[name] += 1
    if counts[name] > _MOST and not allowed:
        return None
    lineage = "|".join(f"1:{each}:{number}" for each, number in counts.items())
    return f"Root=1-00000000-{'0' * 24};Parent={'0' * 16};Sampled=0;Lineage={lineage}"
