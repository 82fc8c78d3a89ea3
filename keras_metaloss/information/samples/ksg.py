"""KSG estimator of mutual information (Kraskov, Stoegbauer and Grassberger)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_metaloss._utils.checks import check_choice
from keras_metaloss.information.samples._joint_neighbors import (
    joint_neighbor_information,
)
from keras_metaloss.information.samples._validation import (
    PREPROCESS,
    as_pair,
    as_points,
    check_neighbors,
    nan_unless_finite,
)

__all__ = ["mutual_information_ksg"]


def mutual_information_ksg(
    x: Any,
    y: Any,
    n_neighbors: int = 3,
    variant: int = 1,
    preprocess: str | None = "standardize",
    validate_args: bool = False,
    name: str | None = None,
) -> tf.Tensor:
    """Computes the nearest-neighbor (KSG) estimate of mutual information, in nats.

    `I = psi(k) + psi(N) - mean_i[psi(n_x(i) + 1) + psi(n_y(i) + 1)]`, where `n_x(i)`
    counts the samples that are closer in `x` than the k-th neighbor in the joint space.
    Distances are maxima over coordinates. `variant=2` uses the sides of the rectangle
    around the `k` neighbors: it has less bias for variables of different scales.

    Rounded, integer and repeated values are supported. Seeded noise of 1e-10 of the
    spread of each column breaks ties between distances. It depends neither on the unit
    nor on the order of the samples, and changes the estimate for samples without ties
    by less than 1e-5. Samples with at least `k` duplicates contribute the mean over
    this noise: `n_x(i)`, `n_y(i)` and `k` are replaced by numbers of equal samples.
    Duplicated rows are therefore treated as repeated values of a discrete variable,
    which contain more information than the same rows without duplicates. For integer
    labels of two discrete variables, `mutual_information_plug_in` is more efficient.

    Bias and variance are low for a few dimensions and moderate mutual information. If
    the mutual information is large, the estimate is far too low: for `x = y`, where the
    true value is infinite, it is at most `psi(N) - psi(k)`. The estimate is not
    clipped, so it can be negative. It is not differentiable, because counts are
    piecewise constant. Memory is O(N) and time is O(N^2). In eager mode with SciPy
    installed, k-d trees find the neighbors for up to ten dimensions in total, and time
    is about O(N log N), also for repeated values.

    Args:
        x: Samples of shape `[N]` or `[N, Dx]`, with a floating-point dtype.
        y: Samples paired with `x`, of shape `[N]` or `[N, Dy]`, with a floating-point
            dtype.
        n_neighbors: Number of neighbors `k`. A larger value reduces the variance and
            increases the bias. Defaults to `3`.
        variant: 1 or 2, as numbered in the paper. Defaults to `1`.
        preprocess: `"standardize"` (scales each column to standard deviation 1, so that
            the estimate does not depend on units), `"rank"` (replaces each column by
            its normal scores, for heavy-tailed data) or `None` (distances depend on the
            scales of the columns). Defaults to `"standardize"`.
        validate_args: Whether to assert in graph mode that the data are finite. Eager
            mode always checks this. Without the assertion, graph mode returns NaN.
            Defaults to `False`.
        name: Name of the operation. Defaults to `None`, which uses the function name.

    Returns:
        Scalar tensor: float64 if `x` or `y` is float64, otherwise float32. 0 if `x` or
        `y` is constant. Not differentiable.

    Raises:
        TypeError: If `x` or `y` does not have a floating-point dtype.
        ValueError: If a shape or an argument is invalid, if the data are not finite, or
            if `n_neighbors` is not less than `N`.

    Example:

    >>> import numpy as np, keras_metaloss as kml
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=1000)
    >>> y = 0.6 * x + 0.8 * rng.normal(size=1000)       # truth: -log(1 - 0.36) / 2
    >>> round(float(kml.information.mutual_information_ksg(x, y)), 1)
    0.2
    >>> x, y = x.round(1), y.round(1)
    >>> round(float(kml.information.mutual_information_ksg(x, y)), 1)
    0.2

    Reference:
        Kraskov, Stoegbauer and Grassberger, "Estimating mutual information", Physical
        Review E 69 (2004), equations 8 and 9.
    """
    check_choice("variant", variant, (1, 2))
    check_choice("preprocess", preprocess, PREPROCESS)
    with tf.name_scope(name or "mutual_information_ksg"):
        x, y = as_pair(x, y, None, validate_args)
        k, x = check_neighbors(n_neighbors, x)
        dtype = x.dtype
        x, y = as_points(x, preprocess), as_points(y, preprocess)
        size_term = tf.math.digamma(tf.cast(tf.shape(x)[0], x.dtype))
        value = joint_neighbor_information(x, y, k, size_term, variant)
        return tf.cast(nan_unless_finite(value, x, y), dtype)
