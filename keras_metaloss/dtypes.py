"""In which precision numbers are computed."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["result_dtype", "wide_dtype"]


def wide_dtype(dtype: tf.DType) -> tf.DType:
    """float64 for float64, float32 for everything else.

    Half precision cannot hold logarithms or sums of squares to more than two digits.
    """
    return tf.float64 if dtype == tf.float64 else tf.float32


def result_dtype(dtype: tf.DType) -> tf.DType:
    """The dtype in which a result is given back: that of the input, if of floats."""
    return dtype if dtype.is_floating else wide_dtype(dtype)
