"""Inner steps of an evaluation in a loop instead of a copy per step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss.adaptation._core.functional_learner import LearnerState, Weights
from keras_metaloss.adaptation._core.task import Adapted

__all__ = ["looped_steps", "steps_may_be_tensors"]

# Methods that receive the number of the inner step or a learner with it.
_HOOKS = ("path", "step", "gradients", "support_pass", "update")


def steps_may_be_tensors(cls: type, base: type) -> bool:
    """Returns whether the inner steps of a method may be numbered by tensors.

    A class that overrides a hook may rely on Python integers. Only the class that
    contains the override can declare that it does not, with `loops_evaluation = True`.

    Args:
        cls: Class of the method.
        base: `GradientAdaptation`.
    """
    for hook in _HOOKS:
        owner = next(c for c in cls.__mro__ if hook in vars(c))
        if owner not in base.__mro__ and not vars(owner).get("loops_evaluation"):
            return False
    return True


def looped_steps(
    step: Callable[[Adapted, Any], tuple[Adapted, Any]],
    adapted: Adapted,
    optimizer_state: Any,
    count: int,
    select: Callable[[Weights], Weights],
    merge: Callable[[Weights, Weights], Weights],
    variables: list[keras.Variable],
) -> Adapted:
    """Takes inner steps; compilation time and memory do not grow with their number.

    The first step is outside of the loop, because it defines `first_gradients`.

    Args:
        step: Takes one inner step.
        adapted: The learner before the first step.
        optimizer_state: State of the inner optimizer before the first step.
        count: Number of inner steps.
        select: Selects the adapted weights.
        merge: Replaces the adapted weights.
        variables: Variables that the steps read.

    Returns:
        The adapted learner.
    """
    first, optimizer_state = step(adapted, optimizer_state)
    if count == 1:
        return first
    # Reading variables inside of the loop would prevent XLA from compiling the loop
    # after `tf.vectorized_map`.
    values = [(v, tf.convert_to_tensor(v)) for v in variables]

    def body(
        number: tf.Tensor, weights: Weights, state: LearnerState, optimizer_state: Any
    ) -> tuple[tf.Tensor, Weights, LearnerState, Any]:
        current = Adapted(merge(first.weights, weights), state, number, [])
        with keras.StatelessScope(values):
            current, optimizer_state = step(current, optimizer_state)
        return number + 1, select(current.weights), current.state, optimizer_state

    _, weights, state, _ = tf.while_loop(
        lambda number, *_: number < count,
        body,
        (tf.constant(1), select(first.weights), first.state, optimizer_state),
        # XLA differentiates only loops with a static number of iterations.
        maximum_iterations=count - 1,
    )
    return first._replace(
        weights=merge(first.weights, weights), state=state, steps=count
    )
