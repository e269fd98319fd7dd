"""The table and the curve of a place's values."""

import dataclasses
import sys
from datetime import date, timedelta

import numpy as np
import pytest

from tests.landsat import scenes_of
from wrenlite.errors import ConfigError, PackageMissing
from wrenlite.gallery.landsat import tasks
from wrenlite.gallery.ndvi import series
from wrenlite.gallery.ndvi.results import PointNdvi, Timing
from wrenlite.gallery.synthetic.places import PLACES

# Measured: 0.0239, 0.0225, 0.0086, 0.0198. A tenth more is for other versions of numpy, whose random numbers
# make the archive, and of scipy.
RMSE = {"coffee-triangle": 0.0263, "napa": 0.0248, "death-valley": 0.0095, "sula-vineyard": 0.0218}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_the_spline_recovers_the_truth(scenes, place):
    found = [tasks.ndvi_point(scene, place.lon, place.lat) for scene in scenes_of(scenes, place)]
    days, curve = series.smooth(found).daily()
    truth = np.array([place.truth(day) for day in days])
    rmse = np.sqrt(np.mean((curve - truth) ** 2))
    assert rmse < RMSE[place.name]
    assert rmse < 0.5 * truth.std()  # a straight line through the mean has 1


def point(day, value, cloud=0.0):
    return PointNdvi(
        product="p",
        date=date(2022, 1, 1) + timedelta(day),
        value=value,
        cloud=cloud,
        timing=Timing(open_s=0, read_s=0, compute_s=0),
    )


def test_cloudy_scenes_have_less_weight():
    clear = [point(day, 0.5) for day in range(0, 200, 10)]
    wrong = [point(day, 0.1, cloud=95.0) for day in range(5, 200, 20)]
    assert np.abs(series.smooth(clear + wrong).daily()[1] - 0.5).max() < 0.03
    trusted = [dataclasses.replace(each, cloud=0.0) for each in wrong]
    assert np.abs(series.smooth(clear + trusted).daily()[1] - 0.5).max() > 0.1


def test_a_day_with_two_scenes_counts_once_and_masked_points_do_not_count():
    found = [point(day, 0.5) for day in (50, 30, 0, 10, 20)] + [point(10, 0.7), point(40, np.nan)]
    curve = series.smooth(found, smoothing=1e-3)
    assert (curve.used, curve.start, curve.end) == (6, date(2022, 1, 1), date(2022, 2, 20))
    assert curve.at([date(2022, 1, 11)])[0] == pytest.approx(0.6, abs=1e-3)


def test_a_curve_knows_its_gaps():
    days = [0, 20, 80, 141, 160, 161, 300]
    found = [point(day, 0.5) for day in days] + [point(day, np.nan) for day in range(165, 300, 16)]
    found += [point(day, np.nan) for day in (-90, 400)]  # outside of the curve
    gaps = series.smooth(found[::-1]).gaps
    assert [tuple((day - date(2022, 1, 1)).days for day in gap) for gap in gaps] == [(80, 141), (161, 300)]


def test_too_few_points_for_a_curve():
    with pytest.raises(
        ConfigError, match="only 4 days with a usable value, and a curve needs 5: take a longer time"
    ):
        series.smooth([point(day, 0.5) for day in range(4)] + [point(9, np.nan)])


def test_the_table_is_sorted_and_keeps_masked_points():
    table = series.table([point(3, 0.5), point(1, np.nan, cloud=None)], "napa")
    assert table["date"].is_monotonic_increasing
    assert table["ndvi"].isna().tolist() == [True, False]
    assert table["cloud"].isna().tolist() == [True, False]
    assert set(table["place"]) == {"napa"}
    assert series.table([]).columns.tolist() == table.columns.tolist()


@pytest.mark.parametrize(("module", "call"), [("scipy.interpolate", series.smooth), ("pandas", series.table)])
def test_a_missing_package_of_the_client_is_named(monkeypatch, module, call):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(PackageMissing, match=r"pip install 'wrenlite\[landsat\]'"):
        call([])
