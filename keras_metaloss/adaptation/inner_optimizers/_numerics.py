"""Computations that several inner optimizers share."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss.adaptation.inner_optimizers.inner_optimizer import Rate, Weights

__all__ = ["average", "rate_at", "zeros"]


def zeros(weights: Weights) -> Weights:
    """Returns a zero tensor per weight."""
    return [tf.zeros_like(w) for w in weights]


def average(old: Weights, new: Weights, decay: float) -> Weights:
    """Returns exponential moving averages of `old` and `new`."""
    return [decay * o + (1.0 - decay) * n for o, n in zip(old, new, strict=True)]


def rate_at(learning_rate: Rate, state: dict[str, Any], like: tf.Tensor) -> tf.Tensor:
    """Returns the learning rate at the step in `state`, in the dtype of `like`."""
    if isinstance(learning_rate, keras.optimizers.schedules.LearningRateSchedule):
        return tf.cast(learning_rate(state["step"]), like.dtype)
    if tf.is_tensor(learning_rate):
        return tf.cast(learning_rate, like.dtype)
    # `tf.cast` would round the value to float32 first.
    return tf.constant(learning_rate, like.dtype)
