"""A batch of fractals on every backend: workers store the pictures, and a reduction makes the collage."""

import io
import os

import numpy as np
import pytest
from botocore.session import Session
from PIL import Image

import wrenlite
from wrenlite.gallery.fractals.batch import draw_batch
from wrenlite.gallery.fractals.curve_drawing import draw
from wrenlite.gallery.fractals.lsystems import Fractal

FRACTALS = [
    Fractal("dragon", 9, 64),
    Fractal("moore", 2, 48),
    Fractal("dragon", 10, 64),
    Fractal("box", 2, 32),
]
FILES = ["fractals/dragon_64.png", "fractals/moore_48.png", "fractals/dragon_64-2.png", "fractals/box_32.png"]


def test_the_file_names_are_in_order_and_the_collage_has_all_pictures(executor):
    future = draw_batch(executor, FRACTALS)
    batch = future.result(timeout=60)
    assert batch.files == FILES
    sheet = np.asarray(Image.open(io.BytesIO(batch.collage)))
    assert sheet.shape[0] > 64
    assert sheet.std() > 10, "the sheet is empty"
    assert [drawn.png for drawn in future.job.results()[:-1]] == [draw(fractal) for fractal in FRACTALS]


def test_the_workers_write_the_pictures_to_the_store_that_is_given(bed, executor):
    Session().create_client("s3").create_bucket(Bucket=f"pictures-{os.getpid()}")
    outputs = wrenlite.open_store(f"s3://pictures-{os.getpid()}/of/mine")
    batch = draw_batch(executor, FRACTALS, outputs).result(timeout=60)
    assert sorted(entry.key for entry in outputs.list("")) == sorted([*FILES, "fractals/collage.png"])
    assert outputs.get("fractals/collage.png") == batch.collage
    assert outputs.get(FILES[1]) == draw(FRACTALS[1])


def test_a_fractal_that_needs_more_memory_than_a_worker_has_is_refused_with_the_estimate():
    with wrenlite.Executor.local(1, memory_limit="300MB", progress=False) as executor:
        draw_batch(executor, FRACTALS).result(timeout=60)
        with pytest.raises(
            wrenlite.ConfigError, match=r"dragon at 26 iterations and 64 px .* \d\.\d GB .*300 MB"
        ):
            draw_batch(executor, [*FRACTALS, Fractal("dragon", 26, 64)])
        with pytest.raises(wrenlite.ConfigError, match="no fractals"):
            draw_batch(executor, [])
