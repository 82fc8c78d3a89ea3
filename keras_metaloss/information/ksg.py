"""Mutual information of continuous samples: Kraskov, Stoegbauer and Grassberger."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_metaloss.checks import check_choice
from keras_metaloss.information._neighbors import as_points, count_within, nearest
from keras_metaloss.information._samples import (
    as_pair,
    check_neighbors,
    nan_unless_finite,
)
from keras_metaloss.information._ties import guard_ties

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
    """Mutual information of continuous samples by nearest neighbours (KSG), in nats.

    `I = psi(k) + psi(N) - mean_i[psi(n_x(i) + 1) + psi(n_y(i) + 1)]`, where `n_x(i)`
    counts the samples closer in x than the k-th neighbour in the joint space, all
    distances being maxima over coordinates. `variant=2` uses the sides of the rectangle
    around the k neighbours: less bias with unequal scales, and of no use with ties.

    Bias and variance: low for a few dimensions and moderate information; far too low
    when I is large (`x = y`, whose truth is infinite, gives `psi(N) - psi(k)`). The
    estimate is not clipped: below zero it means zero. It is not differentiable, for
    counts are piecewise constant. Memory is O(N) and time O(N^2); run eagerly with
    SciPy installed, neighbours come from a tree, up to ten dimensions together.

    Args:
        x: samples, `[N]` or `[N, Dx]`, of a float dtype.
        y: samples paired with those of `x`, `[N]` or `[N, Dy]`.
        n_neighbors: k; larger means less variance and more bias.
        variant: 1 or 2, as numbered in the paper.
        preprocess: `None`, `"standardize"` (columns to deviation 1) or `"rank"`
            (columns to their normal scores; helps with heavy tails).
        validate_args: whether to assert finite data without ties in a graph; run
            eagerly this is checked always. Without, a graph gives NaN.
        name: name of the operation.

    Returns:
        Scalar of the dtype of `x`.

    Raises:
        TypeError: if the data are not of a float dtype.
        ValueError: if shapes do not fit, data are not finite, `n_neighbors` is not
            below N, or data are tied: every sample has k duplicates or, for variant 2,
            some sample equals its neighbours in x or y. Some tied samples in variant 1
            give a warning.

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
        # Counts here include the sample itself.
        if variant == 1:
            radius = distance[:, -1]
            tied = radius <= 0
            n_x, n_y = count_within(x, radius), count_within(y, radius)
            shift = tf.zeros([], x.dtype)
        else:
            radius_x, radius_y = _side(x, index), _side(y, index)
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


def _side(points, index):
    """How far the farthest of the k neighbours is in this variable, `[N]`."""
    gap = tf.abs(tf.gather(points, index) - points[:, tf.newaxis])
    return tf.reduce_max(gap, axis=[1, 2])
