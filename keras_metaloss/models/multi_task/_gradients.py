"""Gradients of several losses for shared and task-specific parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_metaloss.losses.weighting import (
    TaskWeighting,
    TaskWeights,
    gradient_products,
)

__all__ = [
    "StepGradients",
    "combined_gradients",
    "parameter_gradients",
    "replica_penalty",
    "shared_gradients",
    "step_gradients",
    "sum_over_replicas",
    "unscaled_products",
    "weighted_gradients",
]


class StepGradients(NamedTuple):
    """Gradients of one training step.

    Attributes:
        gradients: Gradients of all variables, by `id(variable)`.
        weights: Weights of the tasks.
        total: Losses of the tasks, summed over replicas, `[K]`.
        products: Inner products of the gradients of the tasks, `[K, K]`, or `None`.
    """

    gradients: dict[int, Any]
    weights: TaskWeights
    total: tf.Tensor
    products: tf.Tensor | None


def step_gradients(
    tape: tf.GradientTape,
    losses: Sequence[tf.Tensor],
    penalty: tf.Tensor | None,
    variables: Sequence[keras.Variable],
    weighting: TaskWeighting,
    candidates: Sequence[keras.Variable],
    frozen: bool,
    scale: tf.Tensor,
    *,
    named: bool,
) -> StepGradients:
    """Computes the gradients of one step with the weights of a weighting.

    Args:
        tape: A tape that has recorded the losses; persistent if the weighting needs
            gradients.
        losses: K scalars.
        penalty: Loss that belongs to no task and has weight 1, or `None`.
        variables: All trainable variables of the network.
        weighting: The weighting.
        candidates: Trainable variables that tasks may share.
        frozen: Whether other variables that tasks may share are frozen.
        scale: Factor by which gradients are multiplied.
        named: Whether the user passed the candidates.

    Raises:
        ValueError: If the weighting needs gradients, and no parameters are shared,
            trainable or frozen.
    """
    # Keras divides losses by the number of replicas.
    total = sum_over_replicas(tf.stack(losses))
    products = None
    if weighting.needs_gradients:
        shared, by_task = shared_gradients(tape, losses, candidates, scale, named=named)
        if shared:
            products = unscaled_products(by_task, scale, total.dtype)
        elif frozen:
            # The task-specific parameters are trained alone.
            products = tf.zeros([len(losses)] * 2, total.dtype)
        else:
            raise_nothing_shared(len(candidates), named=named)
        weights = weighting.compute_weights(total, products)
        gradients = combined_gradients(
            tape, losses, penalty, variables, weights, shared, by_task, scale
        )
    else:
        weights = weighting.compute_weights(total)
        gradients = weighted_gradients(
            tape, losses, penalty, variables, weights.shared, scale
        )
    gradients.update(parameter_gradients(weighting, total, scale))
    return StepGradients(gradients, weights, total, products)


def shared_gradients(
    tape: tf.GradientTape,
    losses: Sequence[tf.Tensor],
    variables: Sequence[keras.Variable],
    scale: tf.Tensor,
    *,
    named: bool,
) -> tuple[list[keras.Variable], list[list[tf.Tensor]]]:
    """Finds the shared parameters and computes their gradients for each task.

    Args:
        tape: A persistent tape that has recorded the losses.
        losses: K scalars.
        variables: Trainable variables: all of them, or those passed by the user.
        scale: Factor by which gradients are multiplied.
        named: Whether the user passed the variables. Then a gradient from one task is
            enough; otherwise gradients from two tasks are required.

    Returns:
        The shared variables and, for each task, its gradients of them, zero where a
        task has no gradient.
    """
    by_task = [
        tape.gradient(loss, variables, output_gradients=scale) for loss in losses
    ]
    min_tasks = 1 if named else 2
    shared, columns = [], []
    for variable, column in zip(variables, zip(*by_task, strict=True), strict=True):
        if sum(gradient is not None for gradient in column) >= min_tasks:
            shared.append(variable)
            columns.append([_dense(g, variable) for g in column])
    rows = zip(*columns, strict=True) if columns else ([] for _ in losses)
    return shared, [list(row) for row in rows]


def raise_nothing_shared(count: int, *, named: bool) -> None:
    """Raises a `ValueError`: there are no gradients to compare.

    Args:
        count: Number of trainable variables.
        named: Whether the user passed the variables.
    """
    raise ValueError(
        f"Invalid value for argument `{'shared' if named else 'model'}`. Expected "
        "trainable parameters "
        + (
            "with a gradient from at least one task"
            if named
            else "that at least two tasks share, because the weighting compares their "
            "gradients; use one that does not, such as `FixedWeighting`"
        )
        + f". Received: none among {count} trainable parameters"
        + (" named in `shared`" if named else "")
    )


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
    """Computes gradients with separate weights for shared and specific parameters.

    Args:
        tape: A persistent tape that has recorded the losses.
        losses: K scalars.
        penalty: Loss that belongs to no task and has weight 1, or `None`.
        variables: All trainable variables.
        weights: Weights of the tasks.
        shared: Variables shared by tasks.
        gradients: For each task, its scaled gradients of the shared variables.
        scale: Factor by which gradients are multiplied.

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
        penalty_gradients = tape.gradient(penalty, shared, output_gradients=scale)
        for variable, gradient in zip(shared, penalty_gradients, strict=True):
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
    """Computes gradients of `sum_k weights[k] * losses[k] + penalty` in one pass.

    Args:
        tape: A tape that has recorded the losses.
        losses: K scalars.
        penalty: Loss that belongs to no task and has weight 1, or `None`.
        variables: Variables of the gradients.
        weights: Weights of the tasks, `[K]`.
        scale: Factor by which gradients are multiplied.

    Returns:
        Gradients by `id(variable)`, `None` for variables without a gradient.
    """
    targets, factors = list(losses), [scale * w for w in tf.unstack(weights)]
    if penalty is not None:
        targets.append(penalty)
        factors.append(scale)
    gradients = tape.gradient(targets, variables, output_gradients=factors)
    return {id(v): g for v, g in zip(variables, gradients, strict=True)}


