"""NaN for results that are not valid, where a graph cannot raise."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

__all__ = ["nan_unless"]


def nan_unless(condition: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """Returns `value`, or NaN where `condition` is false."""
    return tf.where(condition, value, tf.constant(np.nan, value.dtype))
