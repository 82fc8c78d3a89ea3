"""Adam and AdamW."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_metaloss._utils.checks import check_decay_rate, check_positive
from keras_metaloss.adaptation.inner_optimizers._checks import check_rate
from keras_metaloss.adaptation.inner_optimizers._numerics import average, rate_at, zeros
from keras_metaloss.adaptation.inner_optimizers._weight_decay import with_weight_decay
from keras_metaloss.adaptation.inner_optimizers.inner_optimizer import (
    InnerOptimizer,
    Rate,
    Weights,
)

__all__ = ["adam", "adamw"]


def adam(
    learning_rate: Rate,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
) -> InnerOptimizer:
    """Creates Adam: `w -= rate_t * m / sqrt(v + epsilon ** 2)`.

    `rate_t = rate * sqrt(1 - beta_2 ** t) / (1 - beta_1 ** t)`.

    Args:
        learning_rate: Inner step size: a float, scalar tensor or Keras schedule.
        beta_1: Decay rate of the mean gradient m, at least 0 and less than 1. The
            Reptile paper uses 0. Defaults to `0.9`.
        beta_2: Decay rate of the mean square v, at least 0 and less than 1. Defaults
            to `0.999`.
        epsilon: Positive constant for numerical stability. Defaults to `1e-7`.

    Returns:
        An `InnerOptimizer`.

    Raises:
        ValueError: If an argument is invalid.

    Example:

    >>> import tensorflow as tf
    >>> optimizer, weights = adam(0.1), [tf.constant([1.0])]
    >>> updates, _ = optimizer.update([tf.constant([3.0])], optimizer.init(weights),
    ...                               weights)
    >>> round(float(updates[0][0]), 4)
    -0.1

    Reference:
        Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015, section 2.
    """
    learning_rate = check_rate(learning_rate)
    beta_1 = check_decay_rate("beta_1", beta_1)
    beta_2 = check_decay_rate("beta_2", beta_2)
    epsilon = check_positive("epsilon", epsilon)

    def init(weights: Weights) -> dict[str, Any]:
        return {
            "step": tf.constant(0, tf.int32),
            "mean": zeros(weights),
            "velocity": zeros(weights),
        }

    def update(
        gradients: Weights, state: dict[str, Any], weights: Weights
    ) -> tuple[Weights, dict[str, Any]]:
        del weights
        mean = average(state["mean"], gradients, beta_1)
        squares = [tf.square(g) for g in gradients]
        velocity = average(state["velocity"], squares, beta_2)
        updates = [
            -_adam_rate(learning_rate, state, m, beta_1, beta_2)
            * m
            * tf.math.rsqrt(v + epsilon**2)
            for m, v in zip(mean, velocity, strict=True)
        ]
        step = state["step"] + 1
        return updates, {"step": step, "mean": mean, "velocity": velocity}

    return InnerOptimizer(init, update)


def adamw(
    learning_rate: Rate,
    weight_decay: float = 0.004,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
) -> InnerOptimizer:
    """Creates AdamW: Adam with decoupled weight decay `w -= rate * weight_decay * w`.

    Args:
        learning_rate: Inner step size: a float, scalar tensor or Keras schedule.
        weight_decay: Non-negative weight decay coefficient. Defaults to `0.004`.
        beta_1: Decay rate of the mean gradient, at least 0 and less than 1. Defaults
            to `0.9`.
        beta_2: Decay rate of the mean square, at least 0 and less than 1. Defaults to
            `0.999`.
        epsilon: Positive constant for numerical stability. Defaults to `1e-7`.

    Returns:
        An `InnerOptimizer`.

    Raises:
        ValueError: If an argument is invalid.

    Example:

    >>> import tensorflow as tf
    >>> optimizer, weights = adamw(0.1, weight_decay=0.5), [tf.constant([1.0])]
    >>> updates, _ = optimizer.update([tf.constant([3.0])], optimizer.init(weights),
    ...                               weights)
    >>> round(float(updates[0][0]), 4)
    -0.15

    Reference:
        Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019.
    """
    inner = adam(learning_rate, beta_1, beta_2, epsilon)
    return with_weight_decay(inner, learning_rate, weight_decay)


def _adam_rate(
    learning_rate: Rate,
    state: dict[str, Any],
    like: tf.Tensor,
    beta_1: float,
    beta_2: float,
) -> tf.Tensor:
    time = tf.cast(state["step"] + 1, like.dtype)
    decay_1 = tf.pow(tf.constant(beta_1, like.dtype), time)
    decay_2 = tf.pow(tf.constant(beta_2, like.dtype), time)
    rate = rate_at(learning_rate, state, like)
    return rate * tf.sqrt(1.0 - decay_2) / (1.0 - decay_1)
