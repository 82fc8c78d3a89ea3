"""The robust loss for a learned alpha: few passes, derivatives by hand."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["learned_energy"]

# Derivative of expm1(t) / t at 0: 1/2 + t/3 + t^2/8 + ...
_SLOPES = (1 / 840, 1 / 144, 1 / 30, 1 / 8, 1 / 3, 1 / 2)


@tf.custom_gradient
def learned_energy(x: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
    """As `robust_energy`, for alpha between 0 and 2, both left out.

    Args:
        x: residuals over their scale, `[..., D]`.
        alpha: a scalar, or `[D]`.

    Returns:
        Tensor `[..., D]`.
    """
    distance = 2.0 - alpha
    ratio = tf.square(x) / distance
    logarithm = tf.math.log1p(ratio)
    t = 0.5 * alpha * logarithm
    excess = tf.math.expm1(t)

    def gradient(upstream):
        growth = excess + 1.0
        by_x = upstream * x * growth / (1.0 + ratio)
        # By alpha: its parts cancel for small t, where a series takes their place.
        series = tf.zeros_like(t)
        for coefficient in _SLOPES:
            series = series * t + tf.constant(coefficient, t.dtype)
        bend = tf.where(
            t < 0.1,
            0.25 * distance * tf.square(logarithm) * series,
            distance / tf.square(alpha) * (growth * t - excess),
        )
        by_alpha = bend - excess / alpha + 0.5 * growth * ratio / (1.0 + ratio)
        return by_x, _summed_to(upstream * by_alpha, alpha)

    return distance / alpha * excess, gradient


def _summed_to(values, alpha):
    """Sums over what alpha was broadcast along."""
    if alpha.shape.rank == 0:
        return tf.reduce_sum(values)
    values = tf.reduce_sum(values, axis=list(range(values.shape.rank - 1)))
    return values if alpha.shape[0] != 1 else tf.reduce_sum(values, keepdims=True)
