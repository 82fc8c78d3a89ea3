"""Validation of the arguments of inner optimizers."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss._utils.checks import check_non_negative
from keras_metaloss.adaptation.inner_optimizers.inner_optimizer import Rate

__all__ = ["check_momentum", "check_rate"]


def check_rate(learning_rate: Any) -> Rate:
    """Returns a learning rate: a schedule, a scalar tensor or a non-negative float."""
    if isinstance(learning_rate, keras.optimizers.schedules.LearningRateSchedule):
        return learning_rate
    if tf.is_tensor(learning_rate) and learning_rate.shape.rank in (0, None):
        return learning_rate
    return check_non_negative("learning_rate", learning_rate)


def check_momentum(value: Any) -> float:
    """Returns the momentum as a `float`, or raises a `ValueError` outside of [0, 1]."""
    momentum = check_non_negative("momentum", value)
    if momentum > 1.0:
        raise ValueError(
            "Invalid value for argument `momentum`. Expected a number from 0 to 1. "
            f"Received: momentum={value!r}"
        )
    return momentum
