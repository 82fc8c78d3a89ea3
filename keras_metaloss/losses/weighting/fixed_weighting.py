"""Constant task weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss._utils.checks import check_non_negative
from keras_metaloss.losses.weighting.task_weighting import TaskWeighting

__all__ = ["FixedWeighting"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class FixedWeighting(TaskWeighting):
    """Constant weight for each task.

    `L = sum_k w_k L_k`, like `loss_weights` in Keras.

    Args:
        weights: Dictionary with one non-negative weight per task, by task name.
            Defaults to `None`, which gives each task the weight 1.
        name: Name of the layer. Defaults to `None`, which generates one.

    Raises:
        ValueError: If `weights` is not a dictionary, or if a weight is negative or not
            a finite number. `build_for` raises it if the names are not those of the
            tasks.

    Example:

    >>> import tensorflow as tf
    >>> weighting = FixedWeighting({"age": 2.0, "name": 0.5})
    >>> weighting.build_for(["age", "name"])
    >>> print(weighting.compute_weights(tf.constant([3.0, 4.0])).shared)
    tf.Tensor([2.  0.5], shape=(2,), dtype=float32)
    """

    def __init__(
        self, weights: Mapping[str, float] | None = None, *, name: str | None = None
    ) -> None:
        super().__init__(name=name)
        if weights is not None:
            if not isinstance(weights, Mapping):
                raise ValueError(
                    "Invalid value for argument `weights`. Expected a dictionary of "
                    f"weights by task name, or None. Received: weights={weights!r}"
                )
            weights = {
                key: check_non_negative("weights", value)
                for key, value in weights.items()
            }
        self.weights_by_task = weights

    def create_variables(self) -> None:
        weights = self.weights_by_task
        if weights is not None and set(weights) != set(self.tasks):
            raise ValueError(
                "Invalid value for argument `weights`. Expected one weight for each of "
                f"the tasks {self.tasks}. Received: weights={dict(weights)!r}"
            )

    def objective(self, losses: tf.Tensor) -> tf.Tensor:
        if self.weights_by_task is None:
            return tf.reduce_sum(losses)
        weights = [self.weights_by_task[task] for task in self.tasks]
        return tf.reduce_sum(tf.constant(weights, losses.dtype) * losses)

    def get_config(self) -> dict[str, Any]:
        weights = self.weights_by_task
        return {
            **super().get_config(),
            "weights": None if weights is None else dict(weights),
        }
