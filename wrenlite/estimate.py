"""``Estimate``: how long a map would take and what it would cost, judged by a few of its tasks.

What is known of each item before it runs is its amount: a number is its own amount, and that of anything
else is the size of its pickle. The sample is spread over the amounts. Where the tasks of the sample take
longer the larger their amounts are, the others are judged by theirs (a regression estimator: Cochran,
*Sampling Techniques*, 1977, chapter 7); otherwise by the mean of the sample. Which of the two, and how good
it is, is tested by leaving out each task of the sample in turn.

For 18 of twenty recorded jobs (``tests/durations.json``) the work of all tasks is within the interval in nine
samples of ten. The functions here are pure.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from operator import index
from typing import TYPE_CHECKING, Any, NamedTuple

from wrenlite.backends.base import Backend
from wrenlite.cost import STORE_GET_DOLLARS, STORE_PUT_DOLLARS
from wrenlite.errors import ConfigError
from wrenlite.protocol import NUMBERS, Packed, Plain, size_of
from wrenlite.texts import counted, duration, timed

if TYPE_CHECKING:
    from wrenlite.job import Job
    from wrenlite.serialize.by_reference import Dependent

LEAST_SAMPLE = 3
"""With fewer tasks nothing can be said about how much they differ."""
_LARGEST_AMOUNT = 1e18
"""Numbers beyond it, such as those of cryptography, count as this."""
_UNEXPLAINED = 0.15
"""Tasks differ from any model by more than a few of them show. The logarithm of the interval's factor is at
least this. Without it, the interval is too narrow for 9 of the 20 recorded jobs."""
_BETTER = 0.5
"""The amounts are used where the squared errors are at most this share of those without them."""
_SHOWN = (10, 100, 1000)
"""Concurrencies that an estimate shows, with that of the executor."""


class Interval(NamedTuple):
    """What a figure is expected to lie between, in nine cases of ten."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:.3g} to {self.high:.3g}"


class Forecast(NamedTuple):
    """What a map would take with a given number of tasks at once."""

    concurrency: int
    seconds: Interval
    """From the start to the last outcome."""
    dollars: Interval | None
    """None where tasks are free."""

    def __str__(self) -> str:
        text = f"{self.concurrency:,} at once: {_words(self.seconds)}"
        if self.dollars is None:
            return text
        return f"{text}, ${self.dollars.low:.2g} to ${self.dollars.high:.2g}"


class Work(NamedTuple):
    """How much work the tasks of a map are."""

    total_s: Interval
    """Seconds of all tasks together."""
    longest_s: Interval
    """Seconds of the longest task."""

    def makespan_s(self, at_once: int) -> Interval:
        """Return the seconds until all tasks have run, so many at once.

        The upper end holds for any order (Graham, *Bounds on multiprocessing timing anomalies*, 1969).
        """
        total, longest = self.total_s, self.longest_s
        return Interval(
            max(total.low / at_once, longest.low),
            total.high / at_once + (1 - 1 / at_once) * longest.high,
        )


@dataclass(frozen=True, repr=False, eq=False)
class Estimate:
    """How long a map would take, and what it would cost.

    Cold starts are part of it where the sample has met some. What queues, throttles and other users of the
    account do is not.
    """

    tasks: int
    """Number of the tasks of the map."""
    sample: Job[Any]
    """The job that has run some of them. It has their values, their stats and their cost."""
    places: Sequence[int]
    """The places in the data of the items of those tasks."""
    work: Work
    _backend: Backend
    _slots: int

    def at(self, concurrency: int) -> Forecast:
        """Return the forecast for a number of tasks at once.

        Args:
            concurrency: from 1. More than there are tasks is as many as there are.

        Raises:
            ConfigError: it is no whole number from 1.
        """
        is_whole = hasattr(concurrency, "__index__") and not isinstance(concurrency, bool)
        if not is_whole or concurrency < 1:
            raise ConfigError(f"concurrency={concurrency!r:.60}: must be a whole number from 1")
        at_once = min(index(concurrency), self.tasks)
        start, run = self._start_s(), self.work.makespan_s(at_once)
        return Forecast(at_once, Interval(start.low + run.low, start.high + run.high), self._dollars(at_once))

    def forecasts(self) -> list[Forecast]:
        """Return the forecasts for usual concurrencies, and for that of the executor."""
        fewer = [number for number in _SHOWN if number < self._slots] if self._backend.prices else []
        return [self.at(number) for number in sorted({min(n, self.tasks) for n in (*fewer, self._slots)})]

    def __repr__(self) -> str:
        judged = f"{counted(self.tasks, 'task')}, judged by {len(self.sample):,} of them"
        head = f"{judged}: {_words(self.work.total_s)} of work"
        return "\n".join([head, *(f"  {forecast}" for forecast in self.forecasts())])

    def _start_s(self) -> Interval:
        """Return what a request takes beside its task: the way there and back, and perhaps a cold start."""
        found = [
            max(0.0, each.finished - each.dispatched - each.seconds)
            for each in self.sample.stats()
            if each.finished and each.dispatched and each.seconds is not None
        ]
        return Interval(min(found), max(found)) if found else Interval(0.0, 0.0)

    def _dollars(self, at_once: int) -> Interval | None:
        prices, cost, total = self._backend.prices, self.sample.cost, self.work.total_s
        if prices is None:
            return None
        sampled_s = sum(each.seconds or 0.0 for each in self.sample.stats())
        share = self.tasks / len(self.sample)
        store = share * (cost.store_puts * STORE_PUT_DOLLARS + cost.store_gets * STORE_GET_DOLLARS)
        begun_s = max(0.0, cost.gb_s / prices.memory_gb - sampled_s) / max(1, cost.requests)

        def dollars(work_s: float, starts_s: float, store_dollars: float) -> float:
            requests = min(self.tasks, max(at_once, work_s / self._backend.batching.target_s))
            gb_s = prices.memory_gb * (work_s + starts_s)
            return prices.dollars(0, gb_s) + requests * prices.request + store_dollars

        return Interval(dollars(total.low, 0.0, 0.0), dollars(total.high, at_once * begun_s, store))


