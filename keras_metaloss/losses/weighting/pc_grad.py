"""Gradient surgery: projection of conflicting gradients (PCGrad)."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss._utils.checks import check_seed
from keras_metaloss.losses.weighting._numerics import step_uniform
from keras_metaloss.losses.weighting.task_weighting import TaskWeighting, TaskWeights

__all__ = ["PCGrad"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class PCGrad(TaskWeighting):
    """Gradient surgery: projects conflicting gradients onto each other's normal planes.

    For each task i, `p_i = g_i`. Then, for the other tasks j in random order, if
    `p_i . g_j < 0`: `p_i <- p_i - (p_i . g_j) / |g_j|^2 g_j`. Shared parameters get
    `sum_i p_i`, specific parameters the gradient of their own task. Without conflicts
    this is the gradient of the sum of the losses.

    Each `p_i` is a linear combination of the gradients. Its coefficients depend only on
    their inner products.

    Args:
        seed: Seed of the random orders, a non-negative integer. Defaults to `0`.
        name: Name of the layer. Defaults to `None`, which generates one.

    Raises:
        ValueError: If `seed` is not a non-negative integer.

    Example:

    >>> import tensorflow as tf
    >>> weighting = PCGrad()
    >>> weighting.build_for(["a", "b"])
    >>> products = tf.constant([[1.0, -1.0], [-1.0, 2.0]])
    >>> print(weighting.compute_weights(tf.constant([1.0, 1.0]), products).shared)
    tf.Tensor([2.  1.5], shape=(2,), dtype=float32)

    Reference:
        Yu et al.: Gradient surgery for multi-task learning, NeurIPS 2020, algorithm 1.
    """

    needs_gradients = True

    def __init__(self, seed: int = 0, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.seed = check_seed(seed)

    def create_variables(self) -> None:
        self.step = self.add_state("step", (), dtype="int64")

    def compute_weights(
        self, losses: tf.Tensor, products: tf.Tensor | None = None
    ) -> TaskWeights:
        count = len(self.tasks)
        draws = step_uniform(self.seed, self.step, (count, count))
        order = tf.argsort(draws, axis=1)
        shared = tf.reduce_sum(project_conflicts(products, order), axis=0)
        return TaskWeights(shared, tf.ones_like(losses))

    def update(self, losses: tf.Tensor, products: tf.Tensor | None = None) -> None:
        self.step.assign(self.step + 1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}


def project_conflicts(products: tf.Tensor, order: tf.Tensor) -> tf.Tensor:
    """Projects each gradient onto the normal planes of the gradients it conflicts with.

    Args:
        products: `[K, K]`, inner products of the gradients.
        order: `[K, K]`. Row i is the order in which gradient i is compared with the
            others.

    Returns:
        `[K, K]`. Row i has the coefficients of `p_i` as a combination of the gradients.
    """
    count = products.shape[0]
    squares = tf.linalg.diag_part(products)
    rows = tf.range(count)
    coefficients = tf.eye(count, dtype=products.dtype)
    for position in range(count):
        other = order[:, position]
        along = tf.reduce_sum(coefficients * tf.gather(products, other), axis=1)
        conflict = tf.logical_and(along < 0, tf.not_equal(other, rows))
        square = tf.where(conflict, tf.gather(squares, other), 1.0)
        share = tf.where(conflict, along / square, 0.0)
        one_hot = tf.one_hot(other, count, dtype=products.dtype)
        coefficients -= share[:, tf.newaxis] * one_hot
    return coefficients
