"""Metrics that a `MultiTaskModel` logs for each task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss import _compat

__all__ = ["MultiTaskMetrics"]


class MultiTaskMetrics:
    """Means of the loss and of the weight of each task.

    Args:
        tasks: Names of the tasks.
    """

    def __init__(self, tasks: Iterable[str] = ()) -> None:
        tasks = list(tasks)
        self._losses = [keras.metrics.Mean(name=f"{task}_loss") for task in tasks]
        self._weights = [keras.metrics.Mean(name=f"{task}_weight") for task in tasks]

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Metrics to be reset by Keras."""
        return self._losses + self._weights

    def without_weights(self, results: dict[str, Any]) -> dict[str, Any]:
        """Returns results without those of weights, which only training updates."""
        names = {metric.name for metric in self._weights}
        return {name: value for name, value in results.items() if name not in names}

    def update_losses(self, losses: Sequence[tf.Tensor], count: tf.Tensor) -> None:
        """Adds the losses of one batch.

        Args:
            losses: Losses of the tasks, scalars divided by the number of replicas.
            count: Number of examples of the batch.
        """
        for metric, loss in zip(self._losses, losses, strict=True):
            metric.update_state(_compat.unscale_loss_for_distribution(loss), count)

    def update_weights(self, weights: tf.Tensor) -> None:
        """Adds the weights of one step, `[K]`."""
        for metric, weight in zip(self._weights, tf.unstack(weights), strict=True):
            # A step that loss scaling skips has no finite weights.
            is_finite = tf.math.is_finite(weight)
            weight = tf.where(is_finite, weight, tf.zeros_like(weight))
            metric.update_state(weight, tf.cast(is_finite, weight.dtype))
