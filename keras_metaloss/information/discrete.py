"""Mutual information of labels, and of continuous samples in bins."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_metaloss.checks import check_positive_integer
from keras_metaloss.information._samples import (
    as_labels,
    as_pair,
    check_same_length,
    nan_unless,
    nan_unless_finite,
)

__all__ = [
    "mutual_information_histogram",
    "mutual_information_miller_madow",
    "mutual_information_plug_in",
]


def mutual_information_plug_in(a: Any, b: Any, name: str | None = None) -> tf.Tensor:
    """Mutual information of two lists of labels from their frequencies, in nats.

    `I = H(A) + H(B) - H(A, B)` of the empirical distributions. It is never negative and
    for independent labels about `(K_a - 1) (K_b - 1) / (2 N)` too high; see
    `mutual_information_miller_madow`.

    Args:
        a: integer labels, `[N]` or `[N, 1]`; any integers, their number unlimited.
        b: integer labels paired with `a`.
        name: name of the operation.

    Returns:
        Scalar, float32.

    Raises:
        TypeError: if labels are not integers or booleans.
        ValueError: if shapes do not fit.

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
    """Mutual information of two lists of labels, bias corrected, in nats.

    `I = I_plug_in + (K_a + K_b - K_ab - 1) / (2 N)`, each K the number of different
    labels seen: the entropies of `entropy_miller_madow` put together. Can be negative.

    Args:
        a: integer labels, `[N]` or `[N, 1]`.
        b: integer labels paired with `a`.
        name: name of the operation.

    Returns:
        Scalar, float32.

    Raises:
        TypeError: if labels are not integers or booleans.
        ValueError: if shapes do not fit.

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
    """Mutual information of continuous samples put into bins, in nats.

    The plug-in estimate of bin numbers, each column cut into `num_bins` bins of equal
    width over its range; with `preprocess="rank"` the cuts follow normal quantiles.
    Coarse bins lose information, fine bins in relation to N invent it.

    Args:
        x: samples, `[N]` or `[N, Dx]`, of a float dtype.
        y: samples paired with those of `x`, `[N]` or `[N, Dy]`.
        num_bins: bins of each column.
        preprocess: `None`, `"standardize"` (no effect here) or `"rank"`.
        validate_args: whether to assert finite data in a graph; run eagerly this is
            checked always.
        name: name of the operation.

    Returns:
        Scalar of the dtype of `x`. Not differentiable.

    Raises:
        TypeError: if the data are not of a float dtype.
        ValueError: if shapes or arguments do not fit, or data are not finite.

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


def _label_pair(a, b):
    """Numbered labels, and whether they are as many, which a graph may find out."""
    a, b = as_labels("a", a), as_labels("b", b)
    check_same_length(a=a, b=b)
    is_pair = (tf.size(a) == tf.size(b)) & (tf.size(a) > 1)
    return _numbered(a), _numbered(b), is_pair


def _cells(x, num_bins):
    """Numbers of the cells of a grid that samples fall into, `[N]`."""
    low, high = tf.reduce_min(x, axis=0), tf.reduce_max(x, axis=0)
    position = tf.math.divide_no_nan(x - low, high - low) * num_bins
    bins = tf.cast(tf.clip_by_value(tf.floor(position), 0, num_bins - 1), tf.int64)
    cell = _numbered(bins[:, 0])
    for column in tf.unstack(bins, axis=1)[1:]:
        cell = _numbered(_combined(cell, _numbered(column)))
    return cell


def _numbered(labels):
    """Labels replaced by their position among the different labels, from 0 on."""
    order = tf.argsort(labels, stable=True)
    ordered = tf.gather(labels, order)
    new = tf.cast(ordered[1:] != ordered[:-1], tf.int64)
    number = tf.concat([tf.zeros([1], tf.int64), tf.cumsum(new)], axis=0)
    index = order[:, tf.newaxis]
    return tf.scatter_nd(index, number, tf.shape(labels))


def _combined(a, b):
    """One label for each pair of numbered labels."""
    return a * tf.cast(tf.size(a), tf.int64) + b


def _information(a, b):
    """Plug-in information of numbered labels, and `K_a + K_b - K_ab`, float64."""
    joint = _numbered(_combined(a, b))
    (h_a, k_a), (h_b, k_b), (h_ab, k_ab) = (_entropy(v) for v in (a, b, joint))
    return tf.maximum(h_a + h_b - h_ab, 0), k_a + k_b - k_ab


def _entropy(labels):
    size = tf.size(labels)
    counts = tf.math.unsorted_segment_sum(
        tf.ones_like(labels, tf.float64), labels, num_segments=size
    )
    p = counts / tf.cast(size, tf.float64)
    entropy = -tf.reduce_sum(tf.math.multiply_no_nan(tf.math.log(p), p))
    return entropy, tf.math.count_nonzero(counts, dtype=tf.float64)
