"""Estimate what AWS charges, with pure functions over a dated table of prices.

The estimate leaves out the free tier, taxes, savings plans, ephemeral storage above 512 MB, data transfer and
storage in the bucket. Requests to S3 are counted where a job needs them: for its code, for items and values
that do not fit into a request or a reply, and for what batches of more than 10 s leave and look for there.
Those of the user's own code, of ``executor.put``, of a cancel and of deleting are left out.
"""

from __future__ import annotations

import operator
import re
from typing import NamedTuple

from wrenlite.protocol import Usage
from wrenlite.texts import counted

PRICES_DATE = "2026-09"
"""Month of the prices below: those of AWS's public price list for Lambda (offer ``AWSLambda``, published on
2026-09-19) on demand, in the first tier. A test fails when they are more than a year old."""

_REQUEST_DOLLARS = 0.20 / 1e6
"""Dollars per request in most regions (usage type ``Request``)."""
_X86_DOLLARS = 0.0000166667
"""Dollars per GB-second on x86_64 in most regions (usage type ``Lambda-GB-Second``)."""
_ARM_SHARE = 0.0000133334 / 0.0000166667
"""Price of arm64 as a share of the price of x86_64, in those regions (``Lambda-GB-Second-ARM``)."""


class _Region(NamedTuple):
    x86: float
    arm: float
    request: float


_REGIONS = {
    "af-south-1": _Region(0.0000221, 0.00001768, 0.27 / 1e6),
    "ap-east-1": _Region(0.00002292, 0.0000183, 0.28 / 1e6),
    "eu-central-2": _Region(0.0000183334, 0.0000183334 * _ARM_SHARE, 0.22 / 1e6),
    "eu-south-1": _Region(0.0000195172, 0.0000156138, 0.23 / 1e6),
    "il-central-1": _Region(0.0000175, 0.0000175 * _ARM_SHARE, 0.21 / 1e6),
    "me-central-1": _Region(0.0000206667, 0.0000165334, 0.25 / 1e6),
    "me-south-1": _Region(0.0000206667, 0.0000165334, 0.25 / 1e6),
}
"""Regions with other prices, by the same three usage types. The list of 2026-09-19 was seen for af-south-1,
ap-east-1, eu-south-1 and me-south-1 on x86_64, and an older one for the rest."""

_OTHER_PARTITIONS = re.compile(r"cn-|us-gov-|us-iso|eu-iso|eusc-")
"""How regions begin that belong to other partitions of AWS, with prices of their own: China, GovCloud, the
sovereign clouds."""

STORE_PUT_DOLLARS = 0.005 / 1000
"""Dollars per PUT or LIST in S3: standard storage, us-east-1 (usage type ``Requests-Tier1``)."""
STORE_GET_DOLLARS = 0.0004 / 1000
"""Dollars per GET in S3: standard storage, us-east-1 (usage type ``Requests-Tier2``)."""
STORAGE_DOLLARS_PER_GB_MONTH = 0.023
"""Dollars per GB and month in S3: standard storage, us-east-1."""
LOG_DOLLARS_PER_GB = 0.50
"""Dollars per GB that is written to a log: us-east-1."""

DASHBOARD_DOLLARS, METRIC_DOLLARS, ALARM_METRIC_DOLLARS = 3.00, 0.30, 0.10
"""Dollars a month for a dashboard of CloudWatch, a metric of one's own, and a metric that an alarm watches:
us-east-1."""


class Prices(NamedTuple):
    """The prices of one Lambda function."""

    gb_s: float
    """Dollars per GiB-second."""
    request: float
    """Dollars per request."""
    memory_gb: float
    """Memory of the function in GiB."""
    limit_s: float
    """Time limit of the function: nothing runs longer, or is charged for more."""
    region: str = "us-east-1"
    architecture: str = "x86_64"

    @property
    def memory_mb(self) -> int:
        """Memory of the function in MiB."""
        return round(self.memory_gb * 1024)

    def with_memory(self, memory_mb: int) -> Prices:
        """Return the prices of the function with other memory, in MiB."""
        return self._replace(memory_gb=memory_mb / 1024)

    def on(self, architecture: str) -> Prices:
        """Return the prices of the function on another architecture."""
        return prices(self.region, architecture, memory_mb=self.memory_mb, limit_s=self.limit_s)

    def dollars(self, requests: int, gb_s: float) -> float:
        """Return the price of a number of requests that are billed for ``gb_s`` GiB-seconds in total."""
        return requests * self.request + gb_s * self.gb_s

    def request_dollars(self, duration_s: float) -> float:
        """Return the price of one request of this duration."""
        return self.dollars(1, duration_s * self.memory_gb)


