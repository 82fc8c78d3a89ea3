"""Query weights and separability of the outer loss."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss._utils.shapes import append_axes
from keras_metaloss.losses._core.meta_loss import nested_losses, required_context
from keras_metaloss.losses._core.standardize import standardize_loss
from keras_metaloss.losses._core.traits import traits_of

__all__ = ["is_separable", "query_shares", "query_weights", "share_weights"]

_MEANS = ("sum_over_batch_size", "mean")


def is_separable(loss: Any) -> bool:
    """Returns whether the batch loss is the mean of the losses of the tasks.

    Args:
        loss: The loss passed to `compile`.
    """
    if not (isinstance(loss, str) or callable(loss)):
        return False
    loss = standardize_loss("loss", loss)
    # Ignored labels change the divisor of the mean over the batch.
    ignores = any(traits_of(x).ignores_labels for x in nested_losses(loss))
    # The gradients of all tasks are needed before the loss of the first one.
    compares = "task_gradients" in required_context(loss)
    mean = loss.reduction in _MEANS and not ignores and not compares
    return mean and traits_of(loss).per_example


def query_shares(mask: Any) -> tf.Tensor:
    """Returns equal weights of the real queries of each task, with sum 1.

    Args:
        mask: `[T, Q]`, `True` for real queries.

    Returns:
        Weights, `[T, Q]`, zero for padded queries.
    """
    mask = tf.cast(mask, tf.float32)
    return tf.math.divide_no_nan(mask, tf.reduce_sum(mask, axis=1, keepdims=True))


def query_weights(mask: Any, sample_weight: Any, y_pred: Any) -> Any:
    """Computes query weights that turn the mean over queries into one over tasks.

    `w[t, q] = sample_weight[t, q] * mask[t, q] * Q / sum_q mask[t, q]`

    Args:
        mask: `[T, Q]`, `True` for real queries, or `None`.
        sample_weight: `[T]` or `[T, Q]`, a structure of them, or `None`.
        y_pred: Predictions, `[T, Q, ..., C]`, or a structure of them.

    Returns:
        Weights per output that broadcast to losses of shape `[T, Q, ...]`, or `None`
        if there is neither a mask nor a sample weight.
    """
    if mask is None and sample_weight is None:
        return None
    share = 1.0
    if mask is not None:
        share = query_shares(mask) * tf.cast(tf.shape(mask)[1], tf.float32)
    weight = share_weights(share, sample_weight)
    if not keras.tree.is_nested(weight):
        return keras.tree.map_structure(lambda y: _expand(y, weight), y_pred)
    return keras.tree.map_structure(lambda y, w: _expand(y, w), y_pred, weight)


def share_weights(share: Any, sample_weight: Any) -> Any:
    """Multiplies weights of queries with weights of tasks or queries.

    Args:
        share: Weights, `[T, Q]`, or a number.
        sample_weight: `[T]` or `[T, Q]`, a structure of them, or `None`.

    Returns:
        Weights `[T, Q]`, in the structure of `sample_weight`.
    """
    if sample_weight is None:
        return share
    return keras.tree.map_structure(lambda w: _per_query(w) * share, sample_weight)


def _expand(y_pred: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """Appends axes of length 1 to broadcast to losses of shape `[T, Q, ...]`."""
    return append_axes(weight, y_pred.shape.rank - 1)


def _per_query(weight: Any) -> tf.Tensor:
    weight = tf.cast(weight, tf.float32)
    return weight[:, tf.newaxis] if weight.shape.rank == 1 else weight
