"""Weights trained until all tasks' gradients have fitting lengths."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss.checks import check_non_negative
from keras_metaloss.losses.weighting.base import TaskWeighting, TaskWeights
from keras_metaloss.losses.weighting.numerics import gradient_norms, tiny

__all__ = ["GradNorm"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class GradNorm(TaskWeighting):
    """Trains the weights so that tasks learn at similar rates.

    `L_grad = sum_k | w_k n_k - m r_k^alpha |`, with `n_k` the norm of task k's gradient
    of the shared parameters, `m` the mean of `w_k n_k` over tasks, and
    `r_k = (L_k / L_k(0)) / mean_j (L_j / L_j(0))` how far the task is behind the
    others; `m r_k^alpha` counts as a constant. After each training step
    `w <- w - learning_rate * grad L_grad / m`, then w is scaled to add up to K.
    Dividing by m makes the step independent of the scale of the losses; the paper
    leaves open how the gradient is used.

    The paper compares gradients of the last shared layer only, which is cheaper:
    `kml.MultiTaskModel(..., shared=["name_of_layer"])`. `L_k(0)` is the first batch's
    loss. A task whose gradient is exactly zero (a batch with no label for it) keeps its
    weight up to the scaling.

    Args:
        alpha: strength of pulling back tasks that learn faster; 0 makes all norms
            equal.
        learning_rate: of the weights.
        name: name of the layer.

    Raises:
        ValueError: if an argument is negative or not a number.

    Example:

    >>> import tensorflow as tf
    >>> weighting = GradNorm(alpha=0.0, learning_rate=0.1)
    >>> weighting.attach(["a", "b"])
    >>> losses, norms = tf.constant([1.0, 1.0]), tf.constant([3.0, 1.0])
    >>> weighting.update(losses, tf.linalg.diag(norms**2))
    >>> print(weighting.weigh(losses).shared)             # from (0.85, 1.05)
    tf.Tensor([0.8947... 1.1052...], shape=(2,), dtype=float32)

    Reference:
        Chen, Badrinarayanan, Lee, Rabinovich: GradNorm, ICML 2018, equation 2 and
        algorithm 1.
    """

    needs_gradients = True

    #: Weights do not fall below this part of an equal share.
    floor = 1e-3

    def __init__(
        self,
        alpha: float = 1.5,
        learning_rate: float = 0.025,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.alpha = check_non_negative("alpha", alpha)
        self.learning_rate = check_non_negative("learning_rate", learning_rate)

    def create_variables(self) -> None:
        shape = (len(self.tasks),)
        self.task_weights = self.add_state("task_weights", shape, 1.0)
        # Zero: not seen yet.
        self.initial_losses = self.add_state("initial_losses", shape)

    def weigh(
        self, losses: tf.Tensor, products: tf.Tensor | None = None
    ) -> TaskWeights:
        weights = tf.convert_to_tensor(self.task_weights)
        return TaskWeights(weights, weights)

    def update(self, losses: tf.Tensor, products: tf.Tensor | None = None) -> None:
        weights = tf.convert_to_tensor(self.task_weights)
        norms = gradient_norms(products)
        # Losses scaled for half precision may overflow for a step.
        finite = tf.reduce_all(tf.math.is_finite(norms))
        present = tf.logical_and(norms > 0, finite)
        norms = tf.where(present, norms, 0.0)
        initial = tf.convert_to_tensor(self.initial_losses)
        unseen = tf.logical_and(present, tf.equal(initial, 0))
        initial = tf.where(unseen, losses, initial)
        self.initial_losses.assign(initial)

        progress = tf.where(present, losses / tf.where(present, initial, 1.0), 0.0)
        mean = _mean(weights * norms, present)
        rate = progress / tf.maximum(_mean(progress, present), tiny(losses.dtype))
        target = mean * tf.pow(tf.maximum(rate, 0.0), self.alpha)
        gradient = tf.sign(weights * norms - target) * norms
        step = gradient / tf.maximum(mean, tiny(losses.dtype))
        stepped = tf.maximum(weights - self.learning_rate * step, self.floor)
        self.task_weights.assign(len(self.tasks) * stepped / tf.reduce_sum(stepped))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "alpha": self.alpha,
            "learning_rate": self.learning_rate,
        }


def _mean(values, present):
    """Mean over the tasks that are there."""
    count = tf.reduce_sum(tf.cast(present, values.dtype))
    return tf.reduce_sum(tf.where(present, values, 0.0)) / tf.maximum(count, 1.0)