_PROCESSOR_MB = 1769
"""Memory in MiB with which a function has one processor; with less or more, its share is in proportion."""
_MOST_PROCESSORS = 6.0


def processors(memory_mb: float) -> float:
    """Return how many processors a function has, which its memory decides.

    Args:
        memory_mb: memory of the function in MiB.
    """
    return min(_MOST_PROCESSORS, memory_mb / _PROCESSOR_MB)


class Cost(NamedTuple):
    """The cost of a job or an executor so far. The dollars are an estimate.

    A request that has no answer may have run or not. What it may have cost is not part of ``gb_s`` and
    ``dollars``, but of ``uncertain_dollars``.
    """

    requests: int
    """All requests, with those that have no answer."""
    gb_s: float
    """Billed GiB-seconds, as far as they are known."""
    dollars: float
    unanswered: int = 0
    """Requests that have no answer: the connection broke, or they were cancelled and not waited for."""
    uncertain_gb_s: float = 0.0
    """GiB-seconds that those may be billed for, at most."""
    uncertain_dollars: float = 0.0
    """Dollars that may be charged in addition, at most."""
    store_puts: int = 0
    """Requests to S3 that wrote or listed."""
    store_gets: int = 0
    """Requests to S3 that read."""

    @property
    def most_dollars(self) -> float:
        """The dollars that were spent at most: with what is uncertain."""
        return self.dollars + self.uncertain_dollars

    @property
    def store_dollars(self) -> float:
        """The part of ``dollars`` that is for requests to S3."""
        return self.store_puts * STORE_PUT_DOLLARS + self.store_gets * STORE_GET_DOLLARS

    def plus(self, usage: Usage, prices: Prices | None) -> Cost:
        """Return the cost with the usage of a request, or of several, added.

        Args:
            usage: what they used.
            prices: the function's prices; None: all is free.
        """
        cost = Cost(
            requests=usage.requests,
            gb_s=usage.gb_s,
            dollars=0.0,
            unanswered=usage.unanswered,
            uncertain_gb_s=usage.uncertain_gb_s,
            store_puts=usage.store_puts,
            store_gets=usage.store_gets,
        )
        return self.with_cost(cost if prices is None else cost._priced(prices))

    def with_cost(self, other: Cost) -> Cost:
        """Return the sum of this cost and another one, which may have other prices."""
        return Cost(*map(operator.add, self, other))

    def _priced(self, prices: Prices) -> Cost:
        return self._replace(
            dollars=prices.dollars(self.requests, self.gb_s) + self.store_dollars,
            uncertain_dollars=prices.dollars(0, self.uncertain_gb_s),
        )

    def __repr__(self) -> str:
        return f"<Cost: {self}>" if self.requests or self.dollars else "<Cost: nothing was charged>"

    def __str__(self) -> str:
        store = f", {self.store_puts:,} PUT and {self.store_gets:,} GET to S3" if self.store_dollars else ""
        requests = counted(self.requests, "request")
        known = f"about ${self.dollars:.6f} ({requests}, {self.gb_s:,.2f} GB-s{store})"
        if not self.unanswered:
            return known
        requests = counted(self.unanswered, "request")
        return f"{known}, and up to ${self.uncertain_dollars:.6f} more for {requests} without an answer"


FREE = Cost(requests=0, gb_s=0.0, dollars=0.0)
"""The cost of nothing, to which requests are added."""


def unknown_prices(region: str) -> str:
    """Return a warning if the prices of a region are unknown; otherwise an empty text.

    Args:
        region: AWS region, such as ``eu-west-1``.
    """
    if not _OTHER_PARTITIONS.match(region):
        return ""
    return (
        f"AWS's prices in {region} are not known here: dollars, also those of a budget, are counted with the "
        "prices of us-east-1. The bill will differ (in China it is in CNY)"
    )


def prices(region: str, architecture: str, *, memory_mb: int, limit_s: float) -> Prices:
    """Return the prices of a function.

    Args:
        region: AWS region, such as ``eu-west-1``.
        architecture: ``x86_64`` or ``arm64``.
        memory_mb: memory of the function in MiB.
        limit_s: time limit of the function.
    """
    usual = _Region(_X86_DOLLARS, _X86_DOLLARS * _ARM_SHARE, _REQUEST_DOLLARS)
    found = _REGIONS.get(region, usual)
    return Prices(
        gb_s=found.arm if architecture == "arm64" else found.x86,
        request=found.request,
        memory_gb=memory_mb / 1024,
        limit_s=limit_s,
        region=region,
        architecture=architecture,
    )
