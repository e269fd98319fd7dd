"""NDVI of TM and ETM+ made comparable with that of OLI."""

import math
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from wrenlite.errors import ConfigError
from wrenlite.gallery.ndvi.harmonisation import LINES, comparability, harmonise, sensors_named
from wrenlite.gallery.ndvi.results import PointNdvi, Timing


def point(sensor="ETM+", value=0.5, **facts):
    satellite = {"OLI": "Landsat 8", "ETM+": "Landsat 7", "TM": "Landsat 5"}.get(sensor, "")
    facts = {"satellite": satellite, "sensor": sensor, **facts}
    timing = Timing(open_s=0, read_s=0, compute_s=0)
    return PointNdvi(product="a scene", date=date(2022, 1, 1), value=value, timing=timing, **facts)


@pytest.mark.parametrize("sensor", ["ETM+", "TM"])
@pytest.mark.parametrize(("level", "expected"), [(1, 0.0490 + 0.9352 * 0.5), (2, 0.0235 + 0.9723 * 0.5)])
def test_the_published_lines_are_applied_by_level(sensor, level, expected):
    [got] = harmonise([point(sensor, level=level)])
    assert got.value == pytest.approx(expected)
    assert got.harmonised


def test_the_published_regression_at_the_top_of_the_atmosphere_agrees_with_its_inverse():
    # Roy et al. also fitted ETM+ = -0.0110 + 0.9690 OLI to the same pixels, and the reduced major axis
    # OLI = 0.0306 + 0.9824 ETM+. All three go through the mean, and the slope of the third is the root of the
    # quotient of the other two, so a mistyped digit shows.
    forth, back, axis = LINES["ETM+", 1], (-0.0110, 0.9690), (0.0306, 0.9824)
    assert math.sqrt(forth.slope / back[1]) == pytest.approx(axis[1], abs=1e-4)
    etm = (axis[0] - forth.intercept) / (forth.slope - axis[1])
    oli = forth.intercept + forth.slope * etm
    assert back[0] + back[1] * oli == pytest.approx(etm, abs=2e-3)


def test_oli_hidden_and_harmonised_points_stay_as_they_are():
    points = [point("OLI"), point("", np.nan, hidden="cloud"), point("TM")]
    once = harmonise(points)
    assert once[0] is points[0]
    assert np.isnan(once[1].value)
    assert once[1].hidden == "cloud"
    assert harmonise(once)[2].value == once[2].value != 0.5


def test_values_beyond_the_fitted_range_stay_valid():
    got = [each.value for each in harmonise([point(value=value) for value in (-1.0, -0.3, 0.0, 1.0)])]
    assert got == pytest.approx([-0.9488, -0.26819, 0.0235, 0.9958])


def test_what_has_no_published_transformation_is_refused():
    with pytest.raises(ConfigError, match=r"EVI of a scene cannot be harmonised: Roy et al\. 2016 published"):
        harmonise([point(index="EVI")])
    with pytest.raises(ConfigError, match="no published transformation of sensor MSI, level 2, to OLI"):
        harmonise([point("MSI")])
    with pytest.raises(ConfigError, match="sensor unknown, level 2"):
        harmonise([point("")])
    assert harmonise([point("OLI", index="EVI")])[0].value == 0.5


def test_the_sensors_in_words():
    assert sensors_named([point(""), point("OLI")]) == "Landsat 8 OLI"
    assert sensors_named([]) == ""
    assert sensors_named([point("TM"), point("ETM+")]) == "Landsat 5 TM and 7 ETM+"


def test_what_must_be_known_to_compare_points_in_words():
    both = [point("OLI"), point("ETM+"), point("OLI", satellite="Landsat 9")]
    assert comparability(both) == "Landsat 7 ETM+, 8 OLI and 9 OLI, not harmonised"
    hidden = point("ETM+", np.nan, hidden="cloud")
    expected = "Landsat 7 ETM+ and 8 OLI, harmonised to OLI (Roy et al. 2016)"
    assert comparability([*harmonise(both[:2]), hidden]) == expected
    assert "partly harmonised to OLI" in comparability([*harmonise(both), point("TM")])
    for alone in ([], [point("")], [point("OLI")], [point("TM"), point("ETM+")], [point("OLI"), hidden]):
        assert comparability(alone) == ""
    assert comparability(harmonise([point("TM")])).startswith("Landsat 5 TM, harmonised")
    levels = [point("OLI"), replace(point("OLI"), level=1)]
    assert comparability(levels) == "Landsat 8 OLI, levels 1 and 2 mixed"
