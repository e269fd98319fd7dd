"""A batch of fractals on every backend: pictures in the store, the collage from the reduction."""

import io
import os

import numpy as np
import pytest
from botocore.session import Session
from PIL import Image

import wrenlite
from wrenlite.gallery.fractals.batch import draw_batch
from wrenlite.gallery.fractals.drawing import draw
from wrenlite.gallery.fractals.lsystems import Fractal

FRACTALS = [
    Fractal("dragon", 9, 64),
    Fractal("moore", 2, 48),
    Fractal("dragon", 10, 64),
    Fractal("box", 2, 32),
]
FILES = ["fractals/dragon_64.png", "fractals/moore_48.png", "fractals/dragon_64-2.png", "fractals/box_32.png"]


def test_the_names_come_in_order_and_the_collage_holds_all(executor):
    future = draw_batch(executor, FRACTALS)
    batch = future.result(timeout=60)
    assert batch.files == FILES
    sheet = np.asarray(Image.open(io.BytesIO(batch.collage)))
    assert sheet.shape[0] > 64
    assert sheet.std() > 10, "not a bare sheet"
    assert [drawn.png for drawn in future.job.results()[:-1]] == [draw(fractal) for fractal in FRACTALS]


def test_the_workers_leave_the_pictures_where_they_are_told_to(bed, executor):
    Session().create_client("s3").create_bucket(Bucket=f"pictures-{os.getpid()}")
    outputs = wrenlite.open_store(f"s3://pictures-{os.getpid()}/of/mine")
    batch = draw_batch(executor, FRACTALS, outputs).result(timeout=60)
    assert sorted(entry.key for entry in outputs.list("")) == sorted([*FILES, "fractals/collage.png"])
    assert outputs.get("fractals/collage.png") == batch.collage
    assert outputs.get(FILES[1]) == draw(FRACTALS[1])


def test_what_no_worker_could_hold_is_refused_with_the_estimate():
    with wrenlite.Executor.local(1, memory_limit="300MB", progress=False) as executor:
        draw_batch(executor, FRACTALS).result(timeout=60)
        with pytest.raises(
            wrenlite.ConfigError, match=r"dragon at 26 iterations and 64 px .* \d\.\d GB .*300 MB"
        ):
            draw_batch(executor, [*FRACTALS, Fractal("dragon", 26, 64)])
        with pytest.raises(wrenlite.ConfigError, match="no fractals"):
            draw_batch(executor, [])
