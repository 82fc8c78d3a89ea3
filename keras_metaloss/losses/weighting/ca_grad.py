"""Conflict-averse gradient descent (CAGrad)."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss._utils.checks import check_non_negative
from keras_metaloss.losses.weighting._numerics import epsilon, tiny
from keras_metaloss.losses.weighting._simplex import minimize_on_simplex
from keras_metaloss.losses.weighting.task_weighting import TaskWeighting, TaskWeights

__all__ = ["CAGrad"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class CAGrad(TaskWeighting):
    """Conflict-averse gradient descent: favors the task that improves least.

    Shared parameters get the d that maximizes `min_k d . g_k` subject to
    `|d - g_0| <= c |g_0|`, with `g_0` the mean of the gradients. By duality
    `d = g_0 + c |g_0| / |g_w| g_w` with `g_w = sum_k w_k g_k`, where w minimizes
    `g_w . g_0 + c |g_0| |g_w|` over the simplex. Specific parameters get `1 / K` times
    the gradient of their task, so that `c = 0` is gradient descent on the mean of the
    losses. For `c < 1` the method converges to a minimum of that mean.

    A task whose gradient is exactly zero (a batch without labels for the task) is left
    out of `g_w`.

    Args:
        c: Non-negative radius of the constraint, relative to the norm of the mean
            gradient. `0` gives the mean gradient. As `c` grows, the direction
            approaches that of `kml.losses.weighting.MGDA`. Defaults to `0.5`.
        name: Name of the layer. Defaults to `None`, which generates one.

    Raises:
        ValueError: If `c` is negative or not a finite number.

    Example:

    >>> import tensorflow as tf
    >>> weighting = CAGrad(c=0.5)
    >>> weighting.build_for(["a", "b"])
    >>> products = tf.constant([[1.0, 0.0], [0.0, 1.0]])
    >>> print(weighting.compute_weights(tf.constant([1.0, 1.0]), products).shared)
    tf.Tensor([0.75 0.75], shape=(2,), dtype=float32)

    Reference:
        Liu, Liu, Jin, Stone, Liu: Conflict-averse gradient descent for multi-task
        learning, NeurIPS 2021, equations 3 and 4, algorithm 1. The authors' code
        divides d by `1 + c^2`; this implementation does not.
    """

    needs_gradients = True

    def __init__(self, c: float = 0.5, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.c = check_non_negative("c", c)

    def compute_weights(
        self, losses: tf.Tensor, products: tf.Tensor | None = None
    ) -> TaskWeights:
        mean = tf.fill(losses.shape, tf.constant(1 / len(self.tasks), losses.dtype))
        turn = conflict_averse_turn(products, tf.constant(self.c, losses.dtype))
        return TaskWeights(mean + turn, mean)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "c": self.c}


# Compiled, because without XLA a loop of scalar operations takes 100 times as long.
@tf.function(jit_compile=True, autograph=False)
def conflict_averse_turn(products: tf.Tensor, c: tf.Tensor) -> tf.Tensor:
    """Computes the weights that CAGrad adds to `1 / K`: `c |g_0| / |g_w| w`.

    Args:
        products: `[K, K]`, inner products of the gradients.
        c: Radius of the constraint, relative to `|g_0|`.

    Returns:
        `[K]`.
    """
    dtype = products.dtype
    squares = tf.linalg.diag_part(products)
    products /= tf.maximum(tf.reduce_max(squares), tiny(dtype))
    with_mean = tf.reduce_mean(products, axis=1)
    length = c * tf.sqrt(tf.maximum(tf.reduce_mean(with_mean), 0.0))
    min_square = tf.constant(epsilon(dtype), dtype)

    def norm(w: tf.Tensor) -> tf.Tensor:
        square = tf.tensordot(w, tf.linalg.matvec(products, w), 1)
        return tf.sqrt(tf.maximum(square, min_square))

    def gradient(w: tf.Tensor) -> tf.Tensor:
        return with_mean + length / norm(w) * tf.linalg.matvec(products, w)

    def line_search(w: tf.Tensor, d: tf.Tensor) -> tf.Tensor:
        # Along d the objective is a + b t + length sqrt(p + 2 q t + r t^2). Where its
        # derivative is zero, u = q + r t satisfies
        # u = -b sqrt((p r - q^2) / (length^2 r - b^2)).
        b = tf.tensordot(d, with_mean, 1)
        p = tf.square(norm(w))
        q = tf.tensordot(d, tf.linalg.matvec(products, w), 1)
        r = tf.tensordot(d, tf.linalg.matvec(products, d), 1)
        determinant = tf.maximum(p * r - q * q, 0.0)
        denominator = length * length * r - b * b
        u = -b * tf.sqrt(determinant / tf.maximum(denominator, tiny(dtype)))
        inner = (u - q) / tf.maximum(r, tiny(dtype))
        # If `denominator <= 0`, the objective decreases for all t.
        return tf.where(denominator > 0, tf.maximum(inner, 0.0), float("inf"))

    weights = minimize_on_simplex(
        gradient,
        line_search,
        scale=lambda w: tf.reduce_mean(with_mean),
        allowed=squares > 0,
        dtype=dtype,
    )
    return length / norm(weights) * weights
