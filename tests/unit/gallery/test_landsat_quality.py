"""Which pixels of Collection 2 are usable."""

import numpy as np
import pytest

from wrenlite.gallery.landsat import quality
from wrenlite.gallery.landsat.quality import LEVEL_1_OLI
from wrenlite.gallery.landsat.scene import ETM, OLI, TM
from wrenlite.gallery.ndvi.indices import Calibration


def test_every_reason_to_mask_a_pixel():
    red = np.array([[12000, 0, 7272, 7273, 12000, 12000, 12000, 12000, 12000, 12000]], np.uint16)
    nir = np.full_like(red, 20000)
    qa = np.array([[64, 1, 64, 64, 0b10, 0b100, 0b1000, 0b10000, 0b100000, 0b10000000]], np.uint16)
    assert quality.usable(red, nir, qa_pixel=qa).tolist() == [
        [True, False, False, True, False, False, False, False, True, True]  # snow and water are usable
    ]
    assert quality.usable(red, nir).sum() == 8
    assert quality.usable(nir, red).sum() == 8


@pytest.mark.parametrize(("sensor", "bits"), [(OLI, 0b11000), (TM, 0b1100), (ETM, 0b1100)])
def test_saturation_counts_in_the_sensors_own_bands(sensor, bits):
    assert sensor.saturation_bits == bits
    numbers = np.full((1, 12), 20000, np.uint16)
    radsat = np.array([[1 << bit for bit in range(12)]], np.uint16)
    usable = quality.usable(numbers, numbers, qa_radsat=radsat, saturation_bits=sensor.saturation_bits)
    dropped, occluded = 9, 11
    assert {bit for bit in range(12) if not usable[0, bit]} == {
        sensor.red - 1,
        sensor.nir - 1,
        dropped,
        occluded,
    }


def test_numbers_above_the_valid_range():
    red = np.array([[43_636, 43_637, 20_000, 65_535]], np.uint16)
    nir = np.array([[43_636, 20_000, 43_637, 65_535]], np.uint16)
    assert quality.usable(red, nir).tolist() == [[True, False, False, False]]
    assert 43_636 * 2.75e-5 - 0.2 <= 1 < 43_637 * 2.75e-5 - 0.2
    assert quality.usable(red, nir, LEVEL_1_OLI).all()  # the top of the atmosphere has no such range
    assert quality.usable(red, nir, Calibration(1e-3, 0.5, 1e-3, 0.5)).all()
