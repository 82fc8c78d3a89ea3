"""Mutual information of integer labels and continuous samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from keras_metaloss._utils.checks import check_choice
from keras_metaloss.information._core.nan_unless import nan_unless
from keras_metaloss.information._core.same_length import check_same_length
from keras_metaloss.information.samples._neighbors import (
    as_points,
    count_within,
    nearest,
)
from keras_metaloss.information.samples._ties import TINY, guard_ties
from keras_metaloss.information.samples._validation import (
    PREPROCESS,
    as_labels,
    as_samples,
    check_neighbors,
    nan_unless_finite,
    preprocess_columns,
)

__all__ = ["mutual_information_ross"]


def mutual_information_ross(
    labels: Any,
    y: Any,
    n_neighbors: int = 3,
    preprocess: str | None = None,
    validate_args: bool = False,
    name: str | None = None,
) -> tf.Tensor:
    """Computes mutual information of integer labels and a continuous variable, in nats.

    `I = psi(N) + mean_i[psi(k_i) - psi(N_i) - psi(m_i)]`, where `N_i` samples have the
    label of sample `i`, and `m_i` samples (including `i`) are closer to sample `i` than
    its k-th neighbor with the same label. Samples whose label occurs once are ignored.
    For labels that occur at most `k` times, `k_i` is reduced to the number of other
    samples with the label. The estimate equals scikit-learn's `mutual_info_classif` for
    the same data, but is not clipped at zero. If only some samples are tied, it emits a
    `UserWarning`.

    Args:
        labels: Integer labels of shape `[N]` or `[N, 1]`.
        y: Samples of shape `[N]` or `[N, D]`, with a floating-point dtype.
        n_neighbors: Number of neighbors `k`. Defaults to `3`.
        preprocess: Preprocessing of `y`: `None`, `"standardize"` (standardizes each
            column) or `"rank"` (replaces each column by its normal scores). Defaults to
            `None`.
        validate_args: Whether to assert in graph mode that the data are finite and
            without ties. Eager mode always checks this. Without the assertion, graph
            mode returns NaN. Defaults to `False`.
        name: Name of the operation. Defaults to `None`, which uses the function name.

    Returns:
        Scalar tensor with the dtype of `y`; 0 if `y` or `labels` is constant. Not
        differentiable.

    Raises:
        TypeError: If the labels are not integers or booleans, or if `y` does not have a
            floating-point dtype.
        ValueError: If a shape is invalid, if the data are not finite, if `n_neighbors`
            is not less than `N`, if no label occurs more than once, or if every sample
            has at least `k` duplicates with the same label. For such data, use
            `mutual_information_mixed_ksg`.

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
        y = as_points(preprocess_columns(y, preprocess))
        same_label = _occurrences(labels, y.dtype)
        used = same_label > 1
        size = tf.math.count_nonzero(used, dtype=y.dtype)
        if tf.executing_eagerly() and size == 0:
            raise ValueError(
                "Invalid value for argument `labels`. Expected at least one label that "
                f"occurs more than once. Received: {labels.shape[0]} different labels"
            )
        distance, _ = nearest(y, k, groups=labels)
        k_of_sample = tf.clip_by_value(same_label - 1, 1, k)
        radius = tf.gather(distance, tf.cast(k_of_sample, tf.int32) - 1, batch_dims=1)
        tied = used & (radius <= 0)
        radius = tf.maximum(radius, tf.constant(TINY, y.dtype))
        # Samples that are not used are moved to infinity, beyond every radius.
        kept = tf.where(used[:, tf.newaxis], y, tf.constant(np.inf, y.dtype))
        closer = tf.maximum(count_within(kept, radius), 1)
        terms = (
            tf.math.digamma(k_of_sample)
            - tf.math.digamma(same_label)
            - tf.math.digamma(closer)
        )
        total = tf.reduce_sum(tf.where(used, terms, tf.zeros_like(terms)))
        value = tf.math.digamma(size) + total / size
        first = tf.gather(y, tf.argmax(used))
        constant = tf.reduce_all(~used | tf.reduce_all(y == first, axis=1))
        value = tf.where(constant & (size > 0), tf.zeros_like(value), value)
        value = guard_ties(
            value,
            tied & ~constant,
            "mutual_information_ross",
            validate_args=validate_args,
        )
        return tf.cast(nan_unless_finite(value, y), dtype)


def _occurrences(labels: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Counts how often the label of each sample occurs, `[N]`."""
    ordered = tf.sort(labels)
    through = tf.searchsorted(ordered, labels, side="right")
    return tf.cast(through - tf.searchsorted(ordered, labels, side="left"), dtype)
