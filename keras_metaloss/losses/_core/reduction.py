"""Keras's reduction of loss values."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss import _compat

__all__ = ["reduce_weighted"]


def reduce_weighted(
    values: tf.Tensor,
    sample_weight: Any = None,
    *,
    mask: tf.Tensor | None = None,
    reduction: str | None = "sum_over_batch_size",
    dtype: Any = None,
) -> tf.Tensor:
    """Reduces loss values with Keras's weights, masks and scaling for replicas.

    Args:
        values: Values before reduction. A Keras mask of theirs counts too.
        sample_weight: Weights that broadcast to `values`, or `None`.
        mask: Boolean mask, `False` for values that do not count, or `None`.
        reduction: A reduction of `keras.losses.Loss`.
        dtype: Dtype of the result.

    Returns:
        A scalar, or with `reduction=None` the weighted values.
    """
    _compat.add_keras_mask(values, mask)
    reduce = _Values(name="reduction", reduction=reduction, dtype=dtype)
    return reduce(values, values, sample_weight)


class _Values(keras.losses.Loss):
    """Keras loss whose values are its predictions."""

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return y_pred
