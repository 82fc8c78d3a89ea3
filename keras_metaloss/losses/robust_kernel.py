"""The robust loss for a learned shape and scale: few passes, derivatives by hand."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["learned_energy"]


@tf.custom_gradient
def learned_energy(
    residual: tf.Tensor, alpha: tf.Tensor, scale: tf.Tensor
) -> tf.Tensor:
    """Mean over the last axis of `robust_energy(residual / scale, alpha)`.

    With `d = 2 - alpha`, `r = (residual / scale)^2 / d`, `t = alpha / 2 log(1 + r)` the
    energy is `d / alpha (e^t - 1)`, and `h = e^t / (1 + r)` is in all its derivatives:
    by the residual `residual h / scale^2`, by the scale `-d r h / scale`, by alpha
    `d / alpha^2 (t e^t - (e^t - 1)) - (e^t - 1) / alpha + r h / 2`.

    Args:
        residual: `[..., D]`.
        alpha: between 0 and 2, both left out, a scalar or `[D]`.
        scale: above 0, a scalar or `[D]`.

    Returns:
        Tensor `[...]`.
    """
    distance = 2.0 - alpha
    precision = 1.0 / tf.square(scale)
    ratio = tf.square(residual) * (precision / distance)
    t = tf.math.log1p(ratio) * (0.5 * alpha)
    excess = tf.math.expm1(t)
    size = tf.cast(tf.shape(residual)[-1], residual.dtype)

    def gradient(upstream):
        upstream = upstream[..., tf.newaxis] / size
        growth = excess + 1.0
        slope = upstream * (growth / (1.0 + ratio))
        by_residual = residual * slope * precision
        moved = _summed_to(slope * ratio, alpha, scale)
        bend = growth * t - excess * (1.0 + alpha / distance)
        by_alpha = _summed_to(upstream * bend, alpha, scale)
        by_alpha = distance / tf.square(alpha) * by_alpha + 0.5 * moved
        by_scale = -distance * moved / scale
        return by_residual, _summed_to(by_alpha, alpha), _summed_to(by_scale, scale)

    return tf.reduce_mean(excess * (distance / alpha), axis=-1), gradient


def _summed_to(values, *parameters):
    """Sums over what the parameters are broadcast along."""
    if all(parameter.shape.rank == 0 for parameter in parameters):
        return tf.reduce_sum(values)
    values = tf.reduce_sum(values, axis=list(range(values.shape.rank - 1)))
    if all(parameter.shape.num_elements() == 1 for parameter in parameters):
        return tf.reduce_sum(values, keepdims=True)
    return values
