"""The robust loss for a learned shape and scale: few passes, derivatives by hand."""

from __future__ import annotations

import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss.losses.general_robust_loss import SERIES_REACH, expm1_quotient

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
    shape = tf.shape(residual)
    columns = shape[-1]
    by_column = any(p.shape.num_elements() != 1 for p in (alpha, scale))
    distance = 2.0 - alpha
    precision = 1.0 / tf.square(scale)
    # Compilers make one long loop fast; many of a few columns they do not.
    x = residual if by_column else tf.reshape(residual, [-1])
    ratio = tf.square(x) * (precision / distance)
    t = tf.math.log1p(ratio) * (0.5 * alpha)
    excess = _expm1(t)

    def row_sums(values):
        return _row_sums(tf.reshape(values, [-1, columns]))

    def gradient(upstream):
        weights = upstream[..., tf.newaxis] / tf.cast(columns, upstream.dtype)

        def total(values, weights):
            values = tf.reshape(values, [-1, columns])
            weights = tf.reshape(weights, [-1, 1])
            if by_column:
                return tf.reduce_sum(values * weights, axis=0)
            return tf.reduce_sum(_row_sums(values) * weights[:, 0])

        growth = excess + 1.0
        slope = growth / (1.0 + ratio)
        by_residual = tf.reshape(x * slope, shape) * (weights * precision)
        moved = total(slope * ratio, weights)
        bend = total(growth * t, weights) - 2.0 / distance * total(excess, weights)
        by_alpha = _to_shape_of(distance / tf.square(alpha) * bend + moved / 2, alpha)
        return by_residual, by_alpha, _to_shape_of(-distance * moved / scale, scale)

    factor = distance / alpha
    if by_column:
        energy = row_sums(excess * factor)
    else:
        energy = row_sums(excess) * tf.reshape(factor, [])
    mean = energy / tf.cast(columns, energy.dtype)
    return tf.reshape(mean, shape[:-1]), gradient


def _expm1(t):
    """`expm1(t)` for t of 0 and above."""
    if not _compat.is_compiled_by_xla():
        return tf.math.expm1(t)
    # XLA's own takes longer than this.
    series = t * expm1_quotient(t)
    return tf.where(t < SERIES_REACH, series, tf.exp(t) - 1.0)


def _row_sums(values):
    """Sum over the last axis of a matrix."""
    if not _compat.is_compiled_by_xla():
        return tf.reduce_sum(values, axis=-1)
    # XLA computes the factors of a product in its loop, and those of a sum before it.
    return tf.linalg.matvec(values, tf.ones(tf.shape(values)[-1:], values.dtype))


def _to_shape_of(gradient, parameter):
    """Sums over what the parameter is broadcast along."""
    if parameter.shape.num_elements() == 1:
        return tf.reshape(tf.reduce_sum(gradient), parameter.shape)
    return gradient
