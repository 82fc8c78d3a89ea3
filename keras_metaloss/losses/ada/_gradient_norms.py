"""Closed-form gradient norms of Keras losses; no gradient is computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss._utils.xla import sum_last_axis
from keras_metaloss.losses._core.integer_labels import (
    integer_labels,
    nan_for_invalid_labels,
)
from keras_metaloss.losses._core.traits import keras_function

__all__ = ["values_and_gradient_norms"]


def values_and_gradient_norms(
    loss: keras.losses.Loss, y_true: tf.Tensor, y_pred: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor] | None:
    """Computes losses and the norms of their gradients.

    Gradients are with respect to predictions.

    Args:
        loss: Any loss.
        y_true: Targets, in the shape that `loss` expects.
        y_pred: Predictions, `[..., C]`.

    Returns:
        Values and norms, `[...]` each; `None` for losses without a known closed form.
        No gradient flows through the norms.
    """
    is_error = keras_function(loss) is keras.losses.mean_squared_error
    if is_error and _have_the_same_columns(y_true, y_pred):
        values = loss.call(y_true, y_pred)
        columns = tf.cast(tf.shape(y_pred)[-1], values.dtype)
        return values, tf.stop_gradient(2.0 * tf.sqrt(values / columns))
    if _is_cross_entropy_of_logits(loss) and not _compat.is_made_of_logits(y_pred):
        values, norms = _cross_entropy(integer_labels(y_true, y_pred, -1), y_pred)
        return values, tf.stop_gradient(norms)
    return None


def _have_the_same_columns(y_true: tf.Tensor, y_pred: tf.Tensor) -> bool:
    """Returns whether no broadcasting happens over the last axis."""
    columns = y_pred.shape[-1] if y_pred.shape.rank else None
    same_rank = y_true.shape.rank == y_pred.shape.rank
    return same_rank and columns is not None and y_true.shape[-1] == columns


def _is_cross_entropy_of_logits(loss: keras.losses.Loss) -> bool:
    """Returns whether a loss is cross-entropy of integer labels and logits."""
    return (
        type(loss) is keras.losses.SparseCategoricalCrossentropy
        and loss.from_logits
        and loss.ignore_class is None
        and _compat.axis_of_loss(loss) == -1
    )


def _cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes `-log p_t` and the norm of `p - one_hot(t)` in few passes."""
    targets = tf.one_hot(labels, tf.shape(logits)[-1], dtype=logits.dtype)

    @tf.custom_gradient
    def values_and_norms(logits: tf.Tensor) -> tuple[Any, Callable[..., tf.Tensor]]:
        target = tf.gather(logits, labels, batch_dims=labels.shape.rank)
        largest = tf.reduce_max(logits, axis=-1)
        shifted = logits - largest[..., tf.newaxis]
        log_total = tf.math.log(sum_last_axis(tf.exp(shifted), costly=True))
        values = log_total + (largest - target)
        slopes = tf.exp(shifted - log_total[..., tf.newaxis]) - targets
        norms = tf.sqrt(sum_last_axis(tf.square(slopes)))
        return (values, norms), lambda upstream, _: upstream[..., tf.newaxis] * slopes

    values, norms = values_and_norms(logits)
    return nan_for_invalid_labels(labels, logits, values), norms
