"""Impartial multi-task learning (IMTL)."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss._utils.checks import check_choice
from keras_metaloss.losses.weighting._numerics import epsilon, gradient_norms, tiny
from keras_metaloss.losses.weighting.task_weighting import TaskWeighting, TaskWeights

__all__ = ["IMTL"]

_BALANCES = ("both", "loss", "gradient")


@keras.saving.register_keras_serializable(package="keras_metaloss")
class IMTL(TaskWeighting):
    """Impartial multi-task learning: equal loss scales and equal gradient projections.

    `balance="loss"` (IMTL-L): `L = sum_k exp(s_k) L_k - s_k`, with `s_k` initialized to
    zero and trained by the model's optimizer. At the minimum `exp(s_k) L_k = 1` for
    each task.

    `balance="gradient"` (IMTL-G): shared parameters get `g = sum_k a_k g_k` with
    `sum_k a_k = 1` and equal projections `g . g_k / |g_k|` on the tasks' gradients.
    Specific parameters get the gradient of their own task.

    `balance="both"`: IMTL-G applied to the gradients of the scaled losses
    `exp(s_k) L_k` of IMTL-L.

    The closed form of the paper is computed as `a_k = b_k / |g_k|`, `C b = 1`, with C
    the cosines between gradients. Parallel gradients make C singular, so a multiple of
    the identity of the order of the floating-point precision is added. With three or
    more tasks `a_k` may be negative. If the sum of `b_k / |g_k|` is negative too, the
    paper's constraint gives a direction that increases every loss; this implementation
    divides by the absolute value of the sum. Tasks whose gradient or loss is exactly
    zero (a batch without labels for them) are left out.

    Losses must be positive for `"loss"` and `"both"`.

    Args:
        balance: Quantities to balance, one of `"both"`, `"loss"` or `"gradient"`.
            Defaults to `"both"`.
        name: Name of the layer. Defaults to `None`, which generates one.

    Raises:
        ValueError: If `balance` is not one of these values.

    Example:

    >>> import tensorflow as tf
    >>> weighting = IMTL("gradient")
    >>> weighting.build_for(["a", "b"])
    >>> products = tf.constant([[9.0, 0.0], [0.0, 1.0]])     # norms 3 and 1
    >>> print(weighting.compute_weights(tf.constant([1.0, 1.0]), products).shared)
    tf.Tensor([0.25 0.75], shape=(2,), dtype=float32)

    Reference:
        Liu et al.: Towards impartial multi-task learning, ICLR 2021, equations 2 to 4
        (IMTL-G), 6 (IMTL-L) and algorithm 1.
    """

    def __init__(self, balance: str = "both", *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.balance = check_choice("balance", balance, _BALANCES)
        self.needs_gradients = self.balance != "loss"

    def create_variables(self) -> None:
        self.log_scale = None
        if self.balance != "gradient":
            self.log_scale = self.add_weight(
                name="log_scale", shape=(len(self.tasks),), initializer="zeros"
            )

    def objective(self, losses: tf.Tensor) -> tf.Tensor:
        if self.log_scale is None:
            return tf.reduce_sum(losses)
        log_scale = tf.convert_to_tensor(self.log_scale)
        barrier = tf.where(tf.not_equal(losses, 0), log_scale, 0.0)
        return tf.reduce_sum(tf.exp(log_scale) * losses - barrier)

    def compute_weights(
        self, losses: tf.Tensor, products: tf.Tensor | None = None
    ) -> TaskWeights:
        scale = tf.ones_like(losses)
        if self.log_scale is not None:
            scale = tf.exp(tf.convert_to_tensor(self.log_scale))
        if self.balance == "loss":
            return TaskWeights(scale, scale)
        equal = _equal_projections(products * scale[:, tf.newaxis] * scale)
        return TaskWeights(equal * scale, scale)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "balance": self.balance}


def _equal_projections(products: tf.Tensor) -> tf.Tensor:
    """Returns coefficients that sum to 1 and give equal projections, `[K]`."""
    norms = gradient_norms(products)
    present = norms > 0
    safe = tf.where(present, norms, 1.0)
    cosines = products / (safe[:, tf.newaxis] * safe)
    # A zero gradient gets a row of the identity matrix and the right-hand side zero.
    cosines = tf.linalg.set_diag(cosines, tf.ones_like(norms))
    count = norms.shape[0]
    ridge = tf.constant(10 * count * epsilon(norms.dtype), norms.dtype)
    cosines += ridge * tf.eye(count, dtype=norms.dtype)
    right = tf.cast(present, norms.dtype)[:, tf.newaxis]
    solution = tf.linalg.cholesky_solve(tf.linalg.cholesky(cosines), right)[:, 0]
    coefficients = solution / safe
    total = tf.abs(tf.reduce_sum(coefficients))
    return coefficients / tf.maximum(total, tiny(norms.dtype))
