"""Geometric mean of the losses."""

from __future__ import annotations

import math

import keras
import tensorflow as tf

from keras_metaloss.losses.weighting._numerics import tiny
from keras_metaloss.losses.weighting.task_weighting import TaskWeighting

__all__ = ["GeometricLossStrategy"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class GeometricLossStrategy(TaskWeighting):
    """Geometric mean of the losses, which is independent of their relative scales.

    `L = (prod_k L_k)^(1/K)`, so that task k has the weight `L / (K L_k)`. A step
    depends on the relative changes of the losses only.

    Losses must be positive; a negative loss gives NaN. A loss of exactly zero (a batch
    without labels for the task) is left out of the mean. As a loss approaches zero, its
    weight dominates all others.

    Args:
        name: Name of the layer. Defaults to `None`, which generates one.

    Example:

    >>> import tensorflow as tf
    >>> weighting = GeometricLossStrategy()
    >>> weighting.build_for(["a", "b"])
    >>> print(weighting.compute_weights(tf.constant([4.0, 1.0])).shared)
    tf.Tensor([0.25 1. ], shape=(2,), dtype=float32)

    Reference:
        Chennupati et al.: MultiNet++, CVPR workshops 2019, equation 2.
    """

    def objective(self, losses: tf.Tensor) -> tf.Tensor:
        present = tf.not_equal(losses, 0)
        safe = tf.maximum(tf.where(present, losses, 1.0), tiny(losses.dtype))
        safe = tf.where(losses < 0, tf.constant(math.nan, losses.dtype), safe)
        count = tf.reduce_sum(tf.cast(present, losses.dtype))
        mean = tf.exp(tf.reduce_sum(tf.math.log(safe)) / tf.maximum(count, 1.0))
        return tf.where(count > 0, mean, 0.0)
