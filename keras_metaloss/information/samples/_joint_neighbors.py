"""Neighbors in the joint space of two variables, for the KSG estimators."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from keras_metaloss.information.samples._neighbors import count_within, nearest
from keras_metaloss.information.samples._ties import (
    count_equal,
    separate,
    sorted_order,
)

__all__ = ["joint_neighbor_information"]


def joint_neighbor_information(
    x: tf.Tensor, y: tf.Tensor, k: int, size_term: tf.Tensor, variant: int = 1
) -> tf.Tensor:
    """Computes `size_term + mean_i[psi(k) - psi(n_x(i)) - psi(n_y(i))]`.

    `n_x(i)` and `n_y(i)` count the samples, including `i`, that are closer than the
    k-th neighbor in the joint space, after noise has broken ties. For a sample with at
    least `k` duplicates, equal samples are counted instead, also in place of `k`. This
    is the mean over the noise.

    Args:
        x: Float64 tensor of shape `[N, Dx]`.
        y: Float64 tensor of shape `[N, Dy]`.
        k: Number of neighbors.
        size_term: Function of the number of samples to add, a float64 scalar.
        variant: Variant of Kraskov et al., 1 or 2. Defaults to `1`.

    Returns:
        Float64 scalar; 0 if `x` or `y` is constant.
    """
    columns_x, columns_y = tf.unstack(x, axis=1), tf.unstack(y, axis=1)
    order = sorted_order([*columns_x, *columns_y])
    equal = count_equal([*columns_x, *columns_y], order)
    joint = separate(tf.concat([x, y], axis=1), order)
    points = joint[:, : len(columns_x)], joint[:, len(columns_x) :]
    distance, index = nearest(joint, k)
    own = tf.math.digamma(tf.constant(k, x.dtype))
    if variant == 1:
        radius = distance[:, -1]
        counts = [count_within(z, radius) for z in points]
    else:
        own -= 1 / k
        counts = [
            count_within(z, _largest_distance(z, index), closed=True) - 1
            for z in points
        ]
    tied = equal > k
    terms = tf.where(tied, tf.math.digamma(equal), own)
    for count, columns in zip(counts, (columns_x, columns_y), strict=True):
        equal = _count_equal_if_any(tied, columns)
        count = tf.where(tied, equal, tf.maximum(count, 1))
        terms -= tf.math.digamma(count)
    value = size_term + tf.reduce_mean(terms)
    constant = tf.reduce_all(x == x[:1]) | tf.reduce_all(y == y[:1])
    return tf.where(constant, tf.zeros_like(value), value)


def _largest_distance(points: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Returns the largest distance in one variable among the `k` neighbors, `[N]`."""
    difference = tf.abs(tf.gather(points, index) - points[:, tf.newaxis])
    return tf.reduce_max(difference, axis=[1, 2])


def _count_equal_if_any(tied: tf.Tensor, columns: Sequence[tf.Tensor]) -> tf.Tensor:
    """Counts the equal samples of one variable, if any sample is tied."""
    return tf.cond(
        tf.reduce_any(tied),
        lambda: count_equal(columns, sorted_order(columns)),
        lambda: tf.ones_like(tied, tf.float64),
    )
