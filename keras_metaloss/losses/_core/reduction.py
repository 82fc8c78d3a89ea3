"""Reduction of loss values as in Keras."""

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
    """Reduces loss values as Keras does, with weights, masks and replica scaling.

    Args:
        values: Values before reduction. Their Keras mask, if any, is applied as well.
        sample_weight: Weights that broadcast to `values`, or `None`.
        mask: Boolean mask, `False` for values to ignore, or `None`.
        reduction: Type of reduction: `"sum_over_batch_size"`, `"sum"`, `"mean"`,
            `"mean_with_sample_weight"` or `None`. Defaults to `"sum_over_batch_size"`.
        dtype: Dtype of the result.

    Returns:
        A scalar, or the weighted values if `reduction=None`.
    """
    _compat.add_keras_mask(values, mask)
    reduce = _PredictionsAsLoss(name="reduction", reduction=reduction, dtype=dtype)
    return reduce(values, values, sample_weight)


class _PredictionsAsLoss(keras.losses.Loss):
    """Keras loss whose values are its predictions."""

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return y_pred
