"""Why pixels of Collection 2 cannot be used."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wrenlite.errors import ConfigError
from wrenlite.gallery.landsat import quality
from wrenlite.gallery.landsat.quality import LEVEL_1_OLI, LEVEL_2
from wrenlite.gallery.landsat.scene import ETM, OLI, TM
from wrenlite.gallery.ndvi import masks
from wrenlite.gallery.ndvi.indices import Calibration, Scaling
from wrenlite.gallery.ndvi.masks import Masking, Reason


def why(red, nir, *args, **kwargs):
    """Return the reasons of a row of pixels, as words."""
    return [Reason(code).text for code in quality.reasons({"red": red, "nir": nir}, *args, **kwargs)[0]]


def test_every_reason_to_hide_a_pixel():
    red = np.array([[12000, 0, 7272, 7273, 12000, 12000, 12000, 12000, 12000, 12000]], np.uint16)
    nir = np.full_like(red, 20000)
    qa = np.array([[64, 1, 64, 64, 0b10, 0b100, 0b1000, 0b10000, 0b100000, 0b10000000]], np.uint16)
    found = why(red, nir, qa_pixel=qa)
    assert found[:4] == ["usable", "fill", "out of range", "usable"]
    assert found[4:] == ["cloud", "cloud", "cloud", "shadow", "snow", "usable"]  # water is usable
    assert why(red, nir).count("usable") == 8
    assert why(nir, red).count("usable") == 8


def test_the_strongest_reason_counts():
    red = np.array([[0, 100, 100, 100, 100]], np.uint16)
    qa = np.array([[0b111111, 0b111010, 0b110000, 0b100000, 0]], np.uint16)
    radsat = np.full((1, 5), 1 << 3, np.uint16)
    found = why(red, red, qa_pixel=qa, qa_radsat=radsat, saturation_bits=0b11000)
    assert found == ["fill", "cloud", "shadow", "snow", "saturated"]


def test_reasons_that_are_kept_do_not_hide():
    red = np.full((1, 4), 20000, np.uint16)
    qa = np.array([[0b1000, 0b10000, 0b100000, 0b101000]], np.uint16)
    assert why(red, red, qa_pixel=qa, masking=Masking(keep={"cloud"})) == ["usable", "shadow", "snow", "snow"]
    everything = Masking(keep={"cloud", "shadow", "snow", "saturated"})
    assert why(red, red, qa_pixel=qa, masking=everything) == ["usable"] * 4
    with pytest.raises(ConfigError, match="'fill' is no reason for which pixels can be kept"):
        Masking(keep={"fill"})
    with pytest.raises(ConfigError, match=r"floor=1\.5 is no reflectance"):
        Masking(floor=1.5)


@pytest.mark.parametrize(("sensor", "bits"), [(OLI, 0b11000), (TM, 0b1100), (ETM, 0b1100)])
def test_saturation_counts_in_the_sensors_own_bands(sensor, bits):
    assert sensor.saturation_bits(("red", "nir")) == bits
    numbers = np.full((1, 12), 20000, np.uint16)
    radsat = np.array([[1 << bit for bit in range(12)]], np.uint16)
    found = why(numbers, numbers, qa_radsat=radsat, saturation_bits=bits)
    dropped, occluded = 9, 11
    bands = {sensor.bands["red"] - 1, sensor.bands["nir"] - 1}
    assert {bit for bit in range(12) if found[bit] == "saturated"} == bands | {dropped, occluded}


def test_numbers_above_the_valid_range():
    red = np.array([[43_636, 43_637, 20_000, 65_535]], np.uint16)
    nir = np.array([[43_636, 20_000, 43_637, 65_535]], np.uint16)
    assert why(red, nir) == ["usable", *["out of range"] * 3]
    assert 43_636 * 2.75e-5 - 0.2 <= 1 < 43_637 * 2.75e-5 - 0.2
    # The top of the atmosphere has no such range.
    assert why(red, nir, LEVEL_1_OLI) == ["usable"] * 4
    other = Calibration({"red": Scaling(1e-3, 0.5), "nir": Scaling(1e-3, 0.5)})
    assert why(red, nir, other) == ["usable"] * 4


def test_pixels_that_are_too_dark_for_a_ratio():
    dark, grey = (round((half + 0.2) / 2.75e-5) for half in (0.0249, 0.0251))  # half of a sum of 0.05
    red = np.array([[dark, grey]], np.uint16)
    assert why(red, red) == ["out of range", "usable"]
    assert why(red, red, masking=Masking(floor=0)) == ["usable"] * 2
    assert why(red, red, normalised=False) == ["usable"] * 2


def definition(numbers, calibration, qa_pixel, qa_radsat, saturation_bits, masking, normalised):
    """Return why one pixel cannot be used, by the definition of each reason."""
    reflectances = [calibration.bands[name].gain * n + calibration.bands[name].offset for name, n in numbers]
    too_dark = calibration.surface and sum(reflectances) < masking.floor * calibration.factor
    whys = {
        Reason.FILL: qa_pixel & 1 or any(n == 0 for _, n in numbers),
        Reason.CLOUD: qa_pixel & 0b1110,
        Reason.SHADOW: qa_pixel & 1 << 4,
        Reason.SNOW: qa_pixel & 1 << 5,
        Reason.SATURATED: qa_radsat & (saturation_bits | 1 << 9 | 1 << 11),
        Reason.OUT_OF_RANGE: any(
            not calibration.lowest(name) <= n <= calibration.highest for name, n in numbers
        )
        or (normalised and too_dark),
    }
    return next((why for why in whys if whys[why] and masking.masks(why)), Reason.USABLE)


_NUMBERS = st.sampled_from([0, 1, 5000, 5001, 7272, 7273, 8181, 8182, 9090, 9091, 20000, 43636, 43637, 65535])
_BITS = st.one_of(st.just(0), st.integers(0, 65535))
_SHAPES = st.sampled_from([(1, 1), (1, 7), (3, 5)])


@given(st.data(), st.sampled_from([LEVEL_2, LEVEL_1_OLI]), st.booleans())
def test_reasons_are_those_of_the_definition(data, calibration, normalised):
    shape = data.draw(_SHAPES)
    number = data.draw(st.sampled_from([_NUMBERS, st.integers(0, 65535), st.integers(9091, 43636)]))
    names = data.draw(st.sampled_from([("nir", "red"), ("nir", "red", "blue")]))
    numbers = {name: data.draw(arrays(np.uint16, shape, elements=number)) for name in names}
    qa_pixel, qa_radsat = (data.draw(arrays(np.uint16, shape, elements=_BITS)) for _ in range(2))
    kept = data.draw(st.sets(st.sampled_from(["cloud", "shadow", "snow", "saturated"])))
    masking = Masking(keep=frozenset(kept), floor=data.draw(st.sampled_from([0.0, 0.05, 0.3])))
    quality_bands = {"qa_pixel": qa_pixel, "qa_radsat": qa_radsat}
    options = {"saturation_bits": 0b11010, "masking": masking, "normalised": normalised}
    found = quality.reasons(numbers, calibration, **quality_bands, **options)
    for place in np.ndindex(shape):
        pixel = [(name, int(numbers[name][place])) for name in names]
        bits = {name: int(band[place]) for name, band in quality_bands.items()}
        assert found[place] == definition(pixel, calibration, **bits, **options)
    counts = masks.count(found)
    assert counts.tolist() == np.bincount(found.ravel(), minlength=len(Reason)).tolist()
    assert masks.Hidden.of(counts).total == pytest.approx(np.count_nonzero(found) / found.size)
