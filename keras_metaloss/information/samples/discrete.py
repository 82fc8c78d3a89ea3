"""Mutual information of integer labels and of binned continuous samples."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_metaloss._utils.checks import check_positive_integer
from keras_metaloss.information._core.nan_unless import nan_unless
from keras_metaloss.information._core.same_length import check_same_length
from keras_metaloss.information.samples._validation import (
    as_labels,
    as_pair,
    nan_unless_finite,
)

__all__ = [
    "mutual_information_histogram",
    "mutual_information_miller_madow",
    "mutual_information_plug_in",
]


def mutual_information_plug_in(a: Any, b: Any, name: str | None = None) -> tf.Tensor:
    """Computes the plug-in estimate of mutual information of labels, in nats.

    `I = H(A) + H(B) - H(A, B)` of the empirical distributions. The estimate is
    non-negative. For independent labels, it is biased upward by about
    `(K_a - 1) (K_b - 1) / (2 N)`, where `K_a` and `K_b` are the numbers of distinct
    labels. `mutual_information_miller_madow` corrects this bias.

    Args:
        a: Integer labels of shape `[N]` or `[N, 1]`. Any integers are allowed, and any
            number of distinct labels.
        b: Integer labels paired with `a`, of shape `[N]` or `[N, 1]`.
        name: Name of the operation. Defaults to `None`, which uses the function name.

    Returns:
        Scalar tensor, float32. Not differentiable.

    Raises:
        TypeError: If the labels are not integers or booleans.
        ValueError: If the shapes are invalid or the numbers of samples differ.

    Example:

    >>> import keras_metaloss as kml
    >>> a, b = [0, 0, 1, 1], [5, 5, 7, 7]
    >>> round(float(kml.information.mutual_information_plug_in(a, b)), 4)    # log 2
    0.6931

    Reference:
        Paninski, "Estimation of entropy and mutual information", Neural Computation 15
        (2003), section 3.
    """
    with tf.name_scope(name or "mutual_information_plug_in"):
        a, b, is_pair = _label_pair(a, b)
        return nan_unless(is_pair, tf.cast(_information(a, b)[0], tf.float32))


def mutual_information_miller_madow(
    a: Any, b: Any, name: str | None = None
) -> tf.Tensor:
    """Computes the Miller-Madow estimate of mutual information of labels, in nats.

    `I = I_plug_in + (K_a + K_b - K_ab - 1) / (2 N)`, where `K_a`, `K_b` and `K_ab` are
    the numbers of distinct labels and pairs of labels. This is the plug-in estimate
    with the bias of each entropy corrected as in `entropy_miller_madow`. The estimate
    can be negative.

    Args:
        a: Integer labels of shape `[N]` or `[N, 1]`.
        b: Integer labels paired with `a`, of shape `[N]` or `[N, 1]`.
        name: Name of the operation. Defaults to `None`, which uses the function name.

    Returns:
        Scalar tensor, float32. Not differentiable.

    Raises:
        TypeError: If the labels are not integers or booleans.
        ValueError: If the shapes are invalid or the numbers of samples differ.

    Example:

    >>> import keras_metaloss as kml
    >>> a, b = [0, 0, 1, 1], [5, 5, 7, 7]
    >>> round(float(kml.information.mutual_information_miller_madow(a, b)), 4)
    0.8181

    Reference:
        Miller, "Note on the bias of information estimates", 1955.
    """
    with tf.name_scope(name or "mutual_information_miller_madow"):
        a, b, is_pair = _label_pair(a, b)
        value, excess = _information(a, b)
        size = tf.cast(tf.shape(a)[0], value.dtype)
        value += (excess - 1) / (2 * size)
        return nan_unless(is_pair, tf.cast(value, tf.float32))


def mutual_information_histogram(
    x: Any,
    y: Any,
    num_bins: int = 10,
    preprocess: str | None = None,
    validate_args: bool = False,
    name: str | None = None,
) -> tf.Tensor:
    """Computes mutual information of continuous samples from a histogram, in nats.

    The range of each column is divided into `num_bins` bins of equal width, and the
    plug-in estimate is computed from the bin indices. With `preprocess="rank"`, the
    bins follow normal quantiles. Coarse bins lose information. Bins that are too fine
    for the number of samples bias the estimate upward.

    Args:
        x: Samples of shape `[N]` or `[N, Dx]`, with a floating-point dtype.
        y: Samples paired with `x`, of shape `[N]` or `[N, Dy]`, with a floating-point
            dtype.
        num_bins: Number of bins per column. Defaults to `10`.
        preprocess: `None`, `"standardize"` (no effect on this estimator) or `"rank"`
            (replaces each column by its normal scores). Defaults to `None`.
        validate_args: Whether to assert in graph mode that the data are finite. Eager
            mode always checks this. Defaults to `False`.
        name: Name of the operation. Defaults to `None`, which uses the function name.

    Returns:
        Scalar tensor: float64 if `x` or `y` is float64, otherwise float32. Not
        differentiable.

    Raises:
        TypeError: If `x` or `y` does not have a floating-point dtype.
        ValueError: If a shape or an argument is invalid, or if the data are not finite.

    Example:

    >>> import numpy as np, keras_metaloss as kml
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=10000)
    >>> y = 0.6 * x + 0.8 * rng.normal(size=10000)       # truth: 0.2231
    >>> round(float(kml.information.mutual_information_histogram(x, y)), 1)
    0.2

    Reference:
        Cover and Thomas, "Elements of information theory", section 8.3.
    """
    num_bins = check_positive_integer("num_bins", num_bins)
    with tf.name_scope(name or "mutual_information_histogram"):
        x, y = as_pair(x, y, preprocess, validate_args)
        value, _ = _information(_cells(x, num_bins), _cells(y, num_bins))
        return nan_unless_finite(tf.cast(value, x.dtype), x, y)


def _label_pair(a: Any, b: Any) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns consecutive labels, and whether both have the same number of samples."""
    a, b = as_labels("a", a), as_labels("b", b)
    check_same_length(a=a, b=b)
    is_pair = (tf.size(a) == tf.size(b)) & (tf.size(a) > 1)
    return _consecutive_labels(a), _consecutive_labels(b), is_pair


