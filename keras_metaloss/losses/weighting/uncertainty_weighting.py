"""Task weights from learned noise variances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss.losses.weighting.task_weighting import TaskWeighting

__all__ = ["UncertaintyWeighting"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class UncertaintyWeighting(TaskWeighting):
    """Uncertainty weighting: learns the noise scale `sigma_k` of each task.

    `L = sum_k L_k / (2 sigma_k^2) + log sigma_k` for regression and
    `L = sum_k L_k / sigma_k^2 + log sigma_k` for classification, with natural
    logarithms. The parameters are `s_k = log sigma_k^2`, initialized to zero and
    trained by the model's optimizer.

    The two denominators come from a Gaussian likelihood with `L_k` the squared error,
    and from a softmax whose logits are divided by `sigma_k^2` with `L_k` the
    cross-entropy (an approximation, exact at `sigma_k = 1`). At the optimal `s_k` the
    weight of a task is `1 / (2 L_k)` with either denominator; only `s_k` differs, by
    log 2.

    Losses should be positive. `L` is a negative log-likelihood up to a constant and
    becomes negative for small losses. A loss of exactly zero (a batch without labels
    for the task) does not change its `s_k`. Exclude the parameters from weight decay:
    `optimizer.exclude_from_weight_decay(var_names=["log_variance"])`.

    Args:
        classification: Names of the classification tasks. All other tasks use the
            denominator of regression. Defaults to `()`.
        name: Name of the layer. Defaults to `None`, which generates one.

    Raises:
        ValueError: If `classification` is not a list of task names. `build_for` raises
            it if `classification` contains an unknown task.

    Example:

    >>> import tensorflow as tf
    >>> weighting = UncertaintyWeighting(classification=["digit"])
    >>> weighting.build_for(["digit", "ink"])
    >>> print(weighting.compute_weights(tf.constant([2.3, 0.1])).shared)
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
                "Invalid value for argument `classification`. Expected names of "
                f"the tasks {self.tasks}. Received: classification="
                f"{list(self.classification)!r} with the unknown names {unknown}"
            )
        self.log_variance = self.add_weight(
            name="log_variance",
            shape=(len(self.tasks),),
            initializer="zeros",
        )

    def objective(self, losses: tf.Tensor) -> tf.Tensor:
        factors = [1.0 if t in self.classification else 0.5 for t in self.tasks]
        log_variance = tf.convert_to_tensor(self.log_variance)
        weighted = tf.constant(factors, losses.dtype) * tf.exp(-log_variance) * losses
        barrier = tf.where(tf.not_equal(losses, 0), 0.5 * log_variance, 0.0)
        return tf.reduce_sum(weighted + barrier)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "classification": list(self.classification)}
