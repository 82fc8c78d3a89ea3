"""Dtypes of computations and results."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

__all__ = ["cast_wide", "result_dtype", "wide_dtype"]


def wide_dtype(dtype: tf.DType) -> tf.DType:
    """Returns float64 for float64 and float32 for every other dtype.

    Logarithms and sums of squares lose too many digits in half precision.
    """
    return tf.float64 if dtype == tf.float64 else tf.float32


def result_dtype(dtype: tf.DType) -> tf.DType:
    """Returns the dtype of a result: the input dtype if floating, else float32."""
    return dtype if dtype.is_floating else wide_dtype(dtype)


def cast_wide(value: Any) -> tf.Tensor:
    """Converts to a tensor: float64 stays, every other dtype becomes float32."""
    value = tf.convert_to_tensor(value)
    return tf.cast(value, wide_dtype(value.dtype))
