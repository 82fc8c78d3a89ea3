"""Gradients of several losses: which parameters are shared, and what they get."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss.losses.weighting import TaskWeights

__all__ = [
    "combined_gradients",
    "shared_gradients",
    "sum_over_replicas",
    "weighted_gradients",
]


def shared_gradients(
    tape: tf.GradientTape,
    losses: Sequence[tf.Tensor],
    variables: Sequence[keras.Variable],
    scale: tf.Tensor,
    *,
    named: bool,
) -> tuple[list[keras.Variable], list[list[tf.Tensor]]]:
    """The parameters that several tasks share, and each task's gradient of them.

    Args:
        tape: a persistent tape that has recorded the losses.
        losses: K scalars.
        variables: trainable variables; all of them, or those the user named.
        scale: what gradients are multiplied by.
        named: whether the user named the variables, who may name any with a gradient.

    Returns:
        The variables, and for each task its gradients of them, zero where it has none.

    Raises:
        ValueError: if there are none.
    """
    by_task = [
        tape.gradient(loss, variables, output_gradients=scale) for loss in losses
    ]
    least = 1 if named else 2
    shared, columns = [], []
    for variable, column in zip(variables, zip(*by_task, strict=True), strict=True):
        if sum(gradient is not None for gradient in column) >= least:
            shared.append(variable)
            columns.append([_dense(g, variable) for g in column])
    if not shared:
        raise ValueError(
            "Expected trainable parameters that "
            + ("a task has a gradient of" if named else "at least two tasks share")
            + f". Received: none among {len(variables)} trainable parameters"
            + (" named in `shared`" if named else "")
        )
    return shared, [list(row) for row in zip(*columns, strict=True)]


def combined_gradients(
    tape: tf.GradientTape,
    losses: Sequence[tf.Tensor],
    penalty: tf.Tensor | None,
    variables: Sequence[keras.Variable],
    weights: TaskWeights,
    shared: Sequence[keras.Variable],
    gradients: Sequence[Sequence[tf.Tensor]],
    scale: tf.Tensor,
) -> dict[int, Any]:
    """Gradients where shared parameters are weighed apart from all others.

    Args:
        tape: as in `shared_gradients`.
        losses: K scalars.
        penalty: a loss of no task, which counts once, or `None`.
        variables: all trainable variables.
        weights: what the tasks count.
        shared: variables that tasks share.
        gradients: for each task its gradients of them, scaled.
        scale: what gradients are multiplied by.

    Returns:
        Gradients by `id(variable)`.
    """
    known = {id(v) for v in shared}
    others = [v for v in variables if id(v) not in known]
    result = {}
    if others:
        result = weighted_gradients(
            tape, losses, penalty, others, weights.specific, scale
        )
    tasks = tf.unstack(weights.shared)
    for variable, column in zip(shared, zip(*gradients, strict=True), strict=True):
        result[id(variable)] = tf.add_n(
            [tf.cast(w, g.dtype) * g for w, g in zip(tasks, column, strict=True)]
        )
    if penalty is not None:
        of_penalty = tape.gradient(penalty, shared, output_gradients=scale)
        for variable, gradient in zip(shared, of_penalty, strict=True):
            if gradient is not None:
                result[id(variable)] += gradient
    return result


def weighted_gradients(
    tape: tf.GradientTape,
    losses: Sequence[tf.Tensor],
    penalty: tf.Tensor | None,
    variables: Sequence[keras.Variable],
    weights: tf.Tensor,
    scale: tf.Tensor,
) -> dict[int, Any]:
    """Gradients of `sum_k weights[k] * losses[k] + penalty`, in one pass backwards.

    Returns:
        Gradients by `id(variable)`, `None` for those that have none.
    """
    targets, factors = list(losses), [scale * w for w in tf.unstack(weights)]
    if penalty is not None:
        targets.append(penalty)
        factors.append(scale)
    gradients = tape.gradient(targets, variables, output_gradients=factors)
    return {id(v): g for v, g in zip(variables, gradients, strict=True)}


def sum_over_replicas(tensors: Any) -> Any:
    """A structure of tensors, each the sum over all replicas."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return tensors
    flat = context.all_reduce(tf.distribute.ReduceOp.SUM, keras.tree.flatten(tensors))
    return keras.tree.pack_sequence_as(tensors, flat)


def _dense(gradient, variable):
    if gradient is None:
        return tf.zeros(variable.shape, variable.dtype)
    return tf.convert_to_tensor(gradient)
