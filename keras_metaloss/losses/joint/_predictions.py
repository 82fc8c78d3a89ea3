"""Predictions and weights that enter the mutual information of the tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss._utils.shapes import append_axes
from keras_metaloss.losses._core.missing_labels import merge_masks

__all__ = ["cast_predictions", "included_predictions", "row_weights"]


def cast_predictions(y_pred: Mapping[str, Any], dtype: Any) -> dict[str, tf.Tensor]:
    """Casts predictions to a dtype; they keep their Keras masks."""
    result = {}
    for name, value in y_pred.items():
        mask = _compat.keras_mask(value)
        result[name] = tf.cast(value, dtype)
        if mask is not None:
            result[name] = tf.identity(result[name])
            _compat.set_keras_mask(result[name], mask)
    return result


def included_predictions(
    y_pred: Mapping[str, tf.Tensor], sample_weight: Any
) -> tuple[dict[str, tf.Tensor], tf.Tensor | None]:
    """Returns predictions without masked entries, and the weights of all entries.

    A masked time step is replaced by the mean of the step over the other examples, so
    that it carries no information.

    Args:
        y_pred: Predictions of the tasks, `[N, ...]`, with their Keras masks.
        sample_weight: Weights of the examples, `[N]` or `[N, ...]`, or `None`. Entries
            of weight 0 are masked.

    Returns:
        The predictions by name, and weights `[N, M]` or `None`. M is 1 for masks and
        weights of whole examples.
    """
    weights = None
    if sample_weight is not None:
        weights = tf.convert_to_tensor(sample_weight)
        weights = tf.reshape(weights, [tf.shape(weights)[0], -1])
    filled = {}
    for name, value in y_pred.items():
        mask = _compat.keras_mask(value)
        if mask is not None:
            mask = tf.cast(mask, tf.bool)
            weights = _masked_weights(weights, mask, value.dtype)
        if sample_weight is not None and value.shape.rank > 2:
            nonzero = tf.not_equal(sample_weight, 0)
            if nonzero.shape.rank > 1:
                every = tf.ones_like(value[..., 0], tf.bool)
                mask = merge_masks(every if mask is None else mask, nonzero)
        filled[name] = value if mask is None else _filled(value, mask)
    return filled, weights


def row_weights(weights: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Returns weights of the rows of predicted distributions, `[rows]`.

    Args:
        weights: Weights of the entries, `[N, M]`.
        rows: Number of rows. With M rows per example, each row has its own weight;
            otherwise, the rows of an example have its mean weight.
    """
    count, entries = tf.shape(weights)[0], tf.shape(weights)[1]
    per_example = rows // count
    own = tf.gather(weights, tf.minimum(tf.range(per_example), entries - 1), axis=1)
    mean = tf.reduce_mean(weights, axis=1, keepdims=True) * tf.ones_like(own)
    return tf.reshape(tf.where(tf.equal(entries, per_example), own, mean), [-1])


def _masked_weights(
    weights: tf.Tensor | None, mask: tf.Tensor, dtype: tf.DType
) -> tf.Tensor:
    """Returns weights `[N, M]`, 0 for masked entries."""
    entries = tf.cast(tf.reshape(mask, [tf.shape(mask)[0], -1]), dtype)
    if weights is None:
        return entries
    weights = tf.cast(weights, dtype)
    if weights.shape[1] == 1 or weights.shape[1:] == entries.shape[1:]:
        return weights * entries
    # Different numbers of entries: an example is included if any of its entries is.
    return weights * tf.reduce_max(entries, axis=1, keepdims=True)


def _filled(value: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Replaces masked entries by the mean over the examples that include them."""
    mask = append_axes(mask, value.shape.rank)
    weights = tf.cast(mask, value.dtype)
    known = tf.stop_gradient(tf.where(mask, value, tf.zeros_like(value)))
    axes = list(range(max(1, value.shape.rank - 1)))
    result = value
    for axis in (axes, [0]):  # The mean of all entries, then of the same entry.
        count = tf.reduce_sum(weights, axis, keepdims=True)
        mean = tf.reduce_sum(known, axis, keepdims=True) / tf.maximum(count, 1)
        result = tf.where(mask | (count == 0), result, mean)
    return result
