"""Gradients of loss parameters, estimated from a subsample of a large batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from keras_metaloss._utils.dtypes import wide_dtype

__all__ = ["with_subsampled_gradient"]

_MIN_PREDICTIONS = 2**15
_MIN_EXAMPLES = 256


def with_subsampled_gradient(
    values: tf.Tensor,
    parameters: Sequence[tf.Tensor],
    likelihood: Callable,
    examples: Sequence[tf.Tensor],
    columns: tf.Tensor,
) -> tf.Tensor:
    """Returns `values`, with the gradient of `likelihood` for the parameters.

    For batches of at least 65,536 predictions in at least 512 examples, the gradient
    is computed from a subsample of at least 256 examples, drawn in proportion to their
    weights in the loss. Every step draws the same positions, so the batch must be
    shuffled or homogeneous for the subsample to be representative.

    Args:
        values: Losses of all examples, `[...]`.
        parameters: Scalars, or tensors with one element.
        likelihood: `(*examples, *parameters) -> [M]`, for any subset of the examples.
        examples: Tensors with one row per example, `[N, ...]`. They get no gradient
            from this function.
        columns: Number of predictions per example.

    Returns:
        Tensor with the shape and values of `values`.
    """

    @tf.custom_gradient
    def replace_gradient(
        values: tf.Tensor, *parameters: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[..., Any]]:
        def gradient(upstream: tf.Tensor) -> tuple[Any, ...]:
            weights = tf.cast(tf.reshape(upstream, [-1]), wide_dtype(upstream.dtype))
            chosen, weights = _sample_blocks(weights, columns)
            sampled = [tf.gather(tensor, chosen) for tensor in examples]
            with tf.GradientTape() as tape:
                tape.watch(parameters)
                losses = likelihood(*sampled, *parameters)
            weights = tf.cast(weights, losses.dtype)
            return upstream, *tape.gradient(losses, parameters, weights)

        return tf.identity(values), gradient

    return replace_gradient(values, *parameters)


def _sample_blocks(weights: tf.Tensor, columns: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Samples one example per block; returns their indices and weights.

    Within a block, examples are drawn in proportion to their weights. The drawn example
    gets the total weight of the block.
    """
    count = tf.size(weights)
    sample_size = _MIN_PREDICTIONS // tf.maximum(columns, 1)
    sample_size = tf.maximum(sample_size, _MIN_EXAMPLES)
    length = tf.maximum(count // sample_size, 1)
    blocks = -(-count // length)
    padded = tf.pad(weights, [[0, blocks * length - count]])
    cumulative = tf.cumsum(tf.reshape(tf.abs(padded), [blocks, length]), axis=1)
    block_weight = cumulative[:, -1]
    block = tf.range(blocks)
    # Multiples of the golden ratio spread the draws evenly.
    draw = tf.math.floormod(tf.cast(block, tf.float64) * 0.6180339887498949, 1.0)
    threshold = tf.cast(draw, block_weight.dtype) * block_weight
    is_before = cumulative <= threshold[:, tf.newaxis]
    position = tf.math.count_nonzero(is_before, axis=1, dtype=tf.int32)
    # In a block of weight zero, `position` would be past the end.
    chosen = block * length + tf.minimum(position, length - 1)
    chosen = tf.minimum(chosen, count - 1)
    return chosen, block_weight * tf.sign(tf.gather(weights, chosen))
