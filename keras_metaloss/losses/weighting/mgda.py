"""Multiple-gradient descent (MGDA)."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss._utils.checks import check_choice
from keras_metaloss.losses.weighting._numerics import epsilon, gradient_norms, tiny
from keras_metaloss.losses.weighting._simplex import minimize_on_simplex
from keras_metaloss.losses.weighting.task_weighting import TaskWeighting, TaskWeights

__all__ = ["MGDA"]

_NORMALIZATIONS = (None, "l2", "loss", "loss+")


@keras.saving.register_keras_serializable(package="keras_metaloss")
class MGDA(TaskWeighting):
    """Multiple-gradient descent: the shortest convex combination of the gradients.

    Shared parameters get `sum_k a_k g_k`, where `a` minimizes `|sum_k a_k g_k|^2`
    subject to `a_k >= 0` and `sum_k a_k = 1`. A small step in the opposite direction
    increases no task's loss; the combination is zero if no common descent direction
    exists. Specific parameters get the gradient of their own task.

    Small gradients dominate the shortest combination. If the tasks have different
    scales, their gradients are therefore usually normalized to `g_k / c_k`, with
    `c_k = |g_k|` (`"l2"`), `L_k` (`"loss"`) or `L_k |g_k|` (`"loss+"`). Shared
    parameters then get `sum_k a_k g_k / c_k`.

    A task whose gradient is exactly zero (a batch without labels for the task) is left
    out. Otherwise the shortest combination would be zero.

    Args:
        normalization: Normalization of the gradients, one of `None`, `"l2"`, `"loss"`
            or `"loss+"`. Defaults to `None`.
        name: Name of the layer. Defaults to `None`, which generates one.

    Raises:
        ValueError: If `normalization` is not one of these values.

    Example:

    >>> import tensorflow as tf
    >>> weighting = MGDA()
    >>> weighting.build_for(["a", "b"])
    >>> products = tf.constant([[1.0, 0.0], [0.0, 3.0]])
    >>> print(weighting.compute_weights(tf.constant([1.0, 1.0]), products).shared)
    tf.Tensor([0.75 0.25], shape=(2,), dtype=float32)

    Reference:
        Sener, Koltun: Multi-task learning as multi-objective optimization, NeurIPS
        2018, equation 3 and algorithm 2 (here with the pairwise variant of
        Frank-Wolfe); Desideri: Multiple-gradient descent algorithm, 2012. The
        normalizations are those of the first paper's code.
    """

    needs_gradients = True

    def __init__(
        self, normalization: str | None = None, *, name: str | None = None
    ) -> None:
        super().__init__(name=name)
        self.normalization = check_choice(
            "normalization", normalization, _NORMALIZATIONS
        )

    def compute_weights(
        self, losses: tf.Tensor, products: tf.Tensor | None = None
    ) -> TaskWeights:
        scale = 1.0 / self._lengths(losses, gradient_norms(products))
        weights = shortest_combination(products * scale[:, tf.newaxis] * scale)
        return TaskWeights(weights * scale, tf.ones_like(losses))

    def _lengths(self, losses: tf.Tensor, norms: tf.Tensor) -> tf.Tensor:
        lengths = tf.ones_like(losses)
        if self.normalization in ("loss", "loss+"):
            lengths *= losses
        if self.normalization in ("l2", "loss+"):
            lengths *= norms
        return tf.where(lengths > 0, lengths, 1.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "normalization": self.normalization}


# Compiled, because without XLA a loop of scalar operations takes 100 times as long.
@tf.function(jit_compile=True, autograph=False)
def shortest_combination(products: tf.Tensor) -> tf.Tensor:
    """Computes the weights `[K]` of the shortest convex combination of K vectors.

    Args:
        products: `[K, K]`, inner products of the vectors. Zero vectors are left out.
    """
    squares = tf.linalg.diag_part(products)
    products /= tf.maximum(tf.reduce_max(squares), tiny(products.dtype))

    def gradient(w: tf.Tensor) -> tf.Tensor:
        return tf.linalg.matvec(products, w)

    def line_search(w: tf.Tensor, d: tf.Tensor) -> tf.Tensor:
        curvature = tf.tensordot(d, gradient(d), 1)
        slope = tf.tensordot(d, gradient(w), 1)
        return tf.maximum(-slope, 0.0) / tf.maximum(curvature, tiny(w.dtype))

    return minimize_on_simplex(
        gradient,
        line_search,
        # Squared lengths below this bound are rounding errors of `products`.
        scale=lambda w: tf.maximum(
            tf.tensordot(w, gradient(w), 1), epsilon(products.dtype) ** 0.5
        ),
        allowed=squares > 0,
        dtype=products.dtype,
    )
