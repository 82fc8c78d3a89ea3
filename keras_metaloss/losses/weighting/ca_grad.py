"""The mean gradient, turned towards the task that gains least."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss.checks import check_non_negative
from keras_metaloss.losses.weighting.base import TaskWeighting, TaskWeights
from keras_metaloss.losses.weighting.numerics import epsilon, tiny
from keras_metaloss.losses.weighting.simplex import minimize_on_simplex

__all__ = ["CAGrad"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class CAGrad(TaskWeighting):
    """Follows the mean gradient, but helps the task that gains least from it.

    Shared parameters get the d that maximises `min_k d . g_k` within
    `|d - g_0| <= c |g_0|`, with `g_0` the mean of the gradients. By duality
    `d = g_0 + c |g_0| / |g_w| g_w` with `g_w = sum_k w_k g_k` and w the minimum of
    `g_w . g_0 + c |g_0| |g_w|` over the simplex. Specific parameters get `1 / K` of
    their task's gradient, so that `c = 0` is descent on the mean of the losses; for
    `c < 1` the method converges to a minimum of that mean.

    A task whose gradient is exactly zero (a batch with no label for it) is left out of
    `g_w`.

    Args:
        c: how far to turn: 0 not at all; as it grows, ever closer to `kml.MGDA`'s
            direction.
        name: name of the layer.

    Raises:
        ValueError: if `c` is negative or not a number.

    Example:

    >>> import tensorflow as tf
    >>> weighting = CAGrad(c=0.5)
    >>> weighting.attach(["a", "b"])
    >>> products = tf.constant([[1.0, 0.0], [0.0, 1.0]])
    >>> print(weighting.weigh(tf.constant([1.0, 1.0]), products).shared)
    tf.Tensor([0.75 0.75], shape=(2,), dtype=float32)

    Reference:
        Liu, Liu, Jin, Stone, Liu: Conflict-averse gradient descent for multi-task
        learning, NeurIPS 2021, equations 3 and 4, algorithm 1. The division by
        `1 + c^2` in the authors' code is not made.
    """

    needs_gradients = True

    def __init__(self, c: float = 0.5, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.c = check_non_negative("c", c)

    def weigh(
        self, losses: tf.Tensor, products: tf.Tensor | None = None
    ) -> TaskWeights:
        mean = tf.fill(losses.shape, tf.constant(1 / len(self.tasks), losses.dtype))
        turn = conflict_averse_turn(products, tf.constant(self.c, losses.dtype))
        return TaskWeights(mean + turn, mean)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "c": self.c}


# Compiled, for outside of XLA a loop over single numbers costs a hundred times as much.
@tf.function(jit_compile=True, autograph=False)
def conflict_averse_turn(products: tf.Tensor, c: tf.Tensor) -> tf.Tensor:
    """What CAGrad adds to the weights of the mean gradient, `c |g_0| / |g_w| w`.

    Args:
        products: `[K, K]`, inner products of the gradients.
        c: how far to turn.

    Returns:
        `[K]`.
    """
    dtype = products.dtype
    squares = tf.linalg.diag_part(products)
    products /= tf.maximum(tf.reduce_max(squares), tiny(dtype))
    with_mean = tf.reduce_mean(products, axis=1)
    length = c * tf.sqrt(tf.maximum(tf.reduce_mean(with_mean), 0.0))
    least = tf.constant(epsilon(dtype), dtype)

    def norm(w):
        square = tf.tensordot(w, tf.linalg.matvec(products, w), 1)
        return tf.sqrt(tf.maximum(square, least))

    def gradient(w):
        return with_mean + length / norm(w) * tf.linalg.matvec(products, w)

    def line_search(w, d):
        # Along d the function is a + b t + length sqrt(p + 2 q t + r t^2); where its
        # derivative is zero, u = q + r t fulfils u = -b sqrt(D / (length^2 r - b^2)).
        b = tf.tensordot(d, with_mean, 1)
        p = tf.square(norm(w))
        q = tf.tensordot(d, tf.linalg.matvec(products, w), 1)
        r = tf.tensordot(d, tf.linalg.matvec(products, d), 1)
        bend = tf.maximum(p * r - q * q, 0.0)
        room = length * length * r - b * b
        u = -b * tf.sqrt(bend / tf.maximum(room, tiny(dtype)))
        inner = (u - q) / tf.maximum(r, tiny(dtype))
        # Without room the slope keeps its sign, and it is known to fall.
        return tf.where(room > 0, tf.maximum(inner, 0.0), float("inf"))

    weights = minimize_on_simplex(
        gradient,
        line_search,
        scale=lambda w: tf.reduce_mean(with_mean),
        allowed=squares > 0,
        dtype=dtype,
    )
    return length / norm(weights) * weights
