"""Task weights from learned noise variances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_metaloss._utils.checks import check_positive
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
    becomes negative for small losses. The optimizer changes `s_k` by about its learning
    rate per step. If the losses are far from 1, standardize the targets, or pass
    `initial_variances`. A loss of exactly zero (a batch without labels
    for the task) does not change its `s_k`. Exclude the parameters from weight decay:
    `optimizer.exclude_from_weight_decay(var_names=["log_variance"])`.

    Args:
        classification: Names of the classification tasks. All other tasks use the
            denominator of regression. Defaults to `()`.
        initial_variances: Dictionary of positive initial values of `sigma_k^2`, by
            task name, for example the losses before training. Defaults to `None`,
            which is 1 for all tasks.
        name: Name of the layer. Defaults to `None`, which generates one.

    Raises:
        ValueError: If `classification` is not a list of task names, or
            `initial_variances` not a dictionary of positive numbers. `build_for` raises
            it for names of unknown tasks.

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
        self,
        classification: Sequence[str] = (),
        *,
        initial_variances: Mapping[str, float] | None = None,
        name: str | None = None,
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
        self.initial_variances = _positive_numbers(initial_variances)

    def create_variables(self) -> None:
        for argument in ("classification", "initial_variances"):
            names = list(getattr(self, argument))
            unknown = sorted(set(names) - set(self.tasks))
            if unknown:
                raise ValueError(
                    f"Invalid value for argument `{argument}`. Expected names of "
                    f"the tasks {self.tasks}. Received: {argument} with the names "
                    f"{names}, of which {unknown} are unknown"
                )
        self.log_variance = self.add_weight(
            name="log_variance", shape=(len(self.tasks),), initializer="zeros"
        )
        variances = [self.initial_variances.get(task, 1.0) for task in self.tasks]
        self.log_variance.assign(np.log(variances))

    def objective(self, losses: tf.Tensor) -> tf.Tensor:
        factors = [1.0 if t in self.classification else 0.5 for t in self.tasks]
        log_variance = tf.convert_to_tensor(self.log_variance)
        weighted = tf.constant(factors, losses.dtype) * tf.exp(-log_variance) * losses
        barrier = tf.where(tf.not_equal(losses, 0), 0.5 * log_variance, 0.0)
        return tf.reduce_sum(weighted + barrier)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "classification": list(self.classification),
            "initial_variances": self.initial_variances,
        }


def _positive_numbers(values: Any) -> dict[str, float]:
    """Validates `initial_variances`."""
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise ValueError(
            "Invalid value for argument `initial_variances`. Expected a dictionary of "
            f"positive numbers by task name. Received: initial_variances={values!r}"
        )
    return {
        name: check_positive("initial_variances", value)
        for name, value in values.items()
    }
