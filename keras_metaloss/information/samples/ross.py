"""Mutual information of integer labels and continuous samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from keras_metaloss._utils.checks import check_choice
from keras_metaloss.information._core.nan_unless import nan_unless
from keras_metaloss.information._core.same_length import check_same_length
from keras_metaloss.information.samples._neighbors import (
    count_within,
    nearest,
)
from keras_metaloss.information.samples._ties import (
    count_equal,
    separate,
    sorted_order,
)
from keras_metaloss.information.samples._validation import (
    PREPROCESS,
    as_labels,
    as_points,
    as_samples,
    check_neighbors,
    nan_unless_finite,
)

__all__ = ["mutual_information_ross"]


def mutual_information_ross(
    labels: Any,
    y: Any,
    n_neighbors: int = 3,
    preprocess: str | None = "standardize",
    validate_args: bool = False,
    name: str | None = None,
) -> tf.Tensor:
    """Computes mutual information of integer labels and a continuous variable, in nats.

    `I = psi(N) + mean_i[psi(k_i) - psi(N_i) - psi(m_i)]`, where `N_i` samples have the
    label of sample `i`, and `m_i` samples (including `i`) are closer to sample `i` than
    its k-th neighbor with the same label. Samples whose label occurs once are ignored.
    For labels that occur at most `k` times, `k_i` is reduced to the number of other
    samples with the label. The estimate equals scikit-learn's `mutual_info_classif` for
    samples without ties, but is not clipped at zero.

    Rounded, integer and repeated values are supported: as in scikit-learn, seeded noise
    of 1e-10 of the spread of each column breaks ties between distances. It depends
    neither on the unit nor on the order of the samples. Samples with at least `k_i`
    duplicates with the same label contribute the mean over this noise: `k_i` and `m_i`
    are replaced by numbers of equal samples.

    Memory is O(N) and time is O(N^2). In eager mode with SciPy installed, k-d trees
    find the neighbors for up to ten dimensions, and time is about O(N log N) for scalar
    `y`, also for repeated values.

    Args:
        labels: Integer labels of shape `[N]` or `[N, 1]`.
        y: Samples of shape `[N]` or `[N, D]`, with a floating-point dtype.
        n_neighbors: Number of neighbors `k`. Defaults to `3`.
        preprocess: Preprocessing of `y`: `"standardize"` (scales each column to
            standard deviation 1, so that the estimate does not depend on units),
            `"rank"` (replaces each column by its normal scores) or `None`. Defaults to
            `"standardize"`.
        validate_args: Whether to assert in graph mode that the data are finite. Eager
            mode always checks this. Without the assertion, graph mode returns NaN.
            Defaults to `False`.
        name: Name of the operation. Defaults to `None`, which uses the function name.

    Returns:
        Scalar tensor: float64 if `y` is float64, otherwise float32. 0 if `y` or
        `labels` is constant. Not differentiable.

    Raises:
        TypeError: If the labels are not integers or booleans, or if `y` does not have a
            floating-point dtype.
        ValueError: If a shape or an argument is invalid, if the data are not finite, if
            `n_neighbors` is not less than `N`, or if no label occurs more than once.

    Example:

    >>> import numpy as np, keras_metaloss as kml
    >>> labels = np.repeat([0, 1], 50)
    >>> y = labels * 100.0 + np.arange(100) ** 0.5
    >>> value = kml.information.mutual_information_ross(labels, y)
    >>> round(float(value), 2)                                              # log 2
    0.7

    Reference:
        Ross, "Mutual information between discrete and continuous data sets", PLoS ONE
        9 (2014), equation 2.
    """
    check_choice("preprocess", preprocess, PREPROCESS)
    with tf.name_scope(name or "mutual_information_ross"):
        labels = as_labels("labels", labels)
        y = as_samples("y", y, validate_args)
        check_same_length(labels=labels, y=y)
        if None in (labels.shape[0], y.shape[0]):
            y = nan_unless(tf.shape(labels)[0] == tf.shape(y)[0], y)
        k, y = check_neighbors(n_neighbors, y)
        dtype = y.dtype
        y = as_points(y, preprocess)
        same_label = _occurrences(labels, y.dtype)
        used = same_label > 1
        size = tf.math.count_nonzero(used, dtype=y.dtype)
        if tf.executing_eagerly() and size == 0:
            raise ValueError(
                "Invalid value for argument `labels`. Expected at least one label that "
                f"occurs more than once. Received: {labels.shape[0]} different labels"
            )
        # The last columns only order equal samples.
        columns = [*tf.unstack(y, axis=1), labels]
        order = sorted_order(columns)
        equal = count_equal(columns, order)
        points = separate(y, order)
        distance, _ = nearest(points, k, groups=labels)
        k_of_sample = tf.clip_by_value(same_label - 1, 1, k)
        radius = tf.gather(distance, tf.cast(k_of_sample, tf.int32) - 1, batch_dims=1)
        # Samples that are not used are moved to infinity, beyond every radius.
        infinity = tf.constant(np.inf, y.dtype)
        closer = count_within(tf.where(used[:, tf.newaxis], points, infinity), radius)
        tied = equal > k_of_sample
        closer = tf.where(tied, _count_equal_used(y, used), tf.maximum(closer, 1))
        terms = (
            tf.math.digamma(tf.where(tied, equal, k_of_sample))
            - tf.math.digamma(same_label)
            - tf.math.digamma(closer)
        )
        total = tf.reduce_sum(tf.where(used, terms, tf.zeros_like(terms)))
        value = tf.math.digamma(size) + total / size
        first = tf.gather(y, tf.argmax(used))
        constant = tf.reduce_all(~used | tf.reduce_all(y == first, axis=1))
        value = tf.where(constant & (size > 0), tf.zeros_like(value), value)
        return tf.cast(nan_unless_finite(value, y), dtype)


def _count_equal_used(y: tf.Tensor, used: tf.Tensor) -> tf.Tensor:
    """Counts the used samples that equal each used sample, `[N]`."""
    columns = [*tf.unstack(y, axis=1), tf.cast(used, tf.int32)]
    return count_equal(columns, sorted_order(columns))


def _occurrences(labels: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Counts how often the label of each sample occurs, `[N]`."""
    ordered = tf.sort(labels)
    through = tf.searchsorted(ordered, labels, side="right")
    return tf.cast(through - tf.searchsorted(ordered, labels, side="left"), dtype)
