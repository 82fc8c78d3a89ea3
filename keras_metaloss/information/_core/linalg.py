"""Linear algebra of covariance matrices."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["half_log_det"]


def half_log_det(cholesky: tf.Tensor) -> tf.Tensor:
    """Computes `log det(L L^T) / 2` of Cholesky factors L, `[..., D, D]`."""
    return tf.reduce_sum(tf.math.log(tf.linalg.diag_part(cholesky)), axis=-1)
