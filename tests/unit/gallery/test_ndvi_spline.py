"""The smoothing spline: against scipy's, which has no bounds and no band, and against known truth."""

import numpy as np
import pytest

from wrenlite.gallery.ndvi import spline

FINITE = 1e-5
"""What the curve may differ from its definition: its first value and slope have a large variance, not an
infinite one. Measured: 5e-6 with 40 points in 38 years, else 5e-7; the step of NDVI in files is 1e-4."""


def noisy_series(rng, count=45, noise=0.015):
    """Return days, values and weights of a season with noise, on some of the passes of three years."""
    days = np.sort(rng.choice(69, count, replace=False)) * 16.0
    weights = rng.uniform(0.2, 1, count)
    return days, season(days) + noise * rng.standard_normal(count) / np.sqrt(weights), weights


def season(days):
    return 0.5 + 0.2 * np.sin(days / 58.1) + 0.05 * np.sin(days / 29 + 1)


@pytest.mark.parametrize("smoothing", [300.0, 3e3, 1e6])
@pytest.mark.parametrize(("count", "span"), [(5, 70), (60, 1_100), (40, 14_000)])
def test_the_curve_is_the_one_of_scipy(smoothing, count, span):
    interpolate = pytest.importorskip("scipy.interpolate")
    rng = np.random.default_rng(count)
    days = 738_000 + np.sort(rng.choice(span, count, replace=False)).astype(np.float64)
    values, weights = rng.uniform(0.2, 0.8, count), rng.uniform(0.05, 1, count)
    expected = interpolate.make_smoothing_spline(days, values, w=weights, lam=smoothing)
    between = np.linspace(days[0], days[-1], 77)
    got, _ = spline.fit(days, values, weights, smoothing).at(between)
    assert np.abs(got - expected(between)).max() < FINITE


def test_the_variance_is_that_of_the_matrices_of_the_definition():
    days = np.array([0.0, 3.0, 20.0, 21.0, 90.0, 200.0])
    values, weights = np.array([0.1, 0.3, 0.2, 0.6, 0.5, 0.4]), np.array([1.0, 0.3, 0.8, 0.05, 1.0, 0.6])
    earlier, later = np.minimum(days, days[:, None]), np.maximum(days, days[:, None])
    wander = earlier**2 * (3 * later - earlier) / 6 / 3e3  # covariance of an integrated random walk
    inverse = np.linalg.inv(wander + np.diag(1 / weights))
    line = np.stack([np.ones(6), days], axis=1)
    residual = inverse - inverse @ line @ np.linalg.inv(line.T @ inverse @ line) @ line.T @ inverse
    variance = (1 - np.diag(residual) / weights) / weights
    fitted = spline.fit(days, values, weights, 3e3)
    means, deviations = fitted.at(days)
    assert means == pytest.approx(values - residual @ values / weights, abs=FINITE)
    assert (deviations / fitted.noise) ** 2 == pytest.approx(variance, rel=1e-4)
    assert fitted.freedom == pytest.approx(6 - (weights * variance).sum(), rel=1e-4)


def test_days_may_be_asked_for_in_any_order_and_beyond_the_ends():
    days, values, weights = noisy_series(np.random.default_rng(0))
    fitted = spline.fit(days, values, weights)
    asked = np.array([500.0, -60.0, 1_300.0, days[3], -30.0, 500.0])
    means, deviations = fitted.at(asked)
    one_by_one = [fitted.at(np.array([day])) for day in asked]
    assert means == pytest.approx([float(mean[0]) for mean, _ in one_by_one], abs=FINITE)
    first, _ = fitted.at(days[:1])
    assert first[0] - means[4] == pytest.approx((days[0] + 30) / 30 * (means[4] - means[1]), abs=FINITE)
    assert deviations[1] > deviations[4] > deviations[3]


def test_few_points_of_a_flat_place_do_not_wiggle_as_without_bounds():
    interpolate = pytest.importorskip("scipy.interpolate")
    rng = np.random.default_rng(0)
    ours, unbounded = [], []
    for _ in range(40):
        days = np.sort(rng.choice(14, 10, replace=False)) * 16.0
        values, weights = 0.5 + 0.02 * rng.standard_normal(10), np.ones(10)
        daily = np.arange(days[0], days[-1] + 1)
        ours.append(spline.fit(days, values, weights).at(daily)[0])
        unbounded.append(interpolate.make_smoothing_spline(days, values)(daily))

    def climbed(curves):
        return np.mean([np.abs(np.diff(curve)).sum() for curve in curves])

    def turns(curve):
        return np.count_nonzero(np.diff(np.sign(np.diff(curve))))

    assert climbed(ours) < 0.25 * climbed(unbounded)  # measured: 0.15
    assert np.mean(list(map(turns, ours))) < 1.5  # measured: 0.7, and 5.8 without bounds
    assert np.mean(list(map(turns, unbounded))) > 4


def test_a_season_is_kept_where_points_allow_it():
    days, values, weights = noisy_series(np.random.default_rng(1))
    for sparse in (slice(None), slice(None, None, 2)):
        fitted = spline.fit(days[sparse], values[sparse], weights[sparse])
        daily = np.arange(days[0], days[-1] + 1)
        assert np.abs(fitted.at(daily)[0] - season(daily)).max() < 0.1  # of an amplitude of 0.25


def test_the_band_covers_the_truth_as_often_as_it_says_where_there_is_no_haze():
    rng = np.random.default_rng(2)
    covered = {0.95: [], 0.5: []}
    for _ in range(40):
        days, values, weights = noisy_series(rng)
        fitted = spline.fit(days, values, weights)
        asked = np.arange(days[0], days[-1], 7.0)
        for probability, shares in covered.items():
            low, high = fitted.band(asked, probability)
            shares.append(np.mean((low < season(asked)) & (season(asked) < high)))
    # The limits hold on average; 40 series tell a share to within about 0.03.
    assert np.mean(covered[0.95]) == pytest.approx(0.95, abs=0.04)
    assert np.mean(covered[0.5]) == pytest.approx(0.5, abs=0.08)


def test_values_without_noise_give_a_narrow_band():
    days = np.arange(0.0, 400.0, 16.0)
    for values in (np.full(len(days), 0.4), 0.2 + days / 1000):
        fitted = spline.fit(days, values, np.ones(len(days)))
        low, high = fitted.band(days, 0.95)
        assert np.abs(high - low).max() < 1e-5
        assert np.abs((low + high) / 2 - values).max() < 1e-6
