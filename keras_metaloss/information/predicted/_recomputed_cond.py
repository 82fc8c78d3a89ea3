"""`tf.cond` whose gradient stores no intermediate values of either branch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

__all__ = ["recomputed_cond"]


def recomputed_cond(
    predicate: tf.Tensor,
    compute: Callable[[bool], list[tf.Tensor]],
    recompute: Callable[[Any, bool], list[tf.Tensor]],
    inputs: Any,
) -> list[tf.Tensor]:
    """Returns `compute(True)` if `predicate`, else `compute(False)`.

    `tf.cond` stores the intermediate values of both branches for the gradient, as zeros
    for the branch not taken, and XLA writes these zeros in every step. Here the
    gradient recomputes the branch instead.

    Args:
        predicate: A scalar bool.
        compute: Function from the branch (a bool) to its results, a list.
        recompute: Function from a structure like `inputs` and the branch to its
            results.
        inputs: Structure of the tensors and distributions that the results depend on.
    """
    leaves = tf.nest.flatten(inputs, expand_composites=True)
    if not all(tf.is_tensor(leaf) for leaf in leaves):
        # `tf.nest` cannot decompose distributions that are not composite tensors.
        return _cond(predicate, compute)
    leaves = [tf.convert_to_tensor(leaf) for leaf in leaves]
    indices = [i for i, leaf in enumerate(leaves) if leaf.dtype.is_floating]

    def gradients(
        tensors: tuple[tf.Tensor, ...], upstream: list[tf.Tensor], branch: bool
    ) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            watched_leaves = list(leaves)
            for index, tensor in zip(indices, tensors, strict=True):
                watched_leaves[index] = tensor
            structure = tf.nest.pack_sequence_as(
                inputs, watched_leaves, expand_composites=True
            )
            results = recompute(structure, branch)
        return tape.gradient(
            results, tensors, output_gradients=upstream, unconnected_gradients="zero"
        )

    @tf.custom_gradient
    def run(*tensors: tf.Tensor) -> Any:
        def gradient(*upstream: tf.Tensor) -> list[tf.Tensor]:
            return _cond(
                predicate, lambda branch: gradients(tensors, list(upstream), branch)
            )

        return _cond(predicate, compute), gradient

    return _as_list(run(*[leaves[index] for index in indices]))


def _cond(
    predicate: tf.Tensor, compute: Callable[[bool], list[tf.Tensor]]
) -> list[tf.Tensor]:
    return _as_list(tf.cond(predicate, lambda: compute(True), lambda: compute(False)))


def _as_list(values: Any) -> list[tf.Tensor]:
    """Wraps single results, which TensorFlow returns without their list."""
    return list(values) if isinstance(values, (list, tuple)) else [values]
