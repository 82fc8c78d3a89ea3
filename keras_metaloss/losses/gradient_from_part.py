"""Gradients of a loss's own numbers: a part of a large batch says enough about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from keras_metaloss.dtypes import wide_dtype

__all__ = ["with_gradient_from_part"]

_ENOUGH_PREDICTIONS = 2**15
_ENOUGH_EXAMPLES = 256


def with_gradient_from_part(
    values: tf.Tensor,
    parameters: Sequence[tf.Tensor],
    likelihood: Callable,
    examples: Sequence[tf.Tensor],
    columns: tf.Tensor,
) -> tf.Tensor:
    """`values`; parameters get the gradient of a likelihood in place of them.

    Of a batch with 65,536 predictions or more, in 512 examples or more, it is that of a
    part: at least 256 examples, drawn in proportion to what they weigh in the loss.
    The draws are the same in each step, so a batch has to be shuffled, or of one kind
    all along, for the part to stand for it.

    Args:
        values: losses of all examples, `[...]`.
        parameters: scalars, or tensors of one number.
        likelihood: `(*examples, *parameters) -> [M]`, of any part of the examples.
        examples: tensors with a row for each example, `[N, ...]`; they get no gradient
            from here.
        columns: how many predictions an example has.

    Returns:
        Tensor like `values`.
    """

    @tf.custom_gradient
    def handed_over(values, *parameters):
        def gradient(upstream):
            weights = tf.cast(tf.reshape(upstream, [-1]), wide_dtype(upstream.dtype))
            chosen, weights = _stand_ins(weights, columns)
            part = [tf.gather(tensor, chosen) for tensor in examples]
            with tf.GradientTape() as tape:
                tape.watch(parameters)
                found = likelihood(*part, *parameters)
            weights = tf.cast(weights, found.dtype)
            return upstream, *tape.gradient(found, parameters, weights)

        return tf.identity(values), gradient

    return handed_over(values, *parameters)


def _stand_ins(weights, columns):
    """Examples that stand for all, one out of each block, and what each then weighs.

    Within a block an example is drawn in proportion to its weight, and takes the
    weight of the block.
    """
    count = tf.size(weights)
    enough = _ENOUGH_PREDICTIONS // tf.maximum(columns, 1)
    enough = tf.maximum(enough, _ENOUGH_EXAMPLES)
    length = tf.maximum(count // enough, 1)
    blocks = -(-count // length)
    padded = tf.pad(weights, [[0, blocks * length - count]])
    up_to = tf.cumsum(tf.reshape(tf.abs(padded), [blocks, length]), axis=1)
    whole = up_to[:, -1]
    block = tf.range(blocks)
    # The golden ratio spreads the draws evenly.
    draw = tf.math.floormod(tf.cast(block, tf.float64) * 0.6180339887498949, 1.0)
    is_before = up_to <= (tf.cast(draw, whole.dtype) * whole)[:, tf.newaxis]
    place = tf.math.count_nonzero(is_before, axis=1, dtype=tf.int32)
    # A block without weight has all of them before.
    chosen = block * length + tf.minimum(place, length - 1)
    chosen = tf.minimum(chosen, count - 1)
    return chosen, whole * tf.sign(tf.gather(weights, chosen))
