"""Alignment of the ranks of targets and predictions."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["same_rank", "with_missing_axis"]


def with_missing_axis(
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


def same_rank(y_true: tf.Tensor, y_pred: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Applies `with_missing_axis`; raises unless ranks match or `y_true` is scalar."""
    y_true, y_pred = with_missing_axis(y_true, y_pred)
    if y_true.shape.rank not in (0, y_pred.shape.rank):
        raise ValueError(
            "Invalid value for argument `y_true`. Expected the same shape as `y_pred`. "
            f"Received: y_true.shape={tuple(y_true.shape)}, "
            f"y_pred.shape={tuple(y_pred.shape)}"
        )
    return y_true, y_pred
