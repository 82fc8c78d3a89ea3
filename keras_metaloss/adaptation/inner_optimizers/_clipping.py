"""Clipping of gradients."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_metaloss._utils.checks import check_positive
from keras_metaloss.adaptation.inner_optimizers.inner_optimizer import (
    InnerOptimizer,
    Weights,
)

__all__ = ["clipped"]


def clipped(
    optimizer: InnerOptimizer,
    *,
    clipnorm: float | None = None,
    clipvalue: float | None = None,
    global_clipnorm: float | None = None,
) -> InnerOptimizer:
    """Creates an optimizer that clips gradients and then applies `optimizer`.

    Args:
        optimizer: `InnerOptimizer` applied to the clipped gradients.
        clipnorm: Positive maximum norm of the gradient of each weight. Defaults to
            `None`.
        clipvalue: Positive maximum absolute value of gradient entries. Defaults to
            `None`.
        global_clipnorm: Positive maximum norm of all gradients together. Defaults to
            `None`.

    Returns:
        An `InnerOptimizer`.

    Raises:
        ValueError: If a limit is not positive.

    Example:

    >>> import tensorflow as tf
    >>> from keras_metaloss.adaptation.inner_optimizers import sgd
    >>> optimizer, weights = clipped(sgd(0.1), clipvalue=0.5), [tf.constant([1.0])]
    >>> updates, _ = optimizer.update([tf.constant([3.0])], optimizer.init(weights),
    ...                               weights)
    >>> round(float(updates[0][0]), 4)
    -0.05
    """
    for name, limit in (
        ("clipnorm", clipnorm),
        ("clipvalue", clipvalue),
        ("global_clipnorm", global_clipnorm),
    ):
        if limit is not None:
            check_positive(name, limit)

    def update(
        gradients: Weights, state: dict[str, Any], weights: Weights
    ) -> tuple[Weights, dict[str, Any]]:
        if clipnorm is not None:
            gradients = [
                g * _shrink(tf.reduce_sum(tf.square(g)), clipnorm) for g in gradients
            ]
        if global_clipnorm is not None:
            total = tf.add_n([tf.reduce_sum(tf.square(g)) for g in gradients])
            gradients = [g * _shrink(total, global_clipnorm) for g in gradients]
        if clipvalue is not None:
            gradients = [tf.clip_by_value(g, -clipvalue, clipvalue) for g in gradients]
        return optimizer.update(gradients, state, weights)

    return InnerOptimizer(optimizer.init, update)


def _shrink(square: tf.Tensor, limit: float) -> tf.Tensor:
    """Returns the factor that clips a norm, with the given square, to `limit`."""
    # The maximum keeps the derivative of the square root finite at zero.
    return limit * tf.math.rsqrt(
        tf.maximum(square, tf.constant(limit**2, square.dtype))
    )
