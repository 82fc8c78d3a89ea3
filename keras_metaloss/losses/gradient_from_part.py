"""Gradients of a few numbers: of a large batch a part says enough about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

__all__ = ["with_gradient_from_part"]

_ENOUGH_PREDICTIONS = 2**15
_ENOUGH_EXAMPLES = 256


def with_gradient_from_part(
    values: tf.Tensor,
    parameters: Sequence[tf.Tensor],
    function: Callable,
    examples: Sequence[tf.Tensor],
) -> tf.Tensor:
    """`values`; parameters get the gradient that `function` in their place would give.

    Of a batch with more than 32,768 predictions `function` is given a part, at least
    256 examples, drawn in proportion to what they weigh in the loss: on average over
    draws the gradient is that of the whole batch.

    Args:
        values: losses of all examples, `[...]`.
        parameters: scalars, or tensors of one number.
        function: `(*examples, *parameters) -> [M]` of some examples.
        examples: tensors with a row for each example, the last of them `[N, C]`; they
            get no gradient from here.

    Returns:
        Tensor like `values`.
    """

    @tf.custom_gradient
    def handed_over(values, *parameters):
        def gradient(upstream):
            rows = examples[-1]
            weights = tf.cast(tf.reshape(upstream, [-1]), rows.dtype)
            chosen, weights = _stand_ins(weights, tf.shape(rows)[-1])
            part = [tf.gather(tensor, chosen) for tensor in examples]
            with tf.GradientTape() as tape:
                tape.watch(parameters)
                found = function(*part, *parameters)
            return upstream, *tape.gradient(found, parameters, weights)

        return tf.identity(values), gradient

    return handed_over(values, *parameters)


def _stand_ins(weights, columns):
    """Examples that stand for all, one out of each block, and what each then weighs.

    Within a block an example is drawn in proportion to its weight, and takes the
    weight of the block.
    """
    count = tf.size(weights)
    enough = tf.maximum(_ENOUGH_PREDICTIONS // columns, _ENOUGH_EXAMPLES)
    length = tf.maximum(count // enough, 1)
    blocks = -(-count // length)
    padded = tf.pad(weights, [[0, blocks * length - count]])
    up_to = tf.cumsum(tf.reshape(tf.abs(padded), [blocks, length]), axis=1)
    whole = up_to[:, -1]
    block = tf.range(blocks)
    # The golden ratio spreads the draws evenly; each step has the same.
    draw = tf.math.floormod(tf.cast(block, tf.float64) * 0.6180339887498949, 1.0)
    is_before = up_to <= (tf.cast(draw, whole.dtype) * whole)[:, tf.newaxis]
    place = tf.math.count_nonzero(is_before, axis=1, dtype=tf.int32)
    # A block without weight has all of them before.
    chosen = block * length + tf.minimum(place, length - 1)
    chosen = tf.minimum(chosen, count - 1)
    return chosen, whole * tf.sign(tf.gather(weights, chosen))
