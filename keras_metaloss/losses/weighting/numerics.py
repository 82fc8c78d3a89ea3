"""Small numerical helpers that several weighting methods share."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

__all__ = ["epsilon", "gradient_norms", "step_uniform", "tiny"]


def epsilon(dtype: tf.DType) -> float:
    """Distance from one to the next number."""
    return float(np.finfo(dtype.as_numpy_dtype).eps)


def tiny(dtype: tf.DType) -> tf.Tensor:
    """The smallest number that may safely stand in a denominator."""
    return tf.constant(1e-30, dtype)


def gradient_norms(products: tf.Tensor) -> tf.Tensor:
    """Norms of K gradients, from their products `[K, K]`."""
    return tf.sqrt(tf.linalg.diag_part(products))


def step_uniform(seed: int, step: Any, shape: tuple[int, ...]) -> tf.Tensor:
    """Uniform numbers of one step, the same on every replica and with XLA.

    Args:
        seed: seed of the stream.
        step: number of the step.
        shape: shape of the result.

    Returns:
        float64 numbers above 0 and below 1.
    """
    # Whole 32-bit numbers: XLA makes other fractions than TensorFlow from one seed.
    bits = tf.random.stateless_uniform(
        shape,
        seed=tf.stack([tf.constant(seed, tf.int64), tf.cast(step, tf.int64)]),
        minval=None,
        maxval=None,
        dtype=tf.uint32,
        alg="philox",
    )
    return (tf.cast(bits, tf.float64) + 0.5) / 2.0**32
