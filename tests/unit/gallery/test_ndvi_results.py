"""Which results may be joined in one curve, mosaic or composite."""

from datetime import date

import pytest

from wrenlite.errors import ConfigError
from wrenlite.gallery.ndvi.results import PointNdvi, Timing, check_one_level


def point(product, level=2, index="NDVI"):
    timing = Timing(open_s=0, read_s=0, compute_s=0)
    return PointNdvi(
        product=product, date=date(2022, 1, 1), value=0.5, timing=timing, level=level, index=index
    )


def test_levels_are_joined_only_when_asked_for():
    points = [point("surface"), point("atmosphere", level=1), point("surface too")]
    advice = r"choose scenes of one level, with Query\(levels=\(2,\)\), or give mixed=True"
    with pytest.raises(ConfigError, match=f"^atmosphere of level 1 and surface too of level 2 .*{advice}$"):
        check_one_level(iter(points))
    check_one_level(points, mixed=True)
    for level in (1, 2):
        check_one_level([point("one", level), point("other", level)])


def test_indices_are_never_joined():
    points = [point("first"), point("second", index="EVI")]
    for mixed in (False, True):
        with pytest.raises(ConfigError, match="NDVI of first and EVI of second are different indices"):
            check_one_level(points, mixed)


def test_nothing_and_one_result_can_be_joined():
    check_one_level([])
    check_one_level([point("only", level=1)])
