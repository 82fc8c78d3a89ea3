"""Alignment of the ranks of tensors."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["append_axes", "expand_to_same_rank", "match_rank", "require_same_rank"]


def expand_to_same_rank(
    y_true: tf.Tensor, y_pred: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Adds a trailing axis of length 1 to the tensor that lacks it.

    Keras does the same for built-in losses: `[B]` and `[B, 1]` would broadcast to
    `[B, B]`.
    """
    true_rank, pred_rank = y_true.shape.rank, y_pred.shape.rank
    if None in (true_rank, pred_rank):
        return y_true, y_pred
    if pred_rank == true_rank + 1 and y_pred.shape[-1] == 1:
        return y_true[..., tf.newaxis], y_pred
    if true_rank == pred_rank + 1 and y_true.shape[-1] == 1:
        return y_true, y_pred[..., tf.newaxis]
    return y_true, y_pred


def require_same_rank(
    y_true: tf.Tensor, y_pred: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Expands to the same rank; raises unless ranks match or `y_true` is a scalar."""
    y_true, y_pred = expand_to_same_rank(y_true, y_pred)
    if y_true.shape.rank not in (0, y_pred.shape.rank):
        raise ValueError(
            "Invalid value for argument `y_true`. Expected the same shape as `y_pred`. "
            f"Received: y_true.shape={tuple(y_true.shape)}, "
            f"y_pred.shape={tuple(y_pred.shape)}"
        )
    return y_true, y_pred


def append_axes(tensor: tf.Tensor, rank: int) -> tf.Tensor:
    """Appends axes of length 1 until the tensor has at least `rank` axes."""
    missing = tf.ones([max(0, rank - tensor.shape.rank)], tf.int32)
    if not missing.shape[0]:
        return tensor
    return tf.reshape(tensor, tf.concat([tf.shape(tensor), missing], axis=0))


def match_rank(tensor: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Appends or removes trailing axes of length 1 to match the rank of `other`."""
    while tensor.shape.rank > other.shape.rank:
        tensor = tf.squeeze(tensor, axis=-1)
    return append_axes(tensor, other.shape.rank)
