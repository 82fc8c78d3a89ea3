"""Metrics that a `MultiTaskModel` logs for each task."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss import _compat

__all__ = ["MultiTaskMetrics"]


class MultiTaskMetrics:
    """Means of the loss and of the weight of each task.

    The loss of a task is averaged over its labels, the other metrics over examples.

    Args:
        tasks: Names of the tasks.
    """

    def __init__(self, tasks: Iterable[str] = ()) -> None:
        tasks = list(tasks)
        self._losses = [keras.metrics.Mean(name=f"{task}_loss") for task in tasks]
        self._weights = [keras.metrics.Mean(name=f"{task}_weight") for task in tasks]
        # Mean over examples of the objective of each batch; not logged.
        self._objective = keras.metrics.Mean(name="objective_of_batches")

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Metrics to be reset by Keras."""
        return [*self._losses, *self._weights, self._objective]

    def in_training(self, results: dict[str, Any]) -> dict[str, Any]:
        """Returns the results that training logs."""
        name = self._objective.name
        return {key: value for key, value in results.items() if key != name}

    def in_evaluation(
        self, results: dict[str, Any], objective: Callable[[tf.Tensor], tf.Tensor]
    ) -> dict[str, Any]:
        """Returns the results that evaluation logs, without weights.

        `loss` becomes the objective of the logged losses of the tasks. The mean of the
        objectives of the batches would depend on the batch in which each label is.
        """
        names = {metric.name for metric in (*self._weights, self._objective)}
        logged = {k: value for k, value in results.items() if k not in names}
        by_batches = results.get(self._objective.name)
        if by_batches is not None and self._losses:
            means = tf.stack([results[metric.name] for metric in self._losses])
            loss = results["loss"] + objective(means) - by_batches
            logged["loss"] = float(loss) if tf.executing_eagerly() else loss
        return logged

    def update_losses(
        self,
        losses: Sequence[tf.Tensor],
        counts: Sequence[tf.Tensor],
        objective: tf.Tensor,
        rows: tf.Tensor,
    ) -> None:
        """Adds the losses of one batch.

        Args:
            losses: Losses of the tasks, scalars divided by the number of replicas.
            counts: Number of labels of each task in the batch.
            objective: Objective of the batch, divided by the number of replicas.
            rows: Number of examples of the batch.
        """
        unscale = _compat.unscale_loss_for_distribution
        for metric, loss, count in zip(self._losses, losses, counts, strict=True):
            metric.update_state(unscale(loss), count)
        self._objective.update_state(unscale(objective), rows)

    def update_weights(self, weights: tf.Tensor) -> None:
        """Adds the weights of one step, `[K]`."""
        for metric, weight in zip(self._weights, tf.unstack(weights), strict=True):
            # A step that loss scaling skips has no finite weights.
            is_finite = tf.math.is_finite(weight)
            weight = tf.where(is_finite, weight, tf.zeros_like(weight))
            metric.update_state(weight, tf.cast(is_finite, weight.dtype))
