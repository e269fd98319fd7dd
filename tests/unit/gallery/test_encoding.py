import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from wrenlite.gallery.fractals.encoding import decode, encode

COUNTS = st.floats(0, 2**31, width=32) | st.just(np.inf) | st.floats(0, 50, width=32)


def allowed(field, encoded):
    """Return the error that ``encode`` states."""
    far = np.abs(field - encoded.centre) + encoded.spread
    return 0.51 / encoded.codes_per_level * far + 2**-23 * field


@settings(deadline=None, max_examples=40)
@given(arrays.arrays(np.float32, st.integers(0, 60), elements=COUNTS))
def test_decoded_counts_are_as_near_as_is_stated(field):
    encoded = encode(field)
    decoded = decode(encoded)
    assert encoded.codes.dtype == np.uint16
    assert decoded.dtype == np.float32
    assert (np.isinf(decoded) == np.isinf(field)).all()
    outside = np.isfinite(field)
    errors = np.abs(decoded[outside].astype(float) - field[outside])
    assert (errors <= allowed(field[outside].astype(float), encoded)).all()


@settings(deadline=None, max_examples=40)
@given(arrays.arrays(np.float32, 50, elements=st.floats(0, 2**31, width=32)))
def test_the_order_of_counts_is_kept(field):
    ordered = np.sort(field)
    assert (np.diff(decode(encode(ordered))) >= 0).all()


def test_the_bulk_of_a_deep_view_is_exact_beside_far_higher_counts():
    bulk = np.linspace(8400, 8700, 10_000, dtype=np.float32)
    field = np.append(bulk, [6874, 50_000]).astype(np.float32)
    assert np.abs(decode(encode(field)) - field)[: bulk.size].max() < 0.04


def test_low_counts_are_as_exact_with_a_high_limit_as_with_a_low_one():
    low = np.linspace(4, 30, 10_000)
    decoded = decode(encode(np.append(low, 900_000.0)))
    assert len(np.unique(decoded)) > 5_000  # no bands


@pytest.mark.parametrize("value", [0.0, 7.5, 123456.0, np.inf])
def test_a_field_with_one_count_is_kept(value):
    field = np.full((3, 2), value, np.float32)
    assert np.allclose(decode(encode(field)), field, rtol=1e-6)


def test_codes_of_any_shape_are_of_that_shape():
    field = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    assert encode(field).codes.shape == (2, 3, 4)
    assert (decode(encode(field.transpose())) == decode(encode(field)).transpose()).all()


def test_neighbouring_counts_have_small_codes():
    smooth = 40 + 20 * np.sin(np.arange(10_000, dtype=np.float32) / 500)
    codes = encode(smooth).codes[1:].astype(np.int16)
    assert np.abs(codes).max() < 20
