"""Boolean masks and masked means."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_metaloss._utils.shapes import append_axes

__all__ = ["combine_masks", "masked_mean"]


def combine_masks(values: tf.Tensor, *masks: tf.Tensor | None) -> tf.Tensor | None:
    """Combines masks into one with the shape of `values`.

    A value is included if all masks include it. A mask with fewer axes than `values`
    is broadcast over the missing trailing axes. A mask with more axes includes a value
    if any of its entries for that value is `True`.

    Args:
        values: Values that the masks belong to.
        *masks: Boolean masks. `None` includes all values.

    Returns:
        A boolean tensor with the shape of `values`; `None` if there are no masks.
    """
    given_masks = [mask for mask in masks if mask is not None]
    if not given_masks:
        return None
    included, rank = tf.ones_like(values, dtype=tf.bool), values.shape.rank
    for mask in given_masks:
        axes = list(range(rank, mask.shape.rank))
        included &= append_axes(tf.reduce_any(tf.cast(mask, tf.bool), axis=axes), rank)
    return included


def masked_mean(values: tf.Tensor, mask: tf.Tensor | None, axis: Any) -> tf.Tensor:
    """Computes the mean of the values included by the mask; 0 if there are none.

    Args:
        values: Tensor of any shape.
        mask: Boolean mask with the same shape; `None` includes all values.
        axis: Axes to average over; `None` averages over all axes.
    """
    if mask is None:
        return tf.reduce_mean(values, axis=axis)
    weights = tf.cast(mask, values.dtype)
    included_values = tf.where(mask, values, tf.zeros_like(values))
    return tf.math.divide_no_nan(
        tf.reduce_sum(included_values, axis=axis), tf.reduce_sum(weights, axis=axis)
    )