def unscaled_products(
    by_task: Sequence[Sequence[tf.Tensor]], scale: tf.Tensor, dtype: tf.DType
) -> tf.Tensor:
    """Computes inner products of the gradients of tasks, `[K, K]`, without scaling.

    Args:
        by_task: Gradients of each task for the shared variables, of one replica.
        scale: Factor that the gradients are multiplied by.
        dtype: Dtype of the products.
    """
    unscaled = keras.tree.map_structure(
        lambda g: tf.cast(g, dtype) / scale, sum_over_replicas(by_task)
    )
    return gradient_products(unscaled)


def parameter_gradients(
    weighting: TaskWeighting, total: tf.Tensor, scale: tf.Tensor
) -> dict[int, tf.Tensor]:
    """Computes gradients of the parameters of a weighting, by `id(variable)`.

    Args:
        weighting: The weighting.
        total: Losses of the tasks, summed over replicas, `[K]`.
        scale: Factor that the gradients are multiplied by.
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    gradients = weighting.parameter_gradients(total)
    pairs = zip(weighting.trainable_weights, gradients, strict=True)
    return {id(v): g * scale / replicas for v, g in pairs}


def replica_penalty(
    penalties: Sequence[tf.Tensor], dtype: tf.DType
) -> tf.Tensor | None:
    """Returns the share of this replica in the losses of layers, or `None`."""
    if not penalties:
        return None
    penalty = tf.add_n([tf.cast(tf.reduce_sum(p), dtype) for p in penalties])
    return penalty / tf.distribute.get_strategy().num_replicas_in_sync


def sum_over_replicas(tensors: Any) -> Any:
    """Sums each tensor of a structure over all replicas."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return tensors
    flat = context.all_reduce(tf.distribute.ReduceOp.SUM, keras.tree.flatten(tensors))
    return keras.tree.pack_sequence_as(tensors, flat)


def _dense(gradient: Any, variable: keras.Variable) -> tf.Tensor:
    """Converts a gradient to a dense tensor; `None` becomes zeros."""
    if gradient is None:
        return tf.zeros(variable.shape, variable.dtype)
    return tf.convert_to_tensor(gradient)
