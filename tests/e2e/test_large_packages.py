"""Packages that do not fit into a layer, on the test bed: fetched from the bucket when tasks import them."""

import pytest

import wrenlite
from tests.aws.deployments import BUCKET
from tests.aws.wheels import wheel
from wrenlite.deploy import packages
from wrenlite.deploy.plan import Verb

pytestmark = pytest.mark.e2e

PREFIX = "wrenlite/packages/deployed/"


@pytest.fixture
def small_layers(index, monkeypatch):
    """Layers have room for 30 KB, and ``large`` and ``larger``, which needs it, do not fit."""
    monkeypatch.setattr(packages, "LAYER_BYTES", 30_000)
    wheel(index, "small", "1.0", {"__init__.py": "SIZE = 'small'\n"})
    wheel(
        index, "large", "1.0", {"__init__.py": "import small\n", "data.txt": "large " * 10_000}, needs="small"
    )
    wheel(
        index,
        "larger",
        "1.0",
        {"__init__.py": "import large\n", "data.txt": "larger " * 10_000},
        needs="large",
    )
    wheel(
        index, "large", "2.0", {"__init__.py": "import small\n", "data.txt": "huge " * 10_000}, needs="small"
    )


def stored(made):
    found = made.clients["s3"].list_objects_v2(Bucket=BUCKET, Prefix=PREFIX).get("Contents", ())
    return {entry["Key"].removeprefix(PREFIX): entry["Size"] for entry in found}


def executor(**settings):
    return wrenlite.Executor.aws(bucket=BUCKET, function="deployed", max_concurrency=1, **settings)


def read(name):  # travels by value: this module imports what no worker has
    def task(_):
        import importlib
        import importlib.metadata
        import importlib.resources

        importlib.import_module(name)
        data = importlib.resources.files(name).joinpath("data.txt").read_text()
        return data.split()[0], importlib.metadata.version(name)

    return task


def test_packages_that_do_not_fit_are_fetched_when_they_are_imported(made, bed, small_layers):
    made.settings["packages"] = ("larger", "large==1.0")
    made.settings["ephemeral_mb"] = 600
    steps = made.steps()
    assert [step.verb for step in steps.values()] == [Verb.CREATE] * len(steps)
    assert steps["function"].resource.ephemeral_mb == 1024
    assert len(steps["archives"].resource.digests) == 2
    made.run()
    assert set(stored(made)) == set(steps["archives"].resource.digests)

    made.settings = {}
    assert made.steps() == {}, "a second run changes nothing"
    assert made.deployment().settings.ephemeral_mb == 600, "what tasks have"

    bed.reset()
    with executor() as on_lambda:
        assert on_lambda.submit(len, "abc").result(timeout=30) == 3
        assert bed.counts().get("GetObject", 0) == 0, "nothing is fetched before it is imported"
        job = on_lambda.map(read("larger"), range(3), chunksize=3)
        assert job.results(timeout=30) == [("larger", "1.0")] * 3
        assert bed.counts()["GetObject"] == 2, "one piece each of larger and large, once in the sandbox"
        assert on_lambda.submit(read("large"), 0).result(timeout=30) == ("large", "1.0")
        assert bed.counts()["GetObject"] == 2
        assert job.cost.store_gets == 2, "fetching is paid for"

    made.settings = {"packages": ("large==2.0",)}
    made.run()
    before = set(stored(made))
    assert len(before) == 3, "executors that were made before need what they need"
    with executor() as on_lambda:
        assert on_lambda.submit(read("large"), 0).result(timeout=30) == ("huge", "2.0")
    made.settings = {"packages": ("small",)}
    assert [step.reason for step in made.deployment().plan()][
        -1
    ] == "2 archives that no version needs: deleted"
    made.run()
    assert len(stored(made)) == 1
    assert made.steps() == {}
    assert made.deployment().settings.ephemeral_mb == 600
    made.settings = {"memory_mb": 512}
    made.run()
    assert stored(made) == {}
    assert made.steps() == {}


