"""Mutual information of a Gaussian fitted to the samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from keras_metaloss.information.samples._validation import as_pair, scale_by_range

__all__ = [
    "gaussian_information",
    "mutual_information_gaussian",
    "mutual_information_gaussian_copula",
]


def mutual_information_gaussian(
    x: Any,
    y: Any,
    preprocess: str | None = None,
    validate_args: bool = False,
    name: str | None = None,
) -> tf.Tensor:
    """Computes mutual information of a Gaussian fitted to the samples, in nats.

    `I = -1/2 sum_c log(1 - r_c^2)` over the canonical correlations `r_c`. In one
    dimension, this is `-log(1 - r^2) / 2`. The estimate is consistent for jointly
    Gaussian variables, and ignores any dependence that is not linear. Linear relations
    give infinity.

    Args:
        x: Samples of shape `[N]` or `[N, Dx]`, with a floating-point dtype.
        y: Samples paired with `x`, of shape `[N]` or `[N, Dy]`, with a floating-point
            dtype.
        preprocess: `None`, `"standardize"` (no effect on this estimator) or `"rank"`
            (replaces each column by its normal scores, which gives
            `mutual_information_gaussian_copula`). Defaults to `None`.
        validate_args: Whether to assert in graph mode that the data are finite. Eager
            mode always checks this. Defaults to `False`.
        name: Name of the operation. Defaults to `None`, which uses the function name.

    Returns:
        Scalar tensor: float64 if `x` or `y` is float64, otherwise float32.
        Differentiable. 0, with a finite gradient, if `x` or `y` is constant.

    Raises:
        TypeError: If `x` or `y` does not have a floating-point dtype.
        ValueError: If a shape is invalid, if the data are not finite or, in eager mode,
            if the columns of `x` or of `y` are linearly dependent or not fewer than the
            samples.

    Example:

    >>> import keras_metaloss as kml
    >>> x, y = [1.0, 2.0, 3.0, 4.0], [2.0, 1.0, 4.0, 3.0]       # correlation 0.6
    >>> round(float(kml.information.mutual_information_gaussian(x, y)), 4)
    0.2231

    Reference:
        Gelfand and Yaglom, "Calculation of the amount of information about a random
        function contained in another such function", 1957.
    """
    with tf.name_scope(name or "mutual_information_gaussian"):
        x, y = as_pair(x, y, preprocess, validate_args)
        dtype = x.dtype
        x, y = tf.cast(x, tf.float64), tf.cast(y, tf.float64)
        # Constant columns become exactly zero, in spite of rounding in their mean.
        both, _ = scale_by_range(tf.concat([x, y], axis=1))
        both -= tf.reduce_mean(both, axis=0)
        size = tf.cast(tf.shape(both)[0], both.dtype)
        covariance = tf.matmul(both, both, transpose_a=True) / size
        return tf.cast(gaussian_information(covariance, x.shape[1]), dtype)


def mutual_information_gaussian_copula(
    x: Any, y: Any, validate_args: bool = False, name: str | None = None
) -> tf.Tensor:
    """Computes mutual information of a Gaussian copula, in nats.

    This is `mutual_information_gaussian` of normal scores: each column is first
    replaced by the normal quantiles of its ranks, so monotonic transformations of a
    column do not change the value. In the limit of many samples, it is a lower bound on
    mutual information if the copulas of `x` and of `y` are Gaussian.

    Args:
        x: Samples of shape `[N]` or `[N, Dx]`, with a floating-point dtype.
        y: Samples paired with `x`, of shape `[N]` or `[N, Dy]`, with a floating-point
            dtype.
        validate_args: Whether to assert in graph mode that the data are finite. Eager
            mode always checks this. Defaults to `False`.
        name: Name of the operation. Defaults to `None`, which uses the function name.

    Returns:
        Scalar tensor: float64 if `x` or `y` is float64, otherwise float32. Not
        differentiable, because ranks are piecewise constant.

    Raises:
        TypeError: If `x` or `y` does not have a floating-point dtype.
        ValueError: If a shape is invalid, if the data are not finite or, in eager mode,
            if the columns of `x` or of `y` are linearly dependent or not fewer than the
            samples.

    Example:

    >>> import numpy as np, keras_metaloss as kml
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=10000)
    >>> y = 0.6 * x + 0.8 * rng.normal(size=10000)       # truth: 0.2231
    >>> value = kml.information.mutual_information_gaussian_copula(np.exp(x), y**3)
    >>> round(float(value), 1)
    0.2

    Reference:
        Ince et al., "A statistical framework for neuroimaging data analysis based on
        mutual information estimated via a Gaussian copula", Human Brain Mapping 38
        (2017).
    """
    return mutual_information_gaussian(
        x,
        y,
        preprocess="rank",
        validate_args=validate_args,
        name=name or "mutual_information_gaussian_copula",
    )


def gaussian_information(covariance: tf.Tensor, split: int) -> tf.Tensor:
    """Computes mutual information between the first `split` variables and the others.

    Args:
        covariance: Covariance matrix of shape `[D, D]`. Variables of zero variance are
            treated as independent.
        split: Number of variables of the first group.

    Returns:
        Scalar tensor.
    """
    variance = tf.linalg.diag_part(covariance)
    positive = variance > 0
    safe = tf.where(positive, variance, tf.ones_like(variance))
    scale = tf.math.rsqrt(safe)
    r = covariance * scale[:, tf.newaxis] * scale
    r = tf.linalg.set_diag(r, tf.ones_like(variance))
    r_x, r_y, r_xy = r[:split, :split], r[split:, split:], r[:split, split:]
    if tf.executing_eagerly():
        _check_independent_columns("x", r_x)
        _check_independent_columns("y", r_y)
    # The canonical correlations are the singular values of L_x^-1 R_xy L_y^-T.
    left = tf.linalg.triangular_solve(tf.linalg.cholesky(r_x), r_xy)
    c = tf.linalg.triangular_solve(tf.linalg.cholesky(r_y), tf.transpose(left))
    if c.shape[0] < c.shape[1]:
        c = tf.transpose(c)
    square = tf.matmul(c, c, transpose_a=True)
    if square.shape[0] == 1:
        rest = 1 - square[0]
    else:
        rest = tf.linalg.eigvalsh(tf.eye(square.shape[0], dtype=r.dtype) - square)
    return 0.0 - tf.reduce_sum(tf.math.log(tf.maximum(rest, 0))) / 2


def _check_independent_columns(name: str, correlation: tf.Tensor) -> None:
    smallest = float(tf.reduce_min(tf.linalg.eigvalsh(correlation)))
    if smallest < 1e3 * correlation.shape[0] * np.finfo("float64").eps:
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected linearly independent "
            "columns, and fewer columns than samples. Received: a correlation matrix "
            f"with smallest eigenvalue {smallest:.3g}"
        )
