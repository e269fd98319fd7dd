import math

import numpy as np
import pytest

from wrenlite import Executor
from wrenlite.errors import ConfigError
from wrenlite.gallery.fractals import buddhabrot
from wrenlite.gallery.fractals.buddhabrot import Buddhabrot, count_orbits, picture

SMALL = Buddhabrot(width=48, height=64, iters=1000, samples=20_000)


def images(tasks, wanted=SMALL):
    return [count_orbits(wanted, task) for task in tasks]


def test_the_sum_of_all_tasks_is_the_same_wherever_they_run():
    with Executor.local(2, progress=False) as executor:
        counts = buddhabrot.render(executor, SMALL, 3).result(timeout=60)
    assert (counts == sum(images(range(3)))).all()
    assert (counts == buddhabrot.add(images(range(3)))).all()


def test_each_task_and_each_seed_has_its_own_points():
    first, second = images([0, 1])
    (other,) = images([0], Buddhabrot(width=48, height=64, iters=1000, samples=20_000, seed=8))
    assert (first != second).any()
    assert (first != other).any()
    assert (first == images([0])[0]).all()


def test_orbits_are_those_of_the_definition():
    """Points are iterated one by one in Python. Its products are rounded otherwise than those of numpy, and
    long orbits are chaotic, so a few points are in other pixels."""
    wanted = Buddhabrot(width=48, height=64, iters=1000, samples=3000)
    expected = np.zeros((3, 64, 48), int)
    for c in buddhabrot.sample(np.random.default_rng([7, 0]), 3000).tolist():
        orbit = [c]
        while abs(orbit[-1]) < 256 and len(orbit) <= 1000:
            orbit.append(orbit[-1] ** 2 + c)
        if not 8 < len(orbit) <= 1000:
            continue
        kind = (len(orbit) <= 100) + (len(orbit) <= 10)
        for z in orbit[1:]:
            row, column = math.floor((z.real + 0.45) * 20) + 32, math.floor(z.imag * 20) + 24
            if 0 <= row < 64 and 0 <= column < 48:
                expected[kind, row, column] += 1
    found = count_orbits(wanted, 0)
    assert expected[1].sum() > 2000
    assert np.abs(found[1] - expected[1]).sum() < 0.1 * expected[1].sum()


def test_noise_falls_with_the_number_of_tasks():
    def noise(tasks):
        one, other = (sum(images(range(start, start + tasks)))[2] for start in (0, tasks))
        return np.abs(one / one.sum() - other / other.sum()).sum()

    assert noise(12) < 0.7 * noise(3)  # half of it, if all points were independent


def test_the_figure_is_symmetric_and_has_a_dark_background():
    drawn = np.asarray(picture(sum(images(range(4)))))
    assert drawn.shape == (64, 48, 3)
    assert (drawn == drawn[:, ::-1]).all()
    assert drawn[:3].mean() < 40 < drawn[20:50, 12:36].mean()


def test_a_picture_without_orbits_is_black():
    assert not np.asarray(picture(np.zeros((3, 20, 16), np.uint32))).any()
    nothing = Buddhabrot(width=16, height=16, samples=1)
    assert np.asarray(picture(count_orbits(nothing, 3))).shape == (16, 16, 3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"width": 0}, "width is 0: it must be 16 to 8,192"),
        ({"height": 1e3}, "height is 1000.0: it must be a whole number"),
        ({"iters": 100}, "iters is 100"),
        ({"samples": 0}, "samples is 0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_what_cannot_be_drawn_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        Buddhabrot(**fields)


def test_a_picture_that_no_worker_has_the_memory_for_is_refused():
    with Executor.local(1, memory_limit="300MB", progress=False) as executor:
        with pytest.raises(ConfigError, match=r"8,192 x 8,192 pixels would need about .* GB"):
            buddhabrot.render(executor, Buddhabrot(width=8192, height=8192), 2)
        with pytest.raises(ConfigError, match="tasks is 0"):
            buddhabrot.render(executor, SMALL, 0)


def test_a_picture_is_the_same_whether_or_not_it_is_coloured_in_strips():
    counts = sum(images(range(2)))
    tall = np.concatenate([counts, counts, counts], axis=1)
    assert (np.asarray(picture(tall)) == np.tile(np.asarray(picture(counts)), (3, 1, 1))).all()
