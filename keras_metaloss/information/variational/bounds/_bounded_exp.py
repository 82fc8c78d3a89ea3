"""Exponential function without overflow."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["bounded_exp"]

# Above this exponent, `exp` is replaced by its tangent, so that the scores of an
# untrained critic give finite values and squared gradients do not overflow float32.
_LARGEST_EXPONENT = 40.0


def bounded_exp(x: tf.Tensor) -> tf.Tensor:
    """Computes `exp(x)`, continued by its tangent for large `x`."""
    capped = tf.minimum(x, _LARGEST_EXPONENT)
    return tf.exp(capped) * (1 + tf.maximum(x - _LARGEST_EXPONENT, 0))
