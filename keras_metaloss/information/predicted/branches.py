"""`tf.cond` between results that take very different memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

__all__ = ["choose"]


def choose(
    first: tf.Tensor,
    values: Callable[[bool], list[tf.Tensor]],
    again: Callable[[Any, bool], list[tf.Tensor]],
    inputs: Any,
) -> list[tf.Tensor]:
    """`values(True)` if `first`, else `values(False)`; both differentiable.

    `tf.cond` keeps what the gradient needs for both branches, as zeros for the one not
    taken, which XLA writes in every step. Here the gradient computes the branch again.

    Args:
        first: a scalar bool.
        values: gives the results of a branch, a list.
        again: the same from a structure like `inputs`, and the branch.
        inputs: what the results depend on, a structure of tensors and distributions.
    """
    leaves = tf.nest.flatten(inputs, expand_composites=True)
    if not all(tf.is_tensor(leaf) for leaf in leaves):
        # A distribution that TensorFlow cannot take apart.
        return _both(first, values)
    leaves = [tf.convert_to_tensor(leaf) for leaf in leaves]
    places = [i for i, leaf in enumerate(leaves) if leaf.dtype.is_floating]

    def slopes(tensors, upstream, branch):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            filled = list(leaves)
            for place, tensor in zip(places, tensors, strict=True):
                filled[place] = tensor
            structure = tf.nest.pack_sequence_as(inputs, filled, expand_composites=True)
            results = again(structure, branch)
        return tape.gradient(
            results, tensors, output_gradients=upstream, unconnected_gradients="zero"
        )

    @tf.custom_gradient
    def run(*tensors):
        def gradient(*upstream):
            upstream = list(upstream)
            return _both(first, lambda branch: slopes(tensors, upstream, branch))

        return _both(first, values), gradient

    return _as_list(run(*[leaves[place] for place in places]))


def _both(first, branch):
    return _as_list(tf.cond(first, lambda: branch(True), lambda: branch(False)))


def _as_list(values):
    """`tf.cond` and `tf.custom_gradient` give a single result back by itself."""
    return list(values) if isinstance(values, (list, tuple)) else [values]
