"""The outer loss: weights of queries, and whether tasks can be taken one by one."""

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
    """Whether the loss of a batch is the mean of the losses of its tasks.

    Args:
        loss: what `compile` got.
    """
    if isinstance(loss, RapidGeneralizationLoss):
        mean = loss.reduction in _MEANS and not loss.looks_across_tasks
        return mean and is_separable(loss.intra_task_loss)
    if not (isinstance(loss, str) or callable(loss)):
        return False
    loss = as_loss("loss", loss)
    # Examples that are ignored leave the mean over the batch, not that of their task.
    ignores = getattr(loss, "ignore_class", None) is not None
    return is_per_example(loss) and loss.reduction in _MEANS and not ignores


def query_shares(mask: Any) -> tf.Tensor:
    """What each query counts within its task, `[T, Q]`: real ones alike, sum 1.

    Args:
        mask: `[T, Q]`, true for real queries.
    """
    mask = tf.cast(mask, tf.float32)
    return tf.math.divide_no_nan(mask, tf.reduce_sum(mask, axis=1, keepdims=True))


def query_weights(mask: Any, sample_weight: Any, y_pred: Any) -> Any:
    """Weights of queries that make the mean loss a mean over tasks.

    Real queries of a task share its weight alike, padded ones have none:
    `w[t, q] = sample_weight[t, q] * mask[t, q] * Q / sum_q mask[t, q]`.

    Args:
        mask: `[T, Q]`, true for real queries, or `None`.
        sample_weight: `[T]` or `[T, Q]`, a structure of them, or `None`.
        y_pred: predictions, `[T, Q, ..., C]`, or a structure of them.

    Returns:
        For each output weights that fit losses of shape `[T, Q, ...]`, or `None`.
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
    """Appends axes of length one, for losses with axes behind tasks and queries."""
    missing = y_pred.shape.rank - 1 - weight.shape.rank
    for _ in range(missing):
        weight = weight[..., tf.newaxis]
    return weight


def set_loss_step(loss: Any, step: tf.Tensor) -> None:
    """Tells losses with a scheduled weight how many updates have been made."""
    for one in keras.tree.flatten(loss):
        if isinstance(one, RapidGeneralizationLoss):
            one.set_step(step)
