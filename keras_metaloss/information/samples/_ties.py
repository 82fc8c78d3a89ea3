"""Repeated values: counts of equal samples, and noise that separates them."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

__all__ = ["count_equal", "separate", "sorted_order"]

# Amplitude of the noise relative to the spread of a column. Float64 resolves about
# 10^6 values within it, and real differences between samples are larger.
_NOISE = 1e-10


def sorted_order(columns: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns the indices `[N]` that sort the rows by the first column, then the next.

    Args:
        columns: Tensors of shape `[N]`, of any numeric dtype.
    """
    order = tf.argsort(columns[-1], stable=True)
    for column in reversed(columns[:-1]):
        order = tf.gather(order, tf.argsort(tf.gather(column, order), stable=True))
    return order


def count_equal(columns: Sequence[tf.Tensor], order: tf.Tensor) -> tf.Tensor:
    """Counts the rows that equal each row, including itself, `[N]`, float64.

    Args:
        columns: Tensors of shape `[N]`.
        order: `sorted_order(columns)`.
    """
    size = tf.shape(order)[0]
    starts = tf.zeros([size - 1], tf.bool)
    for column in columns:
        ordered = tf.gather(column, order)
        starts |= ordered[1:] != ordered[:-1]
    group = tf.concat([[0], tf.cumsum(tf.cast(starts, tf.int32))], axis=0)
    counts = tf.math.unsorted_segment_sum(
        tf.ones([size], tf.float64), group, num_segments=size
    )
    return tf.scatter_nd(order[:, tf.newaxis], tf.gather(counts, group), [size])


def separate(points: tf.Tensor, order: tf.Tensor) -> tf.Tensor:
    """Subtracts the median of each column and adds noise that breaks ties.

    Distances on a grid of rounded values are equal for many samples, up to rounding
    errors that depend on the unit. Independent noise of each variable that is smaller
    than the grid does not change mutual information, and makes the samples continuous.
    The amplitude is 1e-10 of the median distance to the median, among the samples that
    differ from it: neither outliers nor a frequent value determine it.

    Args:
        points: Float64 tensor of shape `[N, D]`.
        order: Indices `[N]` that sort the samples. The noise is assigned in this order,
            so the result depends neither on the unit nor on the order of the samples.
    """
    size = tf.shape(points)[0]
    columns = tf.transpose(points)
    columns -= tf.sort(columns, axis=-1)[:, size // 2, tf.newaxis]
    distance = tf.sort(tf.abs(columns), axis=-1)
    zeros = tf.math.count_nonzero(tf.equal(distance, 0), axis=-1, dtype=tf.int32)
    middle = tf.minimum(zeros + (size - zeros) // 2, size - 1)
    spread = tf.gather(distance, middle[:, tf.newaxis], batch_dims=1)
    spread = tf.where(spread > 0, spread, tf.ones_like(spread))
    noise = tf.random.stateless_uniform(
        tf.shape(points), [0, 0], -1, 1, tf.float64, alg="philox"
    )
    noise = tf.scatter_nd(order[:, tf.newaxis], noise, tf.shape(points))
    return tf.transpose(columns + _NOISE * spread * tf.transpose(noise))
