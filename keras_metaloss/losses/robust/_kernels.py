"""Robust loss kernel with a custom gradient, for a learned shape and scale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss._utils.xla import flatten_trailing_axes, sum_last_axis
from keras_metaloss.losses.robust.functions import SERIES_REACH, expm1_quotient

__all__ = ["learned_energy"]


def learned_energy(
    residual: tf.Tensor, alpha: tf.Tensor, scale: tf.Tensor, learns: bool = True
) -> tf.Tensor:
    """Computes the mean of `robust_energy(residual / scale, alpha)` over the last axis.

    With `d = 2 - alpha`, `r = (residual / scale)^2 / d` and `t = alpha / 2 log(1 + r)`,
    the energy is `d / alpha (e^t - 1)`. With `h = e^t / (1 + r)`, its derivatives are
    `residual h / scale^2` with respect to the residual, `-d r h / scale` with respect
    to the scale, and `d / alpha^2 (t e^t - (e^t - 1)) - (e^t - 1) / alpha + r h / 2`
    with respect to alpha.

    Args:
        residual: `[..., D]`.
        alpha: In the open interval (0, 2), a scalar or `[D]`.
        scale: Greater than 0, a scalar or `[D]`.
        learns: Whether alpha and scale get a gradient. If `False`, the gradient with
            respect to the residual is still differentiable with respect to both.
            Defaults to `True`.

    Returns:
        Tensor `[...]`.
    """

    @tf.custom_gradient
    def energy(
        residual: tf.Tensor, alpha: tf.Tensor, scale: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[..., Any]]:
        return _energy(residual, alpha, scale, learns)

    return energy(residual, alpha, scale)


def _energy(
    residual: tf.Tensor, alpha: tf.Tensor, scale: tf.Tensor, learns: bool
) -> tuple[tf.Tensor, Callable[..., Any]]:
    """Returns the mean energy and the function that computes its gradients."""
    shape = tf.shape(residual)
    columns = shape[-1]
    by_column = any(p.shape.num_elements() != 1 for p in (alpha, scale))
    distance = 2.0 - alpha
    precision = 1.0 / tf.square(scale)
    x = residual if by_column else flatten_trailing_axes(residual)
    ratio = tf.square(x) * (precision / distance)
    t = tf.math.log1p(ratio) * (0.5 * alpha)
    exp_t, expm1_t = _exp_and_expm1(t)

    def gradient(upstream: tf.Tensor) -> tuple[Any, Any, Any]:
        weights = upstream[..., tf.newaxis] / tf.cast(columns, upstream.dtype)

        def total(values: tf.Tensor) -> tf.Tensor:
            if by_column:
                axes = list(range(residual.shape.rank - 1))
                return tf.reduce_sum(values * weights, axis=axes)
            sums = sum_last_axis(tf.reshape(values, shape))
            return tf.reduce_sum(sums * weights[..., 0])

        slope = exp_t / (1.0 + ratio)
        by_residual = tf.reshape(x * slope, shape) * (weights * precision)
        if not learns:
            return by_residual, None, None
        ratio_total = total(slope * ratio)
        alpha_term = total(exp_t * t) - 2.0 / distance * total(expm1_t)
        by_alpha = distance / tf.square(alpha) * alpha_term + ratio_total / 2
        by_scale = -distance * ratio_total / scale
        return by_residual, _to_shape_of(by_alpha, alpha), _to_shape_of(by_scale, scale)

    factor = distance / alpha
    if by_column:
        energy = sum_last_axis(expm1_t * factor)
    else:
        sums = sum_last_axis(tf.reshape(expm1_t, shape), costly=True)
        energy = sums * tf.reshape(factor, [])
    return energy / tf.cast(columns, energy.dtype), gradient


def _exp_and_expm1(t: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns `exp(t)` and `expm1(t)` for non-negative t."""
    if not _compat.is_compiled_by_xla():
        expm1_t = tf.math.expm1(t)
        return expm1_t + 1.0, expm1_t
    # The built-in `expm1` of XLA is slower.
    exp_t, series = tf.exp(t), t * expm1_quotient(t)
    return exp_t, tf.where(t < SERIES_REACH, series, exp_t - 1.0)


def _to_shape_of(gradient: tf.Tensor, parameter: tf.Tensor) -> tf.Tensor:
    """Sums the gradient over the axes along which the parameter is broadcast."""
    if parameter.shape.num_elements() == 1:
        return tf.reshape(tf.reduce_sum(gradient), parameter.shape)
    return gradient
