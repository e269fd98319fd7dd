"""What AWS charges, as an estimate: pure functions over a dated table of prices.

Not counted: the free tier, taxes, savings plans, ephemeral storage over 512 MB, transfer and what lies
in the bucket. S3 requests are not counted either: a GET a cold worker ($0.0000004), and a PUT ($0.000005)
for each function, each object, and each batch, value or reply that has to be stored.
"""

from __future__ import annotations

from typing import NamedTuple

PRICES_OF = "2025-10"
"""When the prices below were the public ones: AWS's price list for Lambda, first tier, on demand."""

_REQUEST = 0.20 / 1e6
"""Dollars per request, in every region of the table."""
_X86 = 0.0000166667
"""Dollars per GB-second in all regions that are not in the table below."""
_ARM_SHARE = 0.0000133334 / 0.0000166667
_REGIONS = {
    "af-south-1": (0.0000221, 0.00001768),
    "ap-east-1": (0.00002292, 0.0000183),
    "eu-south-1": (0.0000195172, 0.0000156138),
    "me-central-1": (0.0000206667, 0.0000165334),
    "me-south-1": (0.0000206667, 0.0000165334),
}
"""Dollars per GB-second on x86 and on arm64 where they differ from the rest."""

STORED_GB_MONTH = 0.023
"""Dollars per GB and month in S3, standard storage, us-east-1."""
LOGGED_GB = 0.50
"""Dollars per GB that is written to a log, us-east-1."""


class Prices(NamedTuple):
    """What one function costs."""

    gb_s: float
    """Dollars per GiB-second."""
    request: float
    """Dollars per request."""
    memory_gb: float
    """GiB that the function has."""
    limit_s: float
    """Seconds after which the function is stopped: what is charged where the true time is unknown."""

    def dollars(self, requests: int, gb_s: float) -> float:
        """What so many requests of so many billed GiB-seconds in all cost."""
        return requests * self.request + gb_s * self.gb_s

    def of_seconds(self, seconds: float) -> float:
        """What one request of so many seconds costs."""
        return self.dollars(1, seconds * self.memory_gb)


class Cost(NamedTuple):
    """What a job cost so far, or took; dollars are an estimate."""

    requests: int
    gb_s: float
    """Billed GiB-seconds."""
    dollars: float

    def plus(self, requests: int, gb_s: float, prices: Prices | None) -> Cost:
        """With so many more requests of so many billed GiB-seconds in all; without prices they are free."""
        requests, gb_s = self.requests + requests, self.gb_s + gb_s
        return Cost(requests, gb_s, prices.dollars(requests, gb_s) if prices else 0.0)

    def __str__(self) -> str:
        return f"about ${self.dollars:.6f} ({self.requests:,} requests, {self.gb_s:,.2f} GB-s)"


FREE = Cost(0, 0.0, 0.0)


def prices(region: str, architecture: str, *, memory_mb: int, limit_s: float) -> Prices:
    """The prices of a function.

    Args:
        region: such as ``eu-west-1``.
        architecture: ``x86_64`` or ``arm64``.
        memory_mb: MiB that the function has.
        limit_s: the function's time limit.
    """
    x86, arm = _REGIONS.get(region, (_X86, _X86 * _ARM_SHARE))
    return Prices(arm if architecture == "arm64" else x86, _REQUEST, memory_mb / 1024, limit_s)
