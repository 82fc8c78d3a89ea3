"""Small numerical helpers that several weighting methods share."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

__all__ = ["epsilon", "gradient_norms", "step_seed", "tiny"]


def epsilon(dtype: tf.DType) -> float:
    """Distance from one to the next number."""
    return float(np.finfo(dtype.as_numpy_dtype).eps)


def tiny(dtype: tf.DType) -> tf.Tensor:
    """The smallest number that may safely stand in a denominator."""
    return tf.constant(1e-30, dtype)


def gradient_norms(products: tf.Tensor) -> tf.Tensor:
    """Norms of K gradients, from their products `[K, K]`."""
    return tf.sqrt(tf.linalg.diag_part(products))


def step_seed(seed: int, step: Any) -> tf.Tensor:
    """Seed of one step's random numbers: the same on every replica."""
    return tf.stack([tf.constant(seed, tf.int64), tf.cast(step, tf.int64)])
