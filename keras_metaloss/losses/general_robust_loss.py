"""Barron's general robust loss and the distribution that it is the energy of."""

from __future__ import annotations

import math
import numbers
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_metaloss.checks import check_within
from keras_metaloss.losses.as_floats import as_floats
from keras_metaloss.same_rank import same_rank

__all__ = [
    "SERIES_REACH",
    "check_columns",
    "expm1_quotient",
    "general_robust_loss",
    "log_partition",
    "robust_energy",
]

# Below this the quotient expm1(t) / t is a polynomial, smooth at t = 0.
SERIES_REACH = 0.3
_SERIES = [1.0 / math.factorial(k + 1) for k in range(14)]

# Trapezoidal rule for the integral over x > 0, in y = log x: the integrand is analytic
# in |Im y| < pi / 4 whatever alpha is, and below 1e-17 outside of these nodes.
_STEP = 0.125
_NODES = np.arange(-40.0, 40.0 + _STEP, _STEP)


def general_robust_loss(
    y_true: Any, y_pred: Any, alpha: Any = 1.0, scale: Any = 1.0
) -> tf.Tensor:
    """Barron's general robust loss, averaged over the last axis.

    `rho(x) = |a - 2| / a * (((x / c)^2 / |a - 2| + 1)^(a / 2) - 1)` with
    `x = y_true - y_pred`, shape `a = alpha` and scale c: half the squared error at
    `a = 2`, pseudo-Huber at 1, Cauchy's `log(x^2 / 2 + 1)` at 0, Geman-McClure at -2,
    Welsch's `1 - exp(-x^2 / 2)` at minus infinity. The smaller, the less outliers
    count.

    Args:
        y_true: targets, `[..., D]`.
        y_pred: predictions, `[..., D]`.
        alpha: shape, one number or one a column `[D]`; `-inf` is allowed.
        scale: residual at which outliers begin, above 0, one number or `[D]`.

    Returns:
        Tensor `[...]`.

    Raises:
        ValueError: if alpha or scale are not one number or one a column, or a scale
            that is no tensor is not above zero.

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
    y_true, y_pred = same_rank(y_true, y_pred)
    check_columns(y_pred, alpha=alpha, scale=scale)
    check_within("scale", scale, 0.0, math.inf)
    x = (y_true - y_pred) / keras.ops.convert_to_tensor(scale, y_pred.dtype)
    if isinstance(alpha, numbers.Number):
        values = _energy_at(x, float(alpha))
    else:
        values = robust_energy(x, keras.ops.convert_to_tensor(alpha, x.dtype))
    return tf.cast(tf.reduce_mean(values, axis=-1), result)


def check_columns(y_pred: tf.Tensor, **parameters: Any) -> None:
    """Raises a `ValueError` for parameters of another number of columns."""
    columns = y_pred.shape[-1]
    for name, value in parameters.items():
        shape = tf.convert_to_tensor(value).shape
        if not any(shape.is_compatible_with(s) for s in ([], [1], [columns])):
            raise ValueError(
                f"Invalid value for argument `{name}`. Expected one number or one a "
                f"column of predictions. Received: {name}={value!r}, with "
                f"{columns} columns"
            )


def robust_energy(x: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
    """`rho(x)` at scale 1, element by element.

    Written as `|a - 2| / a * expm1(a / 2 * log1p(x^2 / |a - 2|))`, with no division by
    zero at `a = 0` or 2 and no loss of digits beside them.

    Args:
        x: residuals over their scale.
        alpha: shape of the loss; broadcast with `x`.
    """
    epsilon = float(np.finfo(x.dtype.as_numpy_dtype).eps)
    alpha = tf.clip_by_value(alpha, -1.0 / epsilon, 1.0 / epsilon)
    distance = tf.maximum(tf.abs(alpha - 2.0), epsilon)
    logarithm = tf.math.log1p(tf.square(x) / distance)
    t = 0.5 * alpha * logarithm
    is_small = tf.abs(t) < SERIES_REACH
    small = 0.5 * distance * logarithm * expm1_quotient(_where(is_small, t, 0.0))
    # Where it is not chosen, neither branch may divide by zero or overflow: its
    # derivative would be NaN all the same.
    large = (distance / _where(is_small, 1.0, alpha)) * tf.math.expm1(
        _where(is_small, 0.0, t)
    )
    return tf.where(is_small, small, large)


def log_partition(alpha: tf.Tensor) -> tf.Tensor:
    """`log Z(a)`, `Z = integral exp(-rho(x)) dx` over all x at scale 1.

    By quadrature in float64, to some 1e-12; differentiable. It exists for `a >= 0`;
    here a is to be in [0, 2].

    Args:
        alpha: tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.
    """
    nodes = tf.constant(_NODES)
    wide = tf.cast(alpha, tf.float64)[..., tf.newaxis]
    energy = robust_energy(tf.exp(nodes), wide)
    logarithm = tf.reduce_logsumexp(nodes - energy, axis=-1) + math.log(2.0 * _STEP)
    return tf.cast(logarithm, alpha.dtype)


def expm1_quotient(t):
    """`expm1(t) / t` for t within `SERIES_REACH`."""
    epsilon = float(np.finfo(t.dtype.as_numpy_dtype).eps)
    terms = [c for k, c in enumerate(_SERIES) if c * SERIES_REACH**k > epsilon / 8]
    value = tf.zeros_like(t)
    for coefficient in reversed(terms):
        value = value * t + tf.constant(coefficient, t.dtype)
    return value


def _energy_at(x, alpha):
    """`robust_energy` where alpha is a number: in fewer passes."""
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


def _where(condition, chosen, otherwise):
    dtype = next(v.dtype for v in (chosen, otherwise) if tf.is_tensor(v))
    return tf.where(condition, tf.cast(chosen, dtype), tf.cast(otherwise, dtype))
