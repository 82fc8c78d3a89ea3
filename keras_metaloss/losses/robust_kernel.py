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
    by_column = any(p.shape.num_elements() != 1 for p in (alpha, scale))

    def gradient(upstream):
        upstream = upstream / size
        growth = excess + 1.0
        slope = growth / (1.0 + ratio)
        by_residual = residual * slope * (upstream[..., tf.newaxis] * precision)
        moved = _summed(slope * ratio, upstream, by_column)
        bend = _summed(growth * t, upstream, by_column)
        bend -= (1.0 + alpha / distance) * _summed(excess, upstream, by_column)
        by_alpha = _to_shape_of(distance / tf.square(alpha) * bend + moved / 2, alpha)
        return by_residual, by_alpha, _to_shape_of(-distance * moved / scale, scale)

    factor = distance / alpha
    if by_column:
        return tf.reduce_mean(excess * factor, axis=-1), gradient
    return tf.reduce_sum(excess, axis=-1) * tf.reshape(factor / size, []), gradient


def _summed(values, upstream, by_column):
    """Sum over examples times upstream; over columns too unless `by_column`."""
    if not by_column:
        # Rows first, which compilers make several of at a time.
        return tf.reduce_sum(upstream * tf.reduce_sum(values, axis=-1))
    axes = list(range(values.shape.rank - 1))
    return tf.reduce_sum(upstream[..., tf.newaxis] * values, axis=axes)


def _to_shape_of(gradient, parameter):
    """Sums over what the parameter is broadcast along."""
    if parameter.shape.num_elements() == 1:
        return tf.reshape(tf.reduce_sum(gradient), parameter.shape)
    return gradient
