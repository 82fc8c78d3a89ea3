"""KSG estimator of mutual information (Kraskov, Stoegbauer and Grassberger)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_metaloss._utils.checks import check_choice
from keras_metaloss.information.samples._neighbors import (
    as_points,
    count_within,
    nearest,
)
from keras_metaloss.information.samples._ties import guard_ties
from keras_metaloss.information.samples._validation import (
    as_pair,
    check_neighbors,
    nan_unless_finite,
)

__all__ = ["mutual_information_ksg"]


def mutual_information_ksg(
    x: Any,
    y: Any,
    n_neighbors: int = 3,
    variant: int = 1,
    preprocess: str | None = None,
    validate_args: bool = False,
    name: str | None = None,
) -> tf.Tensor:
    """Computes the nearest-neighbor (KSG) estimate of mutual information, in nats.

    `I = psi(k) + psi(N) - mean_i[psi(n_x(i) + 1) + psi(n_y(i) + 1)]`, where `n_x(i)`
    counts the samples that are closer in `x` than the k-th neighbor in the joint space.
    Distances are maxima over coordinates. `variant=2` uses the sides of the rectangle
    around the `k` neighbors: it has less bias for variables of different scales, and
    does not support ties. If only some samples are tied, variant 1 emits a
    `UserWarning`.

    Bias and variance are low for a few dimensions and moderate mutual information. If
    the mutual information is large, the estimate is far too low: for `x = y`, where the
    true value is infinite, it is `psi(N) - psi(k)`. The estimate is not clipped, so it
    can be negative. It is not differentiable, because counts are piecewise constant.
    Memory is O(N) and time is O(N^2). In eager mode with SciPy installed, a k-d tree
    finds the neighbors for up to ten dimensions in total.

    Args:
        x: Samples of shape `[N]` or `[N, Dx]`, with a floating-point dtype.
        y: Samples paired with `x`, of shape `[N]` or `[N, Dy]`, with a floating-point
            dtype.
        n_neighbors: Number of neighbors `k`. A larger value reduces the variance and
            increases the bias. Defaults to `3`.
        variant: 1 or 2, as numbered in the paper. Defaults to `1`.
        preprocess: `None`, `"standardize"` (scales each column to standard deviation 1)
            or `"rank"` (replaces each column by its normal scores, for heavy-tailed
            data). Defaults to `None`.
        validate_args: Whether to assert in graph mode that the data are finite and
            without ties. Eager mode always checks this. Without the assertion, graph
            mode returns NaN. Defaults to `False`.
        name: Name of the operation. Defaults to `None`, which uses the function name.

    Returns:
        Scalar tensor with the dtype of `x`. Not differentiable.

    Raises:
        TypeError: If `x` or `y` does not have a floating-point dtype.
        ValueError: If a shape is invalid, if the data are not finite, if `n_neighbors`
            is not less than `N`, or if the data are tied. Data are tied if every sample
            has at least `k` duplicates or, for variant 2, if any sample equals its
            neighbors in `x` or `y`.

    Example:

    >>> import numpy as np, keras_metaloss as kml
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=1000)
    >>> y = 0.6 * x + 0.8 * rng.normal(size=1000)       # truth: -log(1 - 0.36) / 2
    >>> round(float(kml.information.mutual_information_ksg(x, y)), 1)
    0.2

    Reference:
        Kraskov, Stoegbauer and Grassberger, "Estimating mutual information", Physical
        Review E 69 (2004), equations 8 and 9.
    """
    check_choice("variant", variant, (1, 2))
    with tf.name_scope(name or "mutual_information_ksg"):
        x, y = as_pair(x, y, preprocess, validate_args)
        k, x = check_neighbors(n_neighbors, x)
        dtype = x.dtype
        x, y = as_points(x), as_points(y)
        distance, index = nearest(tf.concat([x, y], axis=1), k)
        size = tf.cast(tf.shape(x)[0], x.dtype)
        # The counts include the sample itself.
        if variant == 1:
            radius = distance[:, -1]
            tied = radius <= 0
            n_x, n_y = count_within(x, radius), count_within(y, radius)
            shift = tf.zeros([], x.dtype)
        else:
            radius_x = _largest_distance(x, index)
            radius_y = _largest_distance(y, index)
            tied = (radius_x <= 0) | (radius_y <= 0)
            n_x = count_within(x, radius_x, closed=True) - 1
            n_y = count_within(y, radius_y, closed=True) - 1
            shift = tf.constant(-1 / k, x.dtype)
        value = tf.math.digamma(tf.constant(k, x.dtype)) + tf.math.digamma(size) + shift
        value -= tf.reduce_mean(
            tf.math.digamma(tf.maximum(n_x, 1)) + tf.math.digamma(tf.maximum(n_y, 1))
        )
        value = guard_ties(
            value,
            tied,
            "mutual_information_ksg",
            refuse_any=variant == 2,
            validate_args=validate_args,
        )
        return tf.cast(nan_unless_finite(value, x, y), dtype)


def _largest_distance(points: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Returns the largest distance in one variable among the `k` neighbors, `[N]`."""
    difference = tf.abs(tf.gather(points, index) - points[:, tf.newaxis])
    return tf.reduce_max(difference, axis=[1, 2])
