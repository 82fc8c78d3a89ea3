"""Weights learned as the noise of each task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss.losses.weighting.base import TaskWeighting

__all__ = ["UncertaintyWeighting"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class UncertaintyWeighting(TaskWeighting):
    """Learns the noise `sigma_k` of each task, and weighs the task by it.

    `L = sum_k L_k / (2 sigma_k^2) + log sigma_k` for regression and
    `L = sum_k L_k / sigma_k^2 + log sigma_k` for classification; trained is
    `s_k = log sigma_k^2`, from zero, by the model's own optimizer.

    The two denominators come from a Gaussian likelihood with `L_k` the squared error,
    and from a softmax whose logits are divided by `sigma_k^2` with `L_k` the
    cross-entropy (there an approximation, exact at `sigma_k = 1`). Which one is used
    matters little: at the best `s_k` the weight of a task is `1 / (2 L_k)` with either,
    and only `s_k` itself differs, by log 2.

    Losses should be positive. `L` is a negative log-likelihood up to a constant and
    falls below zero as the losses get small. A loss of exactly zero (a batch with no
    label for the task) leaves its `s_k` alone. An optimizer with weight decay should
    leave it out: `optimizer.exclude_from_weight_decay(var_names=["log_variance"])`.

    Args:
        classification: names of the tasks with the denominator of classification; all
            others have that of regression.
        name: name of the layer.

    Raises:
        ValueError: on use, if `classification` names a task that is not there.

    Example:

    >>> import tensorflow as tf
    >>> weighting = UncertaintyWeighting(classification=["digit"])
    >>> weighting.attach(["digit", "ink"])
    >>> print(weighting.weigh(tf.constant([2.3, 0.1])).shared)
    tf.Tensor([1.  0.5], shape=(2,), dtype=float32)

    Reference:
        Kendall, Gal, Cipolla: Multi-task learning using uncertainty to weigh losses for
        scene geometry and semantics, CVPR 2018, equations 7 (regression) and 10.
    """

    def __init__(
        self, classification: Sequence[str] = (), *, name: str | None = None
    ) -> None:
        super().__init__(name=name)
        if isinstance(classification, str) or not all(
            isinstance(task, str) for task in classification
        ):
            raise ValueError(
                "Invalid value for argument `classification`. Expected a list of task "
                f"names. Received: classification={classification!r}"
            )
        self.classification = tuple(classification)

    def create_variables(self) -> None:
        unknown = sorted(set(self.classification) - set(self.tasks))
        if unknown:
            raise ValueError(
                "Invalid value for argument `classification`. Expected names among the "
                f"tasks {self.tasks}. Received: classification="
                f"{list(self.classification)!r}, of which {unknown} are unknown"
            )
        self.log_variance = self.add_weight(
            name="log_variance",
            shape=(len(self.tasks),),
            initializer="zeros",
        )

    def objective(self, losses: tf.Tensor) -> tf.Tensor:
        factors = [1.0 if t in self.classification else 0.5 for t in self.tasks]
        log_variance = tf.convert_to_tensor(self.log_variance)
        misfit = tf.constant(factors, losses.dtype) * tf.exp(-log_variance) * losses
        barrier = tf.where(tf.not_equal(losses, 0), 0.5 * log_variance, 0.0)
        return tf.reduce_sum(misfit + barrier)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "classification": list(self.classification)}
