"""RMSprop."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

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
        rho: Decay rate of the moving averages. Defaults to `0.9`.
        momentum: Momentum. Defaults to `0.0`.
        epsilon: Constant added to the mean square. Defaults to `1e-7`.
        centered: Whether to divide by the standard deviation of the gradient instead
            of its root mean square. Defaults to `False`.

    Returns:
        An `InnerOptimizer`.

    Example:

    >>> import tensorflow as tf
    >>> optimizer, weights = rmsprop(0.1, rho=0.75), [tf.constant([1.0])]
    >>> updates, _ = optimizer.update([tf.constant([3.0])], optimizer.init(weights),
    ...                               weights)
    >>> round(float(updates[0][0]), 4)
    -0.2
    """

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
