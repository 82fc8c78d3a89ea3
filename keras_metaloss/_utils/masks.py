"""Boolean masks of values, and means over what they include."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_metaloss._utils.shapes import append_axes

__all__ = ["combine_masks", "masked_mean"]


def combine_masks(values: tf.Tensor, *masks: tf.Tensor | None) -> tf.Tensor | None:
    """Combines masks into one with the shape of `values`.

    A value is included if all masks include it. A mask may lack trailing axes, or have
    more: then a value is included if any of its entries is.

    Args:
        values: Values that the masks belong to.
        *masks: Boolean masks; `None` includes all.

    Returns:
        A boolean tensor with the shape of `values`; `None` without any mask.
    """
    found = [mask for mask in masks if mask is not None]
    if not found:
        return None
    included, rank = tf.ones_like(values, dtype=tf.bool), values.shape.rank
    for mask in found:
        axes = list(range(rank, mask.shape.rank))
        included &= append_axes(tf.reduce_any(tf.cast(mask, tf.bool), axis=axes), rank)
    return included


def masked_mean(values: tf.Tensor, mask: tf.Tensor | None, axis: Any) -> tf.Tensor:
    """Computes the mean of the values included by the mask; 0 if there are none.

    Args:
        values: Tensor of any shape.
        mask: Boolean mask with the same shape; `None` includes all.
        axis: Axes to average over; `None` averages over all.
    """
    if mask is None:
        return tf.reduce_mean(values, axis=axis)
    weights = tf.cast(mask, values.dtype)
    kept = tf.where(mask, values, tf.zeros_like(values))
    return tf.math.divide_no_nan(
        tf.reduce_sum(kept, axis=axis), tf.reduce_sum(weights, axis=axis)
    )
