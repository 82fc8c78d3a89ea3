"""Mutual information of mixtures of discrete and continuous samples."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_metaloss.information._neighbors import as_points, count_within, nearest
from keras_metaloss.information._samples import (
    as_pair,
    check_neighbors,
    nan_unless_finite,
)
from keras_metaloss.information._ties import TINY

__all__ = ["mutual_information_mixed_ksg"]


def mutual_information_mixed_ksg(
    x: Any,
    y: Any,
    n_neighbors: int = 3,
    preprocess: str | None = None,
    validate_args: bool = False,
    name: str | None = None,
) -> tf.Tensor:
    """Mutual information of discrete, continuous or mixed samples, in nats.

    `I = mean_i[psi(k_i) + log N - psi(n_x(i)) - psi(n_y(i))]`. Around sample i, `n_x`
    and `n_y` count the samples (i among them) that are closer than its k-th neighbour
    in the joint space; where that neighbour is at distance zero, `k_i`, `n_x` and `n_y`
    count equal samples instead. On data without ties this is `mutual_information_ksg`
    up to `log N - psi(N)`, about `1 / (2 N)`; on labels it is the plug-in estimate with
    digamma for the logarithm. A constant variable gives exactly 0.

    This is the estimator of the authors' code. Algorithm 1 of their paper counts
    samples at the same distance too and takes `log(n + 1)`, which is far too low
    (0.22 for 0.58 nats of correlated Gaussians, N = 10,000).

    Args:
        x: samples, `[N]` or `[N, Dx]`, of a float dtype.
        y: samples paired with those of `x`, `[N]` or `[N, Dy]`.
        n_neighbors: k.
        preprocess: `None`, `"standardize"` or `"rank"`, as in `mutual_information_ksg`;
            it leaves equal values equal.
        validate_args: whether to assert finite data in a graph; run eagerly this is
            checked always.
        name: name of the operation.

    Returns:
        Scalar of the dtype of `x`. Not differentiable.

    Raises:
        TypeError: if the data are not of a float dtype.
        ValueError: if shapes do not fit, data are not finite, or `n_neighbors` is not
            below N.

    Example:

    >>> import numpy as np, keras_metaloss as kml
    >>> x = np.repeat([0.0, 1.0], 50)
    >>> round(float(kml.information.mutual_information_mixed_ksg(x, x)), 2)  # log 2
    0.7

    Reference:
        Gao, Kannan, Oh and Viswanath, "Estimating mutual information for
        discrete-continuous mixtures", NeurIPS 2017, and the code published with it.
    """
    with tf.name_scope(name or "mutual_information_mixed_ksg"):
        x, y = as_pair(x, y, preprocess, validate_args)
        k, x = check_neighbors(n_neighbors, x)
        dtype = x.dtype
        x, y = as_points(x), as_points(y)
        joint = tf.concat([x, y], axis=1)
        radius = nearest(joint, k)[0][:, -1]
        tied = radius <= 0
        # Within a tiny radius lie equal samples only.
        radius = tf.maximum(radius, tf.constant(TINY, x.dtype))
        n_x, n_y = count_within(x, radius), count_within(y, radius)
        equal = tf.where(tied, _count_tied(joint, radius, tied), float(k))
        size = tf.cast(tf.shape(x)[0], x.dtype)
        value = tf.math.log(size) + tf.reduce_mean(
            tf.math.digamma(equal) - tf.math.digamma(n_x) - tf.math.digamma(n_y)
        )
        constant = tf.reduce_all(x == x[:1]) | tf.reduce_all(y == y[:1])
        value = tf.where(constant, tf.zeros_like(value), value)
        return tf.cast(nan_unless_finite(value, x, y), dtype)


def _count_tied(joint, radius, tied):
    """Counts in the joint space, which only tied samples need."""
    return tf.cond(
        tf.reduce_any(tied),
        lambda: count_within(joint, radius),
        lambda: tf.ones_like(radius),
    )
