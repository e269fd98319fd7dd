"""A cubic smoothing spline through irregular days: its stiffness by cross-validation, and its uncertainty.

The spline is the mean of a curve whose slope is a random walk, given the observations (Wahba 1978, JRSS B 40,
364). So the variance of that curve is the spline's uncertainty (Wahba 1983, JRSS B 45, 133), and a Kalman
filter with a smoother computes both in one pass forth and one back (Wecker and Ansley 1983, JASA 78, 81;
equations of Durbin and Koopman 2012, Time Series Analysis by State Space Methods, section 4.4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SHORTEST_DAYS, LONGEST_DAYS = 90.0, 730.0
"""Periods of the waves of which the softest and the stiffest curve keep half the amplitude.

A softer curve follows the weather of single scenes; a stiffer one loses the seasons.
"""
SOFTEST, STIFFEST = 1.0, 1e12
"""Smoothing factors, in days cubed, between which numbers are exact enough: from no smoothing to a line."""
_STEPS_PER_DECADE = 4
_LEAST_FREEDOM = 0.1
"""A curve through every point leaves nothing to estimate the noise from, and its band is very wide."""
_DIFFUSE = np.diag([1e6, 1e3])
"""Variance of the curve's first value and slope per day, in variances of an observation: nothing is known."""


@dataclass(frozen=True)
class Spline:
    """A smoothing spline and its observations."""

    days: Floats
    """Days of the observations, ascending."""
    values: Floats
    weights: Floats
    smoothing: float
    """The factor of the integral of the squared second derivative, in days cubed."""
    noise: float
    """Standard deviation of an observation of weight 1 about the curve."""
    freedom: float
    """Degrees of freedom that the curve leaves, which the noise is estimated from."""

    def at(self, days: Floats) -> tuple[Floats, Floats]:
        """Return the curve and its standard deviation on some days, in any order."""
        every_day = np.union1d(self.days, days)
        values, weights = np.zeros((2, len(every_day)))
        observed = np.searchsorted(every_day, self.days)
        values[observed], weights[observed] = self.values, self.weights
        means, variances = _smooth(every_day, values, weights, np.array([self.smoothing]))
        asked = np.searchsorted(every_day, days)
        return means[0, asked], self.noise * np.sqrt(np.maximum(variances[0, asked], 0.0))

    def band(self, days: Floats, probability: float) -> tuple[Floats, Floats]:
        """Return the lower and upper limit of the curve on some days, of Student's distribution."""
        from scipy.special import stdtrit

        means, deviations = self.at(days)
        half_width = deviations * float(stdtrit(max(1.0, self.freedom), (1 + probability) / 2))
        return means - half_width, means + half_width


def fit(days: Floats, values: Floats, weights: Floats, smoothing: float | None = None) -> Spline:
    """Return the smoothing spline of some observations.

    Args:
        days: days of the observations, ascending and different from one another, two at least.
        values: the observations.
        weights: their weights; the variance of an observation is inversely proportional to its weight.
        smoothing: the factor of the integral of the squared second derivative, in days cubed; None chooses
            it by generalised cross-validation (Craven and Wahba 1979, Numerische Mathematik 31, 377) within
            the bounds of ``SHORTEST_DAYS`` and ``LONGEST_DAYS``.
    """
    tried = _candidates(days, weights) if smoothing is None else np.array([smoothing])
    means, variances = _smooth(days, values, weights, tried)
    squares = (weights * (values - means) ** 2).sum(axis=1)
    freedom = np.maximum(len(days) - (weights * variances).sum(axis=1), _LEAST_FREEDOM)
    best = int(np.argmin(squares / freedom**2))
    return Spline(
        days=days,
        values=values,
        weights=weights,
        smoothing=float(tried[best]),
        noise=math.sqrt(squares[best] / freedom[best]),
        freedom=float(freedom[best]),
    )


def _candidates(days: Floats, weights: Floats) -> Floats:
    """Return the smoothing factors to choose from.

    A spline halves a wave of period P where its factor is the weight per day times (P / 2 pi)^4 (Silverman
    1984, Annals of Statistics 12, 898).
    """
    weight_per_day = weights.sum() / (days[-1] - days[0])
    low, high = (weight_per_day * (period / (2 * math.pi)) ** 4 for period in (SHORTEST_DAYS, LONGEST_DAYS))
    return np.geomspace(low, high, round(_STEPS_PER_DECADE * math.log10(high / low)) + 1)


def _smooth(days: Floats, values: Floats, weights: Floats, smoothing: Floats) -> tuple[Floats, Floats]:
    """Return the curve's mean and variance on each day, for each smoothing factor, of shape (factors, days).

    The variance is in units of the variance of an observation of weight 1. A weight of 0 is no observation.
    """
    middle = np.average(values, weights=weights)
    state = np.zeros((len(smoothing), 2))  # value and slope
    spread = np.broadcast_to(_DIFFUSE, (len(smoothing), 2, 2))
    steps = []
    for value, weight, wait in zip(values - middle, weights, np.diff(days, append=days[-1]), strict=True):
        precision = weight / (weight * spread[:, 0, 0] + 1)  # of the difference between value and prediction
        innovation = precision * (value - state[:, 0])
        steps.append((state, spread, precision, innovation, wait))
        state = state + spread[:, :, 0] * innovation[:, None]
        spread = spread - spread[:, :, :1] * spread[:, :1, :] * precision[:, None, None]
        move, wander = np.array([[1.0, wait], [0.0, 1.0]]), _wander(wait) / smoothing[:, None, None]
        state, spread = state @ move.T, move @ spread @ move.T + wander
    means, variances = np.empty((2, len(smoothing), len(days)))
    pull, certainty = np.zeros((len(smoothing), 2)), np.zeros((len(smoothing), 2, 2))  # from later days
    for number in reversed(range(len(days))):
        state, spread, precision, innovation, wait = steps[number]
        move = np.array([[1.0, wait], [0.0, 1.0]])
        kept = np.tile(np.eye(2), (len(smoothing), 1, 1))
        kept[:, :, 0] -= spread[:, :, 0] * precision[:, None]
        kept = move @ kept
        pull = np.einsum("lji,lj->li", kept, pull)
        pull[:, 0] += innovation
        certainty = kept.transpose(0, 2, 1) @ certainty @ kept
        certainty[:, 0, 0] += precision
        first = spread[:, 0, :]
        means[:, number] = middle + state[:, 0] + (first * pull).sum(axis=1)
        variances[:, number] = spread[:, 0, 0] - np.einsum("li,lij,lj->l", first, certainty, first)
    return means, variances


def _wander(wait: float) -> Floats:
    """Return the covariance of value and slope that a random walk of the slope gains in some days."""
    return np.array([[wait**3 / 3, wait**2 / 2], [wait**2 / 2, wait]])
