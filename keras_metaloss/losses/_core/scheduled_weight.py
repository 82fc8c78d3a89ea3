"""Constant and scheduled weights of loss terms."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss._utils.checks import check_non_negative

__all__ = ["Schedule", "check_scheduled_weight", "scheduled_value"]

Schedule = keras.optimizers.schedules.LearningRateSchedule


def check_scheduled_weight(name: str, weight: Any) -> float:
    """Validates a non-negative weight and returns its highest value.

    Args:
        name: Name of the argument.
        weight: A number, or a schedule of the optimizer's iterations, which is
            evaluated at selected steps.

    Raises:
        ValueError: If the weight is not a number or can be negative.
    """
    if not isinstance(weight, Schedule):
        return check_non_negative(name, weight)
    steps = sorted({0, *(int(1.3**i) for i in range(70))})
    values = [float(weight(step)) for step in steps]
    if min(values) < 0:
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected a schedule of non-negative "
            f"numbers. Received: {name}={weight!r}, with the value {min(values)}"
        )
    return max(values)


def scheduled_value(
    weight: float | keras.optimizers.schedules.LearningRateSchedule,
    step: Any,
    dtype: Any,
) -> tf.Tensor:
    """Returns the weight at a step as a scalar tensor."""
    if isinstance(weight, Schedule):
        return tf.cast(weight(step), dtype)
    return tf.constant(weight, dtype)