def test_a_changed_archive_fails_the_task_by_its_name(made, small_layers):
    made.settings["packages"] = ("large==1.0",)
    made.run()
    ((digest, size),) = stored(made).items()
    made.clients["s3"].put_object(Bucket=BUCKET, Key=PREFIX + digest, Body=b"7" * size)
    with executor() as on_lambda:
        with pytest.raises(
            wrenlite.IntegrityError, match=r"archive of the package large .* was changed or damaged"
        ):
            on_lambda.submit(read("large"), 0).result(timeout=30)
        made.clients["s3"].delete_object(Bucket=BUCKET, Key=PREFIX + digest)
        with pytest.raises(wrenlite.NotFound, match=r"archive of the package large .* is gone"):
            on_lambda.submit(read("large"), 0).result(timeout=30)
    made.settings = {}
    assert {step.resource.kind for step in made.steps().values()} == {"archives"}
    made.run()
    with executor() as on_lambda:
        assert on_lambda.submit(read("large"), 0).result(timeout=30) == ("large", "1.0")


def test_a_full_disk_is_said_with_what_to_do(made, bed, small_layers):
    if bed.refusal():
        pytest.skip("functions have no disk of their own here")
    made.settings["packages"] = ("large==1.0",)
    made.run()

    def fill(_):
        with open("/tmp/rest", "wb") as file:
            while True:
                file.write(b"7" * 2**20)

    with executor() as on_lambda:
        with pytest.raises(OSError, match="No space left"):
            on_lambda.submit(fill, 0).result(timeout=60)
        with pytest.raises(
            wrenlite.StoreError, match=r"no room for the package large.*--ephemeral-storage MB"
        ):
            on_lambda.submit(read("large"), 0).result(timeout=30)


def test_more_than_lambda_has_room_for_is_refused_with_sizes(made, small_layers):
    made.settings = {"packages": ("larger", "large==1.0"), "ephemeral_mb": 10_240}
    with pytest.raises(
        wrenlite.ConfigError, match=r"(?s)take 16 MB unpacked, .* 10,240 MB .*larger +0\.1 MB\n"
    ):
        made.steps()
    assert made.requests == []


@pytest.mark.full
@pytest.mark.timeout(900)
def test_a_large_scientific_stack_works_on_lambda(made, bed, monkeypatch):
    monkeypatch.delenv("UV_CONFIG_FILE")  # the true index
    stack = ("numpy", "pillow", "rasterio", "scipy", "scikit-learn", "xarray", "dask", "matplotlib")
    made.settings |= {"packages": stack, "timeout_s": 120, "memory_mb": 2048}
    made.run()
    sizes = stored(made)
    assert sizes, "it does not fit into a layer"

    def use(seed):
        import time

        begun = time.perf_counter()
        import dask.array
        import numpy as np
        import scipy.linalg
        import sklearn.linear_model
        import xarray

        imported_s = time.perf_counter() - begun
        data = np.random.default_rng(seed).normal(size=(200, 3))
        fitted = sklearn.linear_model.LinearRegression().fit(data, data @ [1.0, 2.0, 3.0])
        cube = xarray.DataArray(dask.array.ones((4, 4), chunks=2), dims=("y", "x"))
        return imported_s, fitted.coef_.round(6).tolist(), float(cube.sum()), scipy.linalg.det(np.eye(3))

    with executor() as on_lambda:
        job = on_lambda.map(use, range(2), chunksize=1)
        first, second = job.results(timeout=300)
    size = sum(sizes.values()) / 1e6
    print(f"{len(sizes)} archives, {size:.0f} MB; imported in {first[0]:.1f} s; {job.cost}")
    assert first[1:] == second[1:] == ([1.0, 2.0, 3.0], 16.0, 1.0)


@pytest.mark.full
@pytest.mark.timeout(900)
def test_torch_without_cuda_is_planned_for_arm64(made, monkeypatch):
    """Up to 2.8 torch's wheels for arm64 have no CUDA, which those for x86_64 have with 16 packages more."""
    monkeypatch.delenv("UV_CONFIG_FILE")  # the true index
    made.settings |= {"packages": ("numpy", "torch<2.9"), "python": "3.12", "architecture": "arm64"}
    deployment = made.deployment()
    steps = {step.resource.kind: step.resource for step in deployment.plan()}
    assert not any(name.startswith("nvidia") for name in steps["layer"].versions)
    archived = {archive.name: archive for archive in deployment.built.archives}
    assert "torch" in archived
    assert "numpy" not in archived, "what fits stays in the layer"
    assert deployment.built.unpacked_bytes <= packages.LAYER_BYTES
    assert steps["function"].ephemeral_mb == 512 * -(-(512 + steps["archives"].unpacked_mb) // 512)
    for archive in archived.values():
        print(f"{archive.name} {archive.version}: {archive.size_bytes / 1e6:.0f} MB")
