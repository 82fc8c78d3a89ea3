"""`tf.cond` whose gradient stores no intermediate values of either branch."""

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
    """Returns `values(True)` if `first`, else `values(False)`; both differentiable.

    `tf.cond` stores the intermediate values of both branches for the gradient, as zeros
    for the branch not taken, and XLA writes these zeros in every step. Here the
    gradient recomputes the branch instead.

    Args:
        first: A scalar bool.
        values: Function from the branch (a bool) to its results, a list.
        again: Function from a structure like `inputs` and the branch to its results.
        inputs: Structure of the tensors and distributions that the results depend on.
    """
    leaves = tf.nest.flatten(inputs, expand_composites=True)
    if not all(tf.is_tensor(leaf) for leaf in leaves):
        # `tf.nest` cannot decompose distributions that are not composite tensors.
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
    """Wraps single results, which TensorFlow returns without their list."""
    return list(values) if isinstance(values, (list, tuple)) else [values]
