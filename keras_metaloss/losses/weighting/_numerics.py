"""Numerical helpers of the task weighting methods."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

__all__ = ["epsilon", "gradient_norms", "step_uniform", "tiny"]


def epsilon(dtype: tf.DType) -> float:
    """Returns the distance from 1 to the next larger number."""
    return float(np.finfo(dtype.as_numpy_dtype).eps)


def tiny(dtype: tf.DType) -> tf.Tensor:
    """Returns a lower bound for denominators."""
    return tf.constant(1e-30, dtype)


def gradient_norms(products: tf.Tensor) -> tf.Tensor:
    """Returns the norms `[K]` of K gradients with inner products `[K, K]`."""
    return tf.sqrt(tf.linalg.diag_part(products))


def step_uniform(seed: int, step: Any, shape: tuple[int, ...]) -> tf.Tensor:
    """Draws uniform numbers for one step, identical on all replicas and with XLA.

    Args:
        seed: Seed of the stream.
        step: Index of the step.
        shape: Shape of the result.

    Returns:
        float64 numbers greater than 0 and less than 1.
    """
    # Draws 32-bit integers, because XLA and TensorFlow give different floating-point
    # numbers for the same seed.
    bits = tf.random.stateless_uniform(
        shape,
        seed=tf.stack([tf.constant(seed, tf.int64), tf.cast(step, tf.int64)]),
        minval=None,
        maxval=None,
        dtype=tf.uint32,
        alg="philox",
    )
    return (tf.cast(bits, tf.float64) + 0.5) / 2.0**32