def _cells(x: tf.Tensor, num_bins: int) -> tf.Tensor:
    """Returns the indices of the grid cells that contain the samples, `[N]`."""
    low, high = tf.reduce_min(x, axis=0), tf.reduce_max(x, axis=0)
    position = tf.math.divide_no_nan(x - low, high - low) * num_bins
    bins = tf.cast(tf.clip_by_value(tf.floor(position), 0, num_bins - 1), tf.int64)
    cell = _consecutive_labels(bins[:, 0])
    for column in tf.unstack(bins, axis=1)[1:]:
        cell = _consecutive_labels(_joint_labels(cell, _consecutive_labels(column)))
    return cell


def _consecutive_labels(labels: tf.Tensor) -> tf.Tensor:
    """Maps labels to consecutive integers from 0, in the order of their values."""
    order = tf.argsort(labels, stable=True)
    ordered = tf.gather(labels, order)
    new = tf.cast(ordered[1:] != ordered[:-1], tf.int64)
    number = tf.concat([tf.zeros([1], tf.int64), tf.cumsum(new)], axis=0)
    index = order[:, tf.newaxis]
    return tf.scatter_nd(index, number, tf.shape(labels))


def _joint_labels(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Returns one label per pair of consecutive labels."""
    return a * tf.cast(tf.size(a), tf.int64) + b


def _information(a: tf.Tensor, b: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes the plug-in information and `K_a + K_b - K_ab`, as float64 scalars."""
    joint = _consecutive_labels(_joint_labels(a, b))
    (h_a, k_a), (h_b, k_b), (h_ab, k_ab) = (_entropy(v) for v in (a, b, joint))
    return tf.maximum(h_a + h_b - h_ab, 0), k_a + k_b - k_ab


def _entropy(labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes the plug-in entropy and the number of distinct labels."""
    size = tf.size(labels)
    counts = tf.math.unsorted_segment_sum(
        tf.ones_like(labels, tf.float64), labels, num_segments=size
    )
    p = counts / tf.cast(size, tf.float64)
    entropy = -tf.reduce_sum(tf.math.multiply_no_nan(tf.math.log(p), p))
    return entropy, tf.math.count_nonzero(counts, dtype=tf.float64)
