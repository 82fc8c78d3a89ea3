"""Focal loss kernels with custom gradients, in few passes over memory.

All functions compute `(1 - p)^gamma (-log p)`. They use `where` on the sign instead of
`abs` and `maximum`, so that second derivatives are also correct at 0.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_metaloss._utils.xla import flatten_trailing_axes

__all__ = ["binary_focal_terms", "class_focal_terms", "label_focal_terms"]


def binary_focal_terms(log_odds: tf.Tensor, gamma: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the focal losses of a target of 1 and of a target of 0.

    Args:
        log_odds: Logits, of any shape.
        gamma: Non-negative number, or a scalar tensor.
    """
    terms = _differentiable(_binary, flatten_trailing_axes(log_odds), gamma)
    yes, no = (tf.reshape(values, tf.shape(log_odds)) for values in terms)
    return yes, no


def label_focal_terms(log_odds: tf.Tensor, gamma: Any) -> tf.Tensor:
    """Returns the focal loss of a target class with these log odds."""
    return binary_focal_terms(log_odds, gamma)[0]


def class_focal_terms(logits: tf.Tensor, gamma: Any) -> tf.Tensor:
    """Returns the focal loss of each class if it were the target.

    Args:
        logits: `[..., C]`.
        gamma: Non-negative number, or a scalar tensor.

    Returns:
        Tensor `[..., C]`.
    """
    return _differentiable(_per_class, logits, gamma)[0]


def _binary(
    log_odds: tf.Tensor, gamma: tf.Tensor
) -> tuple[Any, Callable[..., tf.Tensor], Callable[..., tf.Tensor]]:
    p, q, minus_log_p, minus_log_q = _probabilities_and_logs(log_odds)
    p_power, q_power = _power(p, minus_log_p, gamma), _power(q, minus_log_q, gamma)
    yes, no = q_power * minus_log_p, p_power * minus_log_q

    def by_log_odds(yes_upstream: tf.Tensor, no_upstream: tf.Tensor) -> tf.Tensor:
        yes_slope = q_power * (q + gamma * p * minus_log_p)
        no_slope = p_power * (p + gamma * q * minus_log_q)
        return no_upstream * no_slope - yes_upstream * yes_slope

    def by_gamma(yes_upstream: tf.Tensor, no_upstream: tf.Tensor) -> tf.Tensor:
        return -(yes_upstream * yes * minus_log_q + no_upstream * no * minus_log_p)

    return (yes, no), by_log_odds, by_gamma


def _per_class(
    logits: tf.Tensor, gamma: tf.Tensor
) -> tuple[Any, Callable[..., tf.Tensor], Callable[..., tf.Tensor]]:
    logits = logits - tf.reduce_max(logits, axis=-1, keepdims=True)
    p = tf.nn.softmax(logits)
    # For a class with p near 1, 1 - p is computed as the sum of the other classes:
    # the difference would lose all digits. At most one class has p > 0.5.
    is_big = p > 0.5
    small = tf.where(is_big, tf.zeros_like(p), p)
    rest = tf.reduce_sum(small, axis=-1, keepdims=True)
    q = tf.where(is_big, rest, 1.0 - p)
    largest = tf.reduce_max(p, axis=-1, keepdims=True)
    has_majority = largest > 0.5
    log_total = -tf.where(
        has_majority,
        tf.math.log1p(-tf.where(has_majority, rest, tf.zeros_like(rest))),
        tf.math.log(largest),
    )
    minus_log_p = log_total - logits
    minus_log_q = -tf.math.log(tf.maximum(q, _tiny(q.dtype)))
    q_power = _power(q, minus_log_q, gamma)
    values = q_power * minus_log_p

    def by_logits(upstream: tf.Tensor) -> tf.Tensor:
        quotient = minus_log_p / tf.maximum(q, _tiny(q.dtype))
        scaled = -upstream * q_power * (1.0 + gamma * p * quotient)
        total = tf.reduce_sum(scaled, axis=-1, keepdims=True)
        return scaled * q - p * (total - scaled)

    def by_gamma(upstream: tf.Tensor) -> tf.Tensor:
        return -upstream * values * minus_log_q

    return (values,), by_logits, by_gamma


def _differentiable(kernel: Callable, predictions: tf.Tensor, gamma: Any) -> Any:
    """Evaluates a kernel with its custom gradient.

    Args:
        kernel: Returns values and two functions of the upstream gradients. The first
            computes the gradient with respect to `predictions`. The second computes the
            elementwise gradient with respect to gamma, before summation.
        predictions: First argument of the kernel.
        gamma: Number or scalar tensor. A number gets no gradient.
    """
    if isinstance(gamma, numbers.Number):

        @tf.custom_gradient
        def of_predictions(predictions: tf.Tensor) -> tuple[Any, Callable[..., Any]]:
            values, by_predictions, _ = kernel(predictions, gamma)
            return values, by_predictions

        return of_predictions(predictions)

    @tf.custom_gradient
    def of_both(
        predictions: tf.Tensor, gamma: tf.Tensor
    ) -> tuple[Any, Callable[..., Any]]:
        values, by_predictions, by_gamma = kernel(predictions, gamma)

        def gradient(*upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            summed = tf.reduce_sum(by_gamma(*upstream))
            return by_predictions(*upstream), tf.reshape(summed, tf.shape(gamma))

        return values, gradient

    return of_both(predictions, tf.convert_to_tensor(gamma))


def _probabilities_and_logs(
    log_odds: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns p, 1 - p and their negative logarithms, each to full precision."""
    is_positive = log_odds >= 0.0
    zero, one = tf.zeros_like(log_odds), tf.ones_like(log_odds)
    small = tf.exp(tf.where(is_positive, -log_odds, log_odds))
    share = one / (one + small)
    other = small * share
    logarithm = tf.math.log1p(small)
    return (
        tf.where(is_positive, share, other),
        tf.where(is_positive, other, share),
        logarithm + tf.where(is_positive, zero, -log_odds),
        logarithm + tf.where(is_positive, log_odds, zero),
    )


def _power(base: tf.Tensor, minus_log_base: tf.Tensor, gamma: Any) -> tf.Tensor:
    """Computes `base ** gamma`, without an exponential for common values of gamma."""
    fixed = isinstance(gamma, numbers.Number)
    if fixed and gamma in (0, 1, 2):
        return (tf.ones_like(base), base, base * base)[int(gamma)]
    return tf.exp(-gamma * minus_log_base)


def _tiny(dtype: tf.DType) -> float:
    return 1e-300 if dtype == tf.float64 else 1e-37
