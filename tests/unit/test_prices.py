"""The table of prices: how old it is, and what differs between regions."""

from datetime import UTC, datetime

import pytest

from wrenlite import cost


def test_the_prices_are_at_most_a_year_old():
    seen = datetime.strptime(cost.PRICES_DATE, "%Y-%m").replace(tzinfo=UTC)
    age = datetime.now(UTC) - seen
    assert age.days <= 366, "compare the table in wrenlite/cost.py with AWS's price list, and change its date"


@pytest.mark.parametrize(
    ("region", "per_gb_s", "per_million"),
    [("us-east-1", 0.0000166667, 0.20), ("eu-west-1", 0.0000166667, 0.20), ("ap-east-1", 0.00002292, 0.28)],
)
def test_requests_and_seconds_have_the_prices_of_the_region(region, per_gb_s, per_million):
    prices = cost.prices(region, "x86_64", memory_mb=1024, limit_s=900)
    assert prices.dollars(1_000_000, 0.0) == pytest.approx(per_million)
    assert prices.dollars(0, 1.0) == per_gb_s
