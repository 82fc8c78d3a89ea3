"""Entropy and mutual information from Gaussian kernel densities."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np
import tensorflow as tf

from keras_metaloss.information.samples._validation import (
    as_pair,
    as_samples,
    scale_by_range,
)

__all__ = ["entropy_kde", "mutual_information_kde"]

_BLOCK = 256


def entropy_kde(
    x: Any,
    bandwidth: str | float = "scott",
    leave_one_out: bool = True,
    validate_args: bool = False,
    name: str | None = None,
) -> tf.Tensor:
    """Computes the differential entropy of a Gaussian kernel density, in nats.

    `H = -mean_i log p(x_i)` with `p(x) = mean_j prod_d N(x_d; x_jd, h_d^2)`. The
    estimate is differentiable, including the bandwidth. Constant columns give `-inf`.

    Args:
        x: Samples of shape `[N]` or `[N, D]`, with a floating-point dtype.
        bandwidth: `"scott"` uses `h_d = s_d N^(-1 / (D + 4))`, where `s_d` is the
            standard deviation of column `d`. `"silverman"` multiplies this by
            `(4 / (D + 2))^(1 / (D + 4))`. A positive number is the bandwidth of all
            columns. Defaults to `"scott"`.
        leave_one_out: Whether to exclude the kernel of a sample from the density at
            that sample. If `False`, the entropy is biased downward. Defaults to
            `True`.
        validate_args: Whether to assert in graph mode that the data are finite. Eager
            mode always checks this. Defaults to `False`.
        name: Name of the operation. Defaults to `None`, which uses the function name.

    Returns:
        Scalar tensor: float64 if `x` is float64, otherwise float32.

    Raises:
        TypeError: If `x` does not have a floating-point dtype.
        ValueError: If a shape or an argument is invalid, or if the data are not finite.

    Example:

    >>> import numpy as np, keras_metaloss as kml
    >>> x = np.random.default_rng(0).normal(size=1000)     # truth: 1.4189
    >>> round(float(kml.information.entropy_kde(x)), 1)
    1.4

    Reference:
        Ahmad and Lin, "A nonparametric estimation of the entropy for absolutely
        continuous distributions", IEEE Transactions on Information Theory 22 (1976).
    """
    _check_bandwidth(bandwidth)
    with tf.name_scope(name or "entropy_kde"):
        x = as_samples("x", x, validate_args)
        x, scale = scale_by_range(x)
        h = _bandwidths(x, scale, bandwidth, x.shape[1])
        log_density = _log_densities([x / _replace_zeros(h)], leave_one_out)[0]
        log_h = tf.reduce_sum(tf.math.log(h) + tf.math.log(scale))
        return log_h - tf.reduce_mean(log_density)


def mutual_information_kde(
    x: Any,
    y: Any,
    bandwidth: str | float = "scott",
    leave_one_out: bool = True,
    preprocess: str | None = None,
    validate_args: bool = False,
    name: str | None = None,
) -> tf.Tensor:
    """Computes mutual information from a Gaussian kernel density, in nats.

    `I = mean_i log[p(x_i, y_i) / (p(x_i) p(y_i))]`. The marginals are those of the
    joint kernel density, so all three densities use the bandwidths of the joint
    density. The estimate is differentiable. For correlated variables, it is biased
    downward, because the kernels smooth the joint density.

    Args:
        x: Samples of shape `[N]` or `[N, Dx]`, with a floating-point dtype.
        y: Samples paired with `x`, of shape `[N]` or `[N, Dy]`, with a floating-point
            dtype.
        bandwidth: Bandwidth of the joint density, where `D = Dx + Dy`. `"scott"` uses
            `h_d = s_d N^(-1 / (D + 4))`, where `s_d` is the standard deviation of
            column `d`. `"silverman"` multiplies this by `(4 / (D + 2))^(1 / (D + 4))`.
            A positive number is the bandwidth of all columns. Defaults to `"scott"`.
        leave_one_out: Whether to exclude the kernel of a sample from the densities at
            that sample. Defaults to `True`.
        preprocess: `None`, `"standardize"` (standardizes each column) or `"rank"`
            (replaces each column by its normal scores). Defaults to `None`.
        validate_args: Whether to assert in graph mode that the data are finite. Eager
            mode always checks this. Defaults to `False`.
        name: Name of the operation. Defaults to `None`, which uses the function name.

    Returns:
        Scalar tensor: float64 if `x` or `y` is float64, otherwise float32. 0 if `x` or
        `y` is constant.

    Raises:
        TypeError: If `x` or `y` does not have a floating-point dtype.
        ValueError: If a shape or an argument is invalid, or if the data are not finite.

    Example:

    >>> import numpy as np, keras_metaloss as kml
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=1000)
    >>> y = 0.6 * x + 0.8 * rng.normal(size=1000)       # truth: 0.2231
    >>> round(float(kml.information.mutual_information_kde(x, y)), 1)
    0.2

    Reference:
        Moon, Rajagopalan and Lall, "Estimation of mutual information using kernel
        density estimators", Physical Review E 52 (1995).
    """
    _check_bandwidth(bandwidth)
    with tf.name_scope(name or "mutual_information_kde"):
        x, y = as_pair(x, y, preprocess, validate_args)
        dimensions = x.shape[1] + y.shape[1]
        x, y = (
            z / _replace_zeros(_bandwidths(z, scale, bandwidth, dimensions))
            for z, scale in map(scale_by_range, (x, y))
        )
        log_x, log_y, log_xy = _log_densities([x, y], leave_one_out)
        return tf.reduce_mean(log_xy - log_x - log_y)


def _check_bandwidth(bandwidth: Any) -> None:
    if isinstance(bandwidth, str):
        valid = bandwidth in ("scott", "silverman")
    else:
        valid = (
            isinstance(bandwidth, numbers.Real)
            and not isinstance(bandwidth, bool)
            and 0 < float(bandwidth) < math.inf
        )
    if not valid:
        raise ValueError(
            "Invalid value for argument `bandwidth`. Expected 'scott', 'silverman' or "
            f"a finite positive number. Received: bandwidth={bandwidth!r}"
        )


def _bandwidths(
    x: tf.Tensor, scale: tf.Tensor, bandwidth: str | float, dimensions: int
) -> tf.Tensor:
    """Returns bandwidths `[D]` of a density of `dimensions` in units of the columns."""
    if not isinstance(bandwidth, str):
        return tf.constant(bandwidth, x.dtype) / scale
    size = tf.cast(tf.shape(x)[0], x.dtype)
    factor = size ** (-1 / (dimensions + 4))
    if bandwidth == "silverman":
        factor *= (4 / (dimensions + 2)) ** (1 / (dimensions + 4))
    # Sample standard deviation (denominator N - 1), with a finite gradient at zero.
    variance = tf.math.reduce_variance(x, axis=0) * size / (size - 1)
    positive = variance > 0
    deviation = tf.sqrt(tf.where(positive, variance, tf.ones_like(variance)))
    return factor * tf.where(positive, deviation, tf.zeros_like(deviation))


def _replace_zeros(h: tf.Tensor) -> tf.Tensor:
    """Replaces bandwidths of zero by one, to divide constant columns by them."""
    return tf.where(h > 0, h, tf.ones_like(h))


def _log_densities(spaces: list[tf.Tensor], leave_one_out: bool) -> list[tf.Tensor]:
    """Computes log kernel densities `[N]` at the samples themselves, with bandwidth 1.

    Returns one density per space and, for several spaces, also the joint density.
    Memory is O(block x N), multiplied by the number of blocks if a gradient is
    computed.
    """
    size = tf.shape(spaces[0])[0]
    columns = tf.range(size)
    dtype = spaces[0].dtype
    dimensions = [space.shape[1] for space in spaces]

    def block(rows: tf.Tensor) -> list[tf.Tensor]:
        squares = []
        for space in spaces:
            total = tf.zeros([], dtype)
            block_points = tf.gather(space, rows)
            for a, b in zip(
                tf.unstack(block_points, axis=1), tf.unstack(space, axis=1), strict=True
            ):
                total += tf.square(a[:, tf.newaxis] - b)
            squares.append(total)
        if len(squares) > 1:
            squares.append(tf.add_n(squares))
        if leave_one_out:
            is_self = rows[:, tf.newaxis] == columns
            infinity = tf.constant(np.inf, dtype)
            squares = [tf.where(is_self, infinity, square) for square in squares]
        return [tf.reduce_logsumexp(-square / 2, axis=-1) for square in squares]

    number = len(spaces) + (len(spaces) > 1)
    blocks = (size + _BLOCK - 1) // _BLOCK
    rows = tf.reshape(tf.minimum(tf.range(blocks * _BLOCK), size - 1), [-1, _BLOCK])
    sums = tf.map_fn(
        block, rows, fn_output_signature=[dtype] * number, parallel_iterations=1
    )
    log_count = tf.math.log(tf.cast(size - int(leave_one_out), dtype))
    dimensions = [*dimensions, sum(dimensions)][:number]
    return [
        tf.reshape(value, [-1])[:size] - log_count - d / 2 * math.log(2 * math.pi)
        for value, d in zip(sums, dimensions, strict=True)
    ]
