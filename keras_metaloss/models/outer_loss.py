"""Query weights and separability of the outer loss."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss.as_loss import as_loss
from keras_metaloss.losses import RapidGeneralizationLoss
from keras_metaloss.per_example import is_per_example

__all__ = ["is_separable", "query_shares", "query_weights", "set_loss_step"]

_MEANS = ("sum_over_batch_size", "mean")


def is_separable(loss: Any) -> bool:
    """Returns whether the batch loss is the mean of the losses of the tasks.

    Args:
        loss: The loss passed to `compile`.
    """
    if isinstance(loss, RapidGeneralizationLoss):
        mean = loss.reduction in _MEANS and not loss.looks_across_tasks
        return mean and is_separable(loss.intra_task_loss)
    if not (isinstance(loss, str) or callable(loss)):
        return False
    loss = as_loss("loss", loss)
    # Ignored examples change the divisor of the batch, not the one of their task.
    ignores = getattr(loss, "ignore_class", None) is not None
    return is_per_example(loss) and loss.reduction in _MEANS and not ignores


def query_shares(mask: Any) -> tf.Tensor:
    """Returns equal weights of the real queries of each task, with sum 1.

    Args:
        mask: `[T, Q]`, true for real queries.

    Returns:
        Weights, `[T, Q]`, zero for padded queries.
    """
    mask = tf.cast(mask, tf.float32)
    return tf.math.divide_no_nan(mask, tf.reduce_sum(mask, axis=1, keepdims=True))


def query_weights(mask: Any, sample_weight: Any, y_pred: Any) -> Any:
    """Computes query weights that turn the mean over queries into one over tasks.

    `w[t, q] = sample_weight[t, q] * mask[t, q] * Q / sum_q mask[t, q]`

    Args:
        mask: `[T, Q]`, true for real queries, or `None`.
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
    if keras.tree.is_nested(sample_weight):
        return keras.tree.map_structure(
            lambda w, y: _fit(_per_query(w) * share, y), sample_weight, y_pred
        )
    weight = share if sample_weight is None else _per_query(sample_weight) * share
    return keras.tree.map_structure(lambda y: _fit(weight, y), y_pred)


def _per_query(weight):
    weight = tf.cast(weight, tf.float32)
    return weight[:, tf.newaxis] if weight.shape.rank == 1 else weight


def _fit(weight, y_pred):
    """Appends axes of length 1 to broadcast to losses of shape `[T, Q, ...]`."""
    missing = y_pred.shape.rank - 1 - weight.shape.rank
    for _ in range(missing):
        weight = weight[..., tf.newaxis]
    return weight


def set_loss_step(loss: Any, step: tf.Tensor) -> None:
    """Sets the number of updates in losses with a scheduled weight."""
    for one in keras.tree.flatten(loss):
        if isinstance(one, RapidGeneralizationLoss):
            one.set_step(step)
