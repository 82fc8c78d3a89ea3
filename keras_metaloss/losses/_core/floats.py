"""Casts targets and predictions to the dtype of the loss computation."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss._utils.dtypes import result_dtype, wide_dtype

__all__ = ["as_floats"]


def as_floats(y_true: Any, y_pred: Any) -> tuple[tf.Tensor, tf.Tensor, tf.DType]:
    """Returns both tensors as float32 or float64, and the dtype of the result."""
    y_pred = keras.ops.convert_to_tensor(y_pred)
    dtype = wide_dtype(y_pred.dtype)
    y_true = keras.ops.convert_to_tensor(y_true, dtype)
    return y_true, tf.cast(y_pred, dtype), result_dtype(y_pred.dtype)
