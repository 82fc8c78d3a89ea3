"""Barron's general robust loss and the log partition of its distribution."""

from __future__ import annotations

import math
import numbers
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_metaloss._utils.checks import check_within
from keras_metaloss._utils.shapes import require_same_rank
from keras_metaloss.losses._core.floats import as_floats

__all__ = [
    "SERIES_REACH",
    "check_columns",
    "expm1_quotient",
    "general_robust_loss",
    "log_partition",
    "robust_energy",
]

# Below this bound of |t|, expm1(t) / t is evaluated as a polynomial, which is smooth
# at t = 0.
SERIES_REACH = 0.3
_SERIES = [1.0 / math.factorial(k + 1) for k in range(14)]

# Trapezoidal rule for the integral over x > 0 in y = log x. For every alpha, the
# integrand is analytic in |Im y| < pi / 4 and below 1e-17 outside of these nodes.
_STEP = 0.125
_NODES = np.arange(-40.0, 40.0 + _STEP, _STEP)


def general_robust_loss(
    y_true: Any, y_pred: Any, alpha: Any = 1.0, scale: Any = 1.0
) -> tf.Tensor:
    """Computes Barron's general robust loss, averaged over the last axis.

    `rho(x) = |a - 2| / a * (((x / c)^2 / |a - 2| + 1)^(a / 2) - 1)` with
    `x = y_true - y_pred`, shape `a = alpha` and scale `c`. Special cases at `c = 1`:
    half the squared error (`a = 2`), pseudo-Huber (`a = 1`), Cauchy,
    `log(x^2 / 2 + 1)` (`a = 0`), Geman-McClure (`a = -2`), and Welsch,
    `1 - exp(-x^2 / 2)` (`a = -inf`). Smaller values of alpha
    reduce the influence of outliers.

    Args:
        y_true: Targets, `[..., D]`.
        y_pred: Predictions, `[..., D]`.
        alpha: Shape of the loss: a number, or one per column, `[D]`. `-inf` is
            allowed. Defaults to `1.0`.
        scale: Residual above which a value is treated as an outlier: a number greater
            than 0, or one per column, `[D]`. Defaults to `1.0`.

    Returns:
        Per-example losses, `[...]`.

    Raises:
        ValueError: If `alpha` or `scale` is neither a scalar nor one number per
            column, or if `scale` is not positive (not checked for tensors).

    Example:

    >>> import keras_metaloss as kml
    >>> for alpha in (2.0, 1.0, 0.0, float("-inf")):
    ...     value = kml.losses.general_robust_loss([[0.0]], [[3.0]], alpha)
    ...     print(round(float(value[0]), 4))
    4.5
    2.1623
    1.7047
    0.9889

    Reference:
        Barron, "A General and Adaptive Robust Loss Function", 2019, equations 8, 9.
    """
    y_true, y_pred, result = as_floats(y_true, y_pred)
    y_true, y_pred = require_same_rank(y_true, y_pred)
    check_columns(y_pred, alpha=alpha, scale=scale)
    check_within("scale", scale, 0.0, math.inf)
    x = (y_true - y_pred) / keras.ops.convert_to_tensor(scale, y_pred.dtype)
    if isinstance(alpha, numbers.Real):
        values = _energy_at(x, float(alpha))
    else:
        values = robust_energy(x, keras.ops.convert_to_tensor(alpha, x.dtype))
    return tf.cast(tf.reduce_mean(values, axis=-1), result)


def check_columns(y_pred: tf.Tensor, **parameters: Any) -> None:
    """Raises a `ValueError` unless parameters are scalars or one per column."""
    columns = y_pred.shape[-1]
    for name, value in parameters.items():
        shape = tf.convert_to_tensor(value).shape
        if not any(shape.is_compatible_with(s) for s in ([], [1], [columns])):
            raise ValueError(
                f"Invalid value for argument `{name}`. Expected a number or one number "
                f"per column of `y_pred`. Received: {name}={value!r}, with "
                f"{columns} columns"
            )


def robust_energy(x: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
    """Computes `rho(x)` at scale 1, elementwise.

    Evaluated as `|a - 2| / a * expm1(a / 2 * log1p(x^2 / |a - 2|))`, without division
    by zero at `a = 0` and `a = 2` and without cancellation close to them.

    Args:
        x: Residuals divided by the scale.
        alpha: Shape of the loss; broadcast with `x`.
    """
    epsilon = float(np.finfo(x.dtype.as_numpy_dtype).eps)
    alpha = tf.clip_by_value(alpha, -1.0 / epsilon, 1.0 / epsilon)
    distance = tf.maximum(tf.abs(alpha - 2.0), epsilon)
    logarithm = tf.math.log1p(tf.square(x) / distance)
    t = 0.5 * alpha * logarithm
    is_small = tf.abs(t) < SERIES_REACH
    small = 0.5 * distance * logarithm * expm1_quotient(_where(is_small, t, 0.0))
    # Neither branch may divide by zero or overflow, even where it is not selected:
    # otherwise its derivative would be NaN there.
    large = (distance / _where(is_small, 1.0, alpha)) * tf.math.expm1(
        _where(is_small, 0.0, t)
    )
    return tf.where(is_small, small, large)


def log_partition(alpha: tf.Tensor) -> tf.Tensor:
    """Computes `log Z(a)`, `Z = integral exp(-rho(x)) dx` over all x at scale 1.

    Differentiable quadrature in float64 with an error of about 1e-12.

    Args:
        alpha: Tensor of any shape with values in [0, 2].

    Returns:
        Tensor of the same shape and dtype.
    """
    nodes = tf.constant(_NODES)
    wide = tf.cast(alpha, tf.float64)[..., tf.newaxis]
    energy = robust_energy(tf.exp(nodes), wide)
    logarithm = tf.reduce_logsumexp(nodes - energy, axis=-1) + math.log(2.0 * _STEP)
    return tf.cast(logarithm, alpha.dtype)


def expm1_quotient(t: tf.Tensor) -> tf.Tensor:
    """Computes `expm1(t) / t` for `|t| < SERIES_REACH`."""
    epsilon = float(np.finfo(t.dtype.as_numpy_dtype).eps)
    terms = [c for k, c in enumerate(_SERIES) if c * SERIES_REACH**k > epsilon / 8]
    value = tf.zeros_like(t)
    for coefficient in reversed(terms):
        value = value * t + tf.constant(coefficient, t.dtype)
    return value


def _energy_at(x: tf.Tensor, alpha: float) -> tf.Tensor:
    """Computes `robust_energy` for a Python number alpha, in fewer passes."""
    square = tf.square(x)
    if alpha == 2.0:
        return 0.5 * square
    if alpha == 1.0:
        return square / (tf.sqrt(square + 1.0) + 1.0)
    if alpha == 0.0:
        return tf.math.log1p(0.5 * square)
    if alpha == -math.inf:
        return -tf.math.expm1(-0.5 * square)
    return robust_energy(x, tf.constant(alpha, x.dtype))


def _where(condition: tf.Tensor, chosen: Any, otherwise: Any) -> tf.Tensor:
    dtype = next(v.dtype for v in (chosen, otherwise) if tf.is_tensor(v))
    return tf.where(condition, tf.cast(chosen, dtype), tf.cast(otherwise, dtype))
