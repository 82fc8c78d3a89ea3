"""Tests of sums and shapes for XLA against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from keras_metaloss._utils.xla import flatten_trailing_axes, sum_last_axis


@pytest.mark.parametrize("costly", [False, True])
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("shape", [(7,), (3, 5), (3, 50), (2, 3, 50), (0, 50), (3, 0)])
def test_row_sums_match_numpy(shape, jit_compile, costly):
    values = np.random.default_rng(0).normal(size=shape).astype("float32")
    sums = tf.function(sum_last_axis, jit_compile=jit_compile)(
        tf.constant(values), costly
    )
    np.testing.assert_allclose(sums, values.sum(axis=-1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((4,), (4,)), ((4, 2), (4, 2)), ((4, 2, 3), (4, 6)), ((0, 2, 3), (0, 6))],
)
def test_long_rows_flattens_trailing_axes(shape, expected):
    assert flatten_trailing_axes(tf.zeros(shape)).shape == expected
