"""Random task weights, drawn in every step."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss._utils.checks import check_seed
from keras_metaloss.losses.weighting._numerics import step_uniform
from keras_metaloss.losses.weighting.task_weighting import TaskWeighting, TaskWeights

__all__ = ["RandomLossWeighting"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class RandomLossWeighting(TaskWeighting):
    """Random weights, drawn independently in every step. A baseline for other methods.

    `w = softmax(z)` with standard normal `z_k`, so that the weights sum to 1.

    Args:
        seed: Seed of the random numbers, a non-negative integer. Defaults to `0`.
        name: Name of the layer. Defaults to `None`, which generates one.

    Raises:
        ValueError: If `seed` is not a non-negative integer.

    Example:

    >>> import tensorflow as tf
    >>> weighting = RandomLossWeighting(seed=1)
    >>> weighting.build_for(["a", "b"])
    >>> float(tf.reduce_sum(weighting.compute_weights(tf.constant([1.0, 2.0])).shared))
    1.0

    Reference:
        Lin, Ye, Zhang, Tsang: Reasonable effectiveness of random weighting, TMLR 2022,
        algorithm 1 with the normal distribution.
    """

    def __init__(self, seed: int = 0, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.seed = check_seed(seed)

    def create_variables(self) -> None:
        self.step = self.add_state("step", (), dtype="int64")

    def compute_weights(
        self, losses: tf.Tensor, products: tf.Tensor | None = None
    ) -> TaskWeights:
        uniform = step_uniform(self.seed, self.step, (len(self.tasks),))
        normal = tf.cast(tf.math.ndtri(uniform), losses.dtype)
        weights = tf.nn.softmax(normal)
        return TaskWeights(weights, weights)

    def update(self, losses: tf.Tensor, products: tf.Tensor | None = None) -> None:
        self.step.assign(self.step + 1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}
