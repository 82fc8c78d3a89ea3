"""Inner optimizers as pairs of pure functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import keras
import tensorflow as tf

__all__ = ["InnerOptimizer", "Rate", "Weights"]

Weights = list[tf.Tensor]
Rate: TypeAlias = float | tf.Tensor | keras.optimizers.schedules.LearningRateSchedule


class InnerOptimizer(NamedTuple):
    """Pair of pure functions that defines an inner optimizer.

    Attributes:
        init: Function from weights to the initial state, a dictionary of tensors and
            lists of tensors.
        update: Function from `(gradients, state, weights)` to `(updates, state)`. The
            caller adds the updates to the weights.

    Example:

    >>> import tensorflow as tf
    >>> def update(gradients, state, weights):
    ...     return [-0.1 * tf.sign(g) for g in gradients], state
    >>> sign_descent = InnerOptimizer(init=lambda weights: {}, update=update)
    >>> updates, _ = sign_descent.update([tf.constant([3.0])], {}, [tf.constant([1.0])])
    >>> round(float(updates[0][0]), 4)
    -0.1
    """

    init: Callable[[Weights], dict[str, Any]]
    update: Callable[[Weights, dict[str, Any], Weights], tuple[Weights, dict[str, Any]]]
