"""Dynamic weight averaging: weights from the rate at which each loss falls."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss._utils.checks import check_positive
from keras_metaloss.losses.weighting.task_weighting import TaskWeighting, TaskWeights

__all__ = ["DynamicWeightAverage"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class DynamicWeightAverage(TaskWeighting):
    """Dynamic weight averaging: larger weights for tasks whose loss falls more slowly.

    `w_k(t) = K softmax_k(r_k(t - 1) / T)` with `r_k(t - 1) = L_k(t - 1) / L_k(t - 2)`,
    where `L_k(t)` is the mean of the task's unweighted loss over epoch t. In the first
    two epochs all weights are 1. The weights sum to K.

    `fit` defines the epochs. A custom training loop calls `end_epoch()`. Steps in which
    a task's loss is exactly zero (no labels for the task) are left out of its mean.

    Args:
        temperature: Positive number T. Larger values give more uniform weights.
            Defaults to `2.0`.
        name: Name of the layer. Defaults to `None`, which generates one.

    Raises:
        ValueError: If `temperature` is not a positive finite number.

    Example:

    >>> import tensorflow as tf
    >>> weighting = DynamicWeightAverage()
    >>> weighting.build_for(["a", "b"])
    >>> for losses in ([1.0, 1.0], [0.5, 1.0]):           # only the first loss falls
    ...     weighting.update(tf.constant(losses))
    ...     weighting.end_epoch()
    >>> print(weighting.compute_weights(tf.constant([0.5, 1.0])).shared)
    tf.Tensor([0.8756... 1.1243...], shape=(2,), dtype=float32)

    Reference:
        Liu, Johns, Davison: End-to-end multi-task learning with attention, CVPR 2019,
        equation 7.
    """

    def __init__(self, temperature: float = 2.0, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.temperature = check_positive("temperature", temperature)

    def create_variables(self) -> None:
        shape = (len(self.tasks),)
        self.epoch_sum = self.add_state("epoch_sum", shape)
        self.epoch_count = self.add_state("epoch_count", shape)
        # Zero means that the mean is not known yet.
        self.last_mean = self.add_state("last_mean", shape)
        self.mean_before = self.add_state("mean_before", shape)

    def compute_weights(
        self, losses: tf.Tensor, products: tf.Tensor | None = None
    ) -> TaskWeights:
        last = tf.convert_to_tensor(self.last_mean)
        before = tf.convert_to_tensor(self.mean_before)
        known = tf.logical_and(tf.not_equal(last, 0), tf.not_equal(before, 0))
        ratio = tf.where(known, last / tf.where(known, before, 1.0), 1.0)
        weights = len(self.tasks) * tf.nn.softmax(ratio / self.temperature)
        return TaskWeights(weights, weights)

    def update(self, losses: tf.Tensor, products: tf.Tensor | None = None) -> None:
        self.epoch_sum.assign(self.epoch_sum + losses)
        present = tf.cast(tf.not_equal(losses, 0), losses.dtype)
        self.epoch_count.assign(self.epoch_count + present)

    def end_epoch(self) -> None:
        count = tf.convert_to_tensor(self.epoch_count)
        mean = self.epoch_sum / tf.maximum(count, 1.0)
        seen = count > 0
        self.mean_before.assign(tf.where(seen, self.last_mean, self.mean_before))
        self.last_mean.assign(tf.where(seen, mean, self.last_mean))
        self.epoch_sum.assign(tf.zeros_like(count))
        self.epoch_count.assign(tf.zeros_like(count))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}