def _words(seconds: Interval) -> str:
    """Return a time span that is not known exactly in words."""
    low, high = (duration(each) if each >= 1 else timed(each) for each in seconds)
    return f"{low} to {high}" if low != high else low


def amount_of(packed: Packed | Plain | Dependent) -> float:
    """Return what is known of an item before it runs, from 0."""
    if type(packed) in NUMBERS:
        number = abs(packed)  # type: ignore[arg-type]
        return float(min(number, _LARGEST_AMOUNT)) if number == number else 0.0
    return float(size_of(packed))  # type: ignore[arg-type]


def choose(amounts: Sequence[float], count: int) -> list[int]:
    """Return the places of a sample: one from each of as many parts of the items, ordered by amount.

    It is the same for the same data.

    Args:
        amounts: of all items.
        count: how many, at most.
    """
    total = len(amounts)
    order = sorted(range(total), key=lambda place: (amounts[place], place))
    if count >= total:
        return list(range(total))
    draw = random.Random(0).random  # no secret
    return sorted(order[int(total * (part + draw()) / count)] for part in range(count))


def judge(amounts: Sequence[float], places: Sequence[int], seconds: Sequence[float]) -> Work:
    """Estimate the work of all tasks from that of a sample.

    Args:
        amounts: of all items.
        places: those of the sample.
        seconds: how long the tasks of the sample took.
    """
    total, count = len(amounts), len(places)
    if count == total:
        return Work(Interval(sum(seconds), sum(seconds)), Interval(max(seconds), max(seconds)))
    some = [amounts[place] for place in places]
    base, slope, squares = _model(some, seconds)
    mean = base + slope * sum(amounts) / total
    unseen = math.sqrt(1 - count / total)
    error = _student(count - 1) * unseen * math.sqrt(squares) / count
    spread = math.hypot(error / mean, _UNEXPLAINED * unseen) if mean > 0 else 0.0
    factor = math.exp(min(spread, 50.0))
    longest = max(*seconds, base + slope * max(amounts))
    return Work(
        Interval(max(total * mean / factor, sum(seconds)), total * mean * factor),
        Interval(max(seconds), longest * factor),
    )


def _model(amounts: Sequence[float], seconds: Sequence[float]) -> tuple[float, float, float]:
    """Return how the seconds of a task follow from its amount.

    Returns:
        The seconds for no amount, those for each unit of it, and the sum of the squared errors.
    """
    count = len(seconds)
    mean = sum(seconds) / count
    squares = sum((each - mean) ** 2 for each in seconds) * (count / (count - 1)) ** 2
    if max(amounts) > min(amounts):
        others = [
            _line([*amounts[:i], *amounts[i + 1 :]], [*seconds[:i], *seconds[i + 1 :]]) for i in range(count)
        ]
        errors = [
            each - base - slope * amount
            for each, amount, (base, slope) in zip(seconds, amounts, others, strict=True)
        ]
        explained = sum(error * error for error in errors)
        if explained < _BETTER * squares:
            return (*_line(amounts, seconds), explained)
    return mean, 0.0, squares


def _line(amounts: Sequence[float], seconds: Sequence[float]) -> tuple[float, float]:
    """Return base and slope of the line through points that fits them best; neither is negative."""
    x, y = sum(amounts) / len(amounts), sum(seconds) / len(seconds)
    square = sum((each - x) ** 2 for each in amounts)
    products = ((amount - x) * (second - y) for amount, second in zip(amounts, seconds, strict=True))
    slope = max(0.0, sum(products) / square) if square else 0.0
    if y < slope * x:
        return 0.0, y / x
    return y - slope * x, slope


def _student(freedom: int) -> float:
    """Return the 95 % quantile of Student's t, to 1 % from two degrees of freedom.

    The expansion is that of Cornish and Fisher (Abramowitz and Stegun, *Handbook of Mathematical Functions*,
    26.7.5).
    """
    z = 1.6448536269514722
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3
