"""Log odds of classes.

For a class of probability p, the log odds are `s = log p - log(1 - p)`. Then
`p = sigmoid(s)` and `1 - p = sigmoid(-s)` are computed without cancellation. Computing
`1 - p` from p would lose all digits for p near 1.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

__all__ = ["binary_log_odds", "label_log_odds", "log_probabilities"]

# Smaller than any relevant float32 softmax output. The reciprocal, which is part of
# the gradient, does not overflow.
_MIN_PROBABILITY = 1e-30


def log_probabilities(probabilities: tf.Tensor) -> tf.Tensor:
    """Computes the logarithm of probabilities, finite at 0."""
    return tf.math.log(tf.maximum(probabilities, _MIN_PROBABILITY))


def binary_log_odds(probabilities: tf.Tensor) -> tf.Tensor:
    """Computes `log p - log(1 - p)`, finite at 0 and 1."""
    return log_probabilities(probabilities) - log_probabilities(1.0 - probabilities)


def label_log_odds(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Computes the log odds of the label: `s = z_t - logsumexp_{j != t} z_j`.

    Args:
        labels: Integer labels in [0, C), `[...]`.
        logits: `[..., C]`.

    Returns:
        Tensor `[...]`.
    """
    classes = tf.range(tf.shape(logits)[-1], dtype=labels.dtype)
    is_target = tf.equal(labels[..., tf.newaxis], classes)

    @tf.custom_gradient
    def log_odds(
        logits: tf.Tensor,
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        target = tf.gather(logits, labels, batch_dims=labels.shape.rank)
        others = tf.where(is_target, logits.dtype.min, logits)
        largest = tf.reduce_max(others, axis=-1, keepdims=True)
        exponentials = tf.exp(others - largest)
        total = tf.reduce_sum(exponentials, axis=-1)
        odds = (target - largest[..., 0]) - tf.math.log(total)

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            share = exponentials * (-upstream / total)[..., tf.newaxis]
            return tf.where(is_target, upstream[..., tf.newaxis], share)

        return odds, gradient

    return log_odds(logits)
