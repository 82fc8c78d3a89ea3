"""RMSprop."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_metaloss._utils.checks import (
    check_boolean,
    check_decay_rate,
    check_positive,
)
from keras_metaloss.adaptation.inner_optimizers._checks import (
    check_momentum,
    check_rate,
)
from keras_metaloss.adaptation.inner_optimizers._numerics import average, rate_at, zeros
from keras_metaloss.adaptation.inner_optimizers.inner_optimizer import (
    InnerOptimizer,
    Rate,
    Weights,
)

__all__ = ["rmsprop"]


def rmsprop(
    learning_rate: Rate,
    rho: float = 0.9,
    momentum: float = 0.0,
    epsilon: float = 1e-7,
    centered: bool = False,
) -> InnerOptimizer:
    """Creates RMSprop: `w -= rate * g / sqrt(v + epsilon)`.

    `v = rho * v + (1 - rho) * g ** 2`. With `centered=True`, the square of the mean
    gradient is subtracted from `v`. As in Keras, `epsilon` is inside the square root.

    Args:
        learning_rate: Inner step size: a float, scalar tensor or Keras schedule.
        rho: Decay rate of the moving averages, at least 0 and less than 1. Defaults
            to `0.9`.
        momentum: Momentum, from 0 to 1. Defaults to `0.0`.
        epsilon: Positive constant added to the mean square. Defaults to `1e-7`.
        centered: Whether to divide by the standard deviation of the gradient instead
            of its root mean square. Defaults to `False`.

    Returns:
        An `InnerOptimizer`.

    Raises:
        ValueError: If an argument is invalid.

    Example:

    >>> import tensorflow as tf
    >>> optimizer, weights = rmsprop(0.1, rho=0.75), [tf.constant([1.0])]
    >>> updates, _ = optimizer.update([tf.constant([3.0])], optimizer.init(weights),
    ...                               weights)
    >>> round(float(updates[0][0]), 4)
    -0.2
    """
    learning_rate, momentum = check_rate(learning_rate), check_momentum(momentum)
    rho, epsilon = check_decay_rate("rho", rho), check_positive("epsilon", epsilon)
    centered = check_boolean("centered", centered)

    def init(weights: Weights) -> dict[str, Any]:
        state = {"step": tf.constant(0, tf.int32), "velocity": zeros(weights)}
        if momentum:
            state["momentum"] = zeros(weights)
        if centered:
            state["mean"] = zeros(weights)
        return state

    def update(
        gradients: Weights, state: dict[str, Any], weights: Weights
    ) -> tuple[Weights, dict[str, Any]]:
        del weights
        new = {"step": state["step"] + 1}
        squares = [tf.square(g) for g in gradients]
        new["velocity"] = average(state["velocity"], squares, rho)
        denominators = [v + epsilon for v in new["velocity"]]
        if centered:
            new["mean"] = average(state["mean"], gradients, rho)
            pairs = zip(denominators, new["mean"], strict=True)
            denominators = [d - tf.square(m) for d, m in pairs]
        steps = [
            rate_at(learning_rate, state, g) * g * tf.math.rsqrt(d)
            for g, d in zip(gradients, denominators, strict=True)
        ]
        if momentum:
            pairs = zip(state["momentum"], steps, strict=True)
            steps = new["momentum"] = [momentum * m + s for m, s in pairs]
        return [-s for s in steps], new

    return InnerOptimizer(init, update)
