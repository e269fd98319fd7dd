"""Doors beside what they stand for, on the same work: ``python -m benchmarks.doors joblib``.

Each door is a function of this module, and a subcommand. Results are compared before anything is timed.
"""

import itertools
import operator
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import wrenlite
from benchmarks.contest import run

WORKERS = 2


def compare(
    title: str,
    peer: str,
    contestants: Mapping[str, Callable[[], object]],
    same: Callable[[object, object], bool],
    repeats: int = 5,
) -> None:
    """Check that all contestants have the peer's result, and time them in turns.

    Args:
        title: what they do.
        peer: the contestant that the others are compared with.
        contestants: by name.
        same: whether two results are the same.
        repeats: of the timing.
    """
    expected = contestants[peer]()
    for name, contestant in contestants.items():
        assert same(contestant(), expected), f"{title}: {name} has another result than {peer}"
    run(f"{title} (results identical)", contestants, repeats, against=peer)


def joblib() -> None:
    """Time joblib's loops, and scikit-learn, with loky and with wrenlite."""
    import numpy as np
    from joblib import Parallel, delayed, parallel_config

    import wrenlite.interop.joblib

    def on_both(work: Callable[[], object]) -> dict[str, Callable[[], object]]:
        def on(backend: str, **options: object) -> object:
            with parallel_config(backend, n_jobs=WORKERS, **options):
                return work()

        return {
            "wrenlite": lambda: on("wrenlite", executor=executor),
            "loky": lambda: on("loky"),
        }

    def equal(one: object, other: object) -> bool:
        return bool(np.all(np.asarray(one) == np.asarray(other)))

    shared = np.ones(4_000_000)
    several = [np.full(4_000_000, float(number)) for number in range(12)]
    with wrenlite.Executor.local(WORKERS, progress=False) as executor:
        loops = {
            "5,000 calls of abs": lambda: Parallel()(delayed(abs)(n) for n in range(5_000)),
            "12 sums of one array of 32 MB": lambda: Parallel()(delayed(np.sum)(shared) for _ in range(12)),
            "12 sums of 12 arrays of 32 MB": lambda: Parallel()(delayed(np.sum)(each) for each in several),
        }
        for title, work in {**loops, **_learning()}.items():
            compare(title, "loky", on_both(work), equal)


def _learning() -> dict[str, Callable[[], object]]:
    """Return what scikit-learn does in parallel, by name."""
    from sklearn.datasets import make_classification
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import GridSearchCV, cross_val_score
    from sklearn.svm import SVC

    data, labels = make_classification(2_000, 20, random_state=0)

    def grid_search() -> object:
        search = GridSearchCV(SVC(), {"C": [0.1, 1, 10], "gamma": [0.01, 0.1]}, cv=4).fit(data, labels)
        return search.cv_results_["mean_test_score"]

    def cross_validation() -> object:
        return cross_val_score(RandomForestClassifier(50, random_state=0), data, labels, cv=8)

    def forest() -> object:
        return RandomForestClassifier(100, random_state=0).fit(data, labels).predict_proba(data)

    return {
        "GridSearchCV of an SVC, 24 fits": grid_search,
        "cross_val_score of forests, 8 fits": cross_validation,
        "RandomForest of 100 trees": forest,
    }


def dask() -> None:
    """Time dask's arrays with its own schedulers and with wrenlite, and a composite beside ``map``."""
    import dask.array as da
    import numpy as np

    many = da.ones((4000, 4000), chunks=(100, 100)).sum()
    crossing = da.random.default_rng(0).random((4000, 4000), chunks=(400, 4000)).rechunk((4000, 400)).sum()
    with wrenlite.Executor.local(WORKERS, progress=False) as executor:

        def schedulers(graph: Any) -> dict[str, Callable[[], object]]:
            return {
                "wrenlite": lambda: graph.compute(scheduler=wrenlite.dask_get, executor=executor),
                "threads": lambda: graph.compute(scheduler="threads", num_workers=WORKERS),
                "processes": lambda: graph.compute(scheduler="processes", num_workers=WORKERS),
                "as_concurrent": lambda: graph.compute(scheduler=executor.as_concurrent()),
            }

        compare("dask: sum over 1,600 chunks", "threads", schedulers(many), operator.eq, 3)
        compare("dask: rechunk of 128 MB", "threads", schedulers(crossing), operator.eq, 3)
        with tempfile.TemporaryDirectory() as folder:
            compare("median of 12 scenes, 16 boxes", "map", _composites(folder, executor), np.array_equal, 3)


def _composites(folder: str, executor: wrenlite.Executor) -> dict[str, Callable[[], object]]:
    """Return ways to make a median composite of synthetic scenes, by name."""
    from dask import compute, delayed

    from wrenlite.gallery.landsat.scene import Scene
    from wrenlite.gallery.landsat.tasks import ndvi_area
    from wrenlite.gallery.ndvi.mosaic import composite
    from wrenlite.gallery.synthetic import archive

    passes = archive.passes(["napa"])[:12]
    executor.map(partial(archive.write_scene, folder), passes).results()
    scenes = [Scene.at(folder, each.product) for each in passes]
    place = archive.find_place("napa")
    edges = [0.01 * step for step in range(-2, 3)]
    boxes = [
        (place.lon + west, place.lat + south, place.lon + west + 0.01, place.lat + south + 0.01)
        for west, south in itertools.product(edges[:-1], edges[:-1])
    ]

    def by_dask(**scheduler: object) -> object:
        areas = [[delayed(ndvi_area)(scene, box) for scene in scenes] for box in boxes]
        return _values(compute(*map(delayed(composite), areas), **scheduler))

    def by_map() -> object:
        areas = executor.starmap(ndvi_area, itertools.product(scenes, boxes), keep=True)
        return _values(executor.map(composite, [areas[n :: len(boxes)] for n in range(len(boxes))]).results())

    return {
        "wrenlite": lambda: by_dask(scheduler=wrenlite.dask_get, executor=executor),
        "map": by_map,
        "threads": lambda: by_dask(scheduler="threads", num_workers=WORKERS),
    }


def _values(composites: Iterable[Any]) -> Any:
    import numpy as np

    return np.concatenate([np.nan_to_num(each.values).ravel() for each in composites])


DOORS: dict[str, Callable[[], None]] = {"joblib": joblib, "dask": dask}


if __name__ == "__main__":
    for door in sys.argv[1:] or DOORS:
        DOORS[door]()
