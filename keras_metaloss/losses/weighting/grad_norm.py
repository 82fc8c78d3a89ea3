"""GradNorm: task weights trained to balance the norms of the tasks' gradients."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss._utils.checks import check_non_negative, check_positive
from keras_metaloss.losses.weighting._numerics import gradient_norms, tiny
from keras_metaloss.losses.weighting.task_weighting import TaskWeighting, TaskWeights

__all__ = ["GradNorm"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class GradNorm(TaskWeighting):
    """Gradient normalization: trains the weights so that tasks learn at similar rates.

    `L_grad = sum_k | w_k n_k - m r_k^alpha |`, with `n_k` the norm of task k's gradient
    with respect to the shared parameters, `m` the mean of `w_k n_k` over tasks, and
    `r_k = (L_k / L_k(0)) / mean_j (L_j / L_j(0))` the task's inverse training rate
    relative to the other tasks. `m r_k^alpha` is treated as a constant. After each
    training step `w <- w - learning_rate * grad L_grad / m`; then w is scaled to sum to
    K. The division by m makes the step independent of the scale of the losses. The
    paper does not specify the optimizer of the weights.

    The paper compares only the gradients of the last shared layer, which is cheaper:
    `kml.MultiTaskModel(..., shared=["name_of_layer"])`. `L_k(0)` is the loss of the
    first batch with labels for the task. If a task's gradient is exactly zero (a batch
    without labels for the task), its weight changes only by the scaling.

    Args:
        alpha: Non-negative strength with which tasks that learn faster are slowed down.
            `0` makes all gradient norms equal. Defaults to `1.5`.
        learning_rate: Non-negative learning rate of the weights. Defaults to `0.025`.
        floor: Positive lower bound of the weights before they are scaled to sum to K.
            The ratio of two weights is at most about `K / floor`: lower it, or
            standardize the targets, if the scales of the losses differ more. Defaults
            to `1e-3`.
        name: Name of the layer. Defaults to `None`, which generates one.

    Raises:
        ValueError: If `alpha` or `learning_rate` is negative or not a finite number,
            or if `floor` is not a positive finite number.

    Example:

    >>> import tensorflow as tf
    >>> weighting = GradNorm(alpha=0.0, learning_rate=0.1)
    >>> weighting.build_for(["a", "b"])
    >>> losses, norms = tf.constant([1.0, 1.0]), tf.constant([3.0, 1.0])
    >>> weighting.update(losses, tf.linalg.diag(norms**2))
    >>> print(weighting.compute_weights(losses).shared)        # scaled (0.85, 1.05)
    tf.Tensor([0.8947... 1.1052...], shape=(2,), dtype=float32)

    Reference:
        Chen, Badrinarayanan, Lee, Rabinovich: GradNorm, ICML 2018, equation 2 and
        algorithm 1.
    """

    needs_gradients = True

    def __init__(
        self,
        alpha: float = 1.5,
        learning_rate: float = 0.025,
        *,
        floor: float = 1e-3,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.alpha = check_non_negative("alpha", alpha)
        self.learning_rate = check_non_negative("learning_rate", learning_rate)
        self.floor = check_positive("floor", floor)

    def create_variables(self) -> None:
        shape = (len(self.tasks),)
        self.task_weights = self.add_state("task_weights", shape, 1.0)
        # Zero means that the task has had no labels yet.
        self.initial_losses = self.add_state("initial_losses", shape)

    def compute_weights(
        self, losses: tf.Tensor, products: tf.Tensor | None = None
    ) -> TaskWeights:
        weights = tf.convert_to_tensor(self.task_weights)
        return TaskWeights(weights, weights)

    def update(self, losses: tf.Tensor, products: tf.Tensor | None = None) -> None:
        weights = tf.convert_to_tensor(self.task_weights)
        norms = gradient_norms(products)
        # With loss scaling, gradients in half precision may overflow in a step.
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
            "floor": self.floor,
        }


def _mean(values: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    """Returns the mean over the tasks that are present."""
    count = tf.reduce_sum(tf.cast(present, values.dtype))
    return tf.reduce_sum(tf.where(present, values, 0.0)) / tf.maximum(count, 1.0)
