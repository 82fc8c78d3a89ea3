"""Gradient descent with momentum."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_metaloss._utils.checks import check_boolean
from keras_metaloss.adaptation.inner_optimizers._checks import (
    check_momentum,
    check_rate,
)
from keras_metaloss.adaptation.inner_optimizers._numerics import rate_at, zeros
from keras_metaloss.adaptation.inner_optimizers.inner_optimizer import (
    InnerOptimizer,
    Rate,
    Weights,
)

__all__ = ["sgd"]


def sgd(
    learning_rate: Rate, momentum: float = 0.0, nesterov: bool = False
) -> InnerOptimizer:
    """Creates gradient descent: `m = momentum * m - rate * g`, `w += m`.

    With `nesterov=True`, `w += momentum * m - rate * g`.

    Args:
        learning_rate: Inner step size: a float, scalar tensor or Keras schedule.
        momentum: Momentum, from 0 to 1. Defaults to `0.0`.
        nesterov: Whether to use Nesterov momentum. Defaults to `False`.

    Returns:
        An `InnerOptimizer`.

    Raises:
        ValueError: If an argument is invalid.

    Example:

    >>> import tensorflow as tf
    >>> optimizer = sgd(0.1)
    >>> weights = [tf.constant([1.0])]
    >>> updates, _ = optimizer.update([tf.constant([2.0])], optimizer.init(weights),
    ...                               weights)
    >>> [float(u[0]) for u in updates]
    [-0.20000000298023224]
    """
    learning_rate, momentum = check_rate(learning_rate), check_momentum(momentum)
    nesterov = check_boolean("nesterov", nesterov)

    def init(weights: Weights) -> dict[str, Any]:
        state = {"step": tf.constant(0, tf.int32)}
        return {**state, "momentum": zeros(weights)} if momentum else state

    def update(
        gradients: Weights, state: dict[str, Any], weights: Weights
    ) -> tuple[Weights, dict[str, Any]]:
        del weights
        steps = [-rate_at(learning_rate, state, g) * g for g in gradients]
        state = {**state, "step": state["step"] + 1}
        if not momentum:
            return steps, state
        moved = [
            momentum * m + s for m, s in zip(state["momentum"], steps, strict=True)
        ]
        state["momentum"] = moved
        if nesterov:
            moved = [momentum * m + s for m, s in zip(moved, steps, strict=True)]
        return moved, state

    return InnerOptimizer(init, update)
