"""Random numbers in tasks: streams of ``seed=``, and warnings of generators that tasks share."""

import functools
import random
from random import random as draw_one

import numpy as np
import pytest
from numpy.random import uniform

import wrenlite

GLOBAL_RNG = np.random.default_rng(42)


def draw(item, *, rng):
    return item, float(rng.random())


def test_each_task_has_a_stream_of_its_own_that_depends_on_the_seed_only(executor):
    children = np.random.SeedSequence(42).spawn(30)
    expected = [float(np.random.default_rng(child).random()) for child in children]
    for chunksize in (1, 7, 30):
        job = executor.map(draw, range(30), seed=42, chunksize=chunksize)
        assert job.results() == list(enumerate(expected))
    fails_once = []

    def fails_first(item, scale=1, rng=None):
        value = float(rng.random()) * scale
        if not fails_once:
            fails_once.append(1)
            raise OSError("drawn, and again")
        return value

    assert executor.starmap(fails_first, [(0,), (1,)], seed=42, retries=4).results() == expected[:2]
    total = executor.map_reduce(lambda _, **given: given["rng"].random(), range(30), sum, seed=np.int64(42))
    assert total.result() == pytest.approx(sum(expected))
    assert executor.map(draw, [0], seed=43).results() != executor.map(draw, [0], seed=42).results()


def test_an_annotation_asks_for_the_generator_of_the_standard_library():
    def by_class(_, rng: random.Random):
        return type(rng).__name__, rng.random()

    def by_name(_, rng: "random.Random"):
        return type(rng).__name__, rng.random()

    with wrenlite.Executor.inline() as executor:
        values = executor.map(by_class, range(3), seed=1).results()
        assert values == executor.map(by_name, range(3), seed=1).results()
    assert {name for name, _ in values} == {"Random"}
    assert len({number for _, number in values}) == 3


@pytest.mark.parametrize(
    ("function", "options", "words"),
    [
        (draw, {"seed": -1}, "seed=-1: must be a whole number from 0"),
        (draw, {"seed": 1.5}, r"seed=1\.5: must be"),
        (draw, {"seed": True}, "seed=True: must be"),
        (draw, {"seed": 1, "kwargs": {"rng": 2}}, "kwargs= has an rng already"),
        (lambda x: x, {"seed": 1}, r"no parameter rng\. Write def f\(item, \*, rng\)"),
        (lambda rng, /: rng, {"seed": 1}, "no parameter rng"),
        (lambda rng: rng, {"seed": 1}, "the parameter rng of the function gets another argument"),
        (lambda x, rng: rng, {"seed": 1, "args": (2,)}, "rng of the function gets another argument"),
    ],
)
def test_a_seed_that_no_function_can_take_is_refused(function, options, words):
    with wrenlite.Executor.inline() as executor:
        for run in (executor.map, functools.partial(executor.map_reduce, reduce_fn=list)):
            with pytest.raises(wrenlite.ConfigError, match=words):
                run(function, data=[1], **options)


class Model:
    def __init__(self):
        self.rng = random.Random(1)

    def run(self, _):
        return self.rng.random()


class OwnRandom(random.Random):
    pass


def test_a_generator_that_tasks_share_is_named_once():
    closed_over = np.random.RandomState(3)
    bits, own = np.random.PCG64(3), OwnRandom(3)
    cases = {
        "closure variable 'bits', a numpy.random.PCG64": lambda _: bits.random_raw(),
        "closure variable 'own', a OwnRandom": lambda _: own.random(),
        "closure variable 'closed_over', a numpy.random.RandomState": lambda _: closed_over.rand(),
        "global variable 'GLOBAL_RNG', a numpy.random.Generator": lambda _: GLOBAL_RNG.random(),
        "self.rng, a random.Random": Model().run,
    }
    with wrenlite.Executor.inline() as executor:
        for place, function in cases.items():
            with pytest.warns(UserWarning, match="uses one random generator") as caught:
                executor.map(function, range(4)).results()
            (warning,) = caught
            assert f"({place})" in str(warning.message)
            assert "Pass seed=42 to map" in str(warning.message)
            assert warning.filename == __file__
        with pytest.warns(UserWarning, match=r"\(args\[0\], a numpy\.random\.Generator\)"):
            executor.map(lambda _, rng: 1, range(4), args=(GLOBAL_RNG,))
        with pytest.warns(UserWarning, match=r"kwargs\['rng'\], a"):
            executor.map_reduce(lambda _, rng: 1, range(4), sum, kwargs={"rng": GLOBAL_RNG})
        with pytest.warns(UserWarning, match=r"several items hold one random generator \(a numpy"):
            executor.starmap(lambda n, rng: n, [(n, GLOBAL_RNG) for n in range(3)])


@pytest.mark.e2e
def test_the_generator_behind_the_functions_of_a_module_is_the_workers_own(pool):
    from scipy.stats import norm  # here, as workers on Lambda import this module without scipy

    def draw_from_all(_):
        return draw_one(), float(uniform()), float(norm.rvs())  # each is a method of such a generator

    draws = pool.map(draw_from_all, range(40), chunksize=1).results()
    assert len({number for drawn in draws for number in drawn}) == 3 * len(draws)
    assert len(set(pool.starmap(lambda draw, _: draw(), [(draw_one, n) for n in range(40)]).results())) == 40


def test_generators_that_tasks_do_not_share_are_no_reason_to_warn():  # warnings are errors
    from scipy.stats import norm

    with wrenlite.Executor.inline() as executor:
        own = [(n, rng, lambda: 0) for n, rng in enumerate(np.random.default_rng(1).spawn(3))]
        executor.starmap(lambda n, rng, f: float(rng.random()), own).results()
        executor.map(lambda _: np.random.default_rng().random() + random.random(), range(3)).results()
        executor.submit(lambda: GLOBAL_RNG.random()).result()
        executor.map(lambda _: norm.cdf(0.0), range(3)).results()
        executor.map_reduce(abs, [1, 2], lambda values: sum(values) + GLOBAL_RNG.random()).result()
