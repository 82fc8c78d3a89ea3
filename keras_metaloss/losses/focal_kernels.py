"""Focal losses for a gamma that is a number: few passes, derivatives by hand.

Each function gives `(1 - p)^gamma (-log p)`. Written with `where` on the sign rather
than `abs` and `maximum`, so that second derivatives are right at 0 too.
"""

from __future__ import annotations

import tensorflow as tf

__all__ = ["binary_focal_terms", "class_focal_terms", "label_focal_terms"]


def binary_focal_terms(
    log_odds: tf.Tensor, gamma: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Focal loss of a target 1, and of a target 0.

    Args:
        log_odds: logits, of any shape.
        gamma: number not below zero.
    """

    @tf.custom_gradient
    def terms(log_odds):
        p, q, minus_log_p, minus_log_q = _sides(log_odds)
        p_power, q_power = _power(p, gamma), _power(q, gamma)

        def gradient(yes_upstream, no_upstream):
            yes = q_power * (q + gamma * p * minus_log_p)
            no = p_power * (p + gamma * q * minus_log_q)
            return no_upstream * no - yes_upstream * yes

        return (q_power * minus_log_p, p_power * minus_log_q), gradient

    return terms(log_odds)


def label_focal_terms(log_odds: tf.Tensor, gamma: float) -> tf.Tensor:
    """Focal loss of a class with these log odds."""
    return binary_focal_terms(log_odds, gamma)[0]


def class_focal_terms(logits: tf.Tensor, gamma: float) -> tf.Tensor:
    """Focal loss that each class would have as the target.

    Args:
        logits: `[..., C]`.
        gamma: number not below zero.

    Returns:
        Tensor `[..., C]`.
    """

    @tf.custom_gradient
    def terms(logits):
        logits = logits - tf.reduce_max(logits, axis=-1, keepdims=True)
        p = tf.nn.softmax(logits)
        # Of a class near certainty 1 - p is the sum of the others: the difference
        # would be nothing but rounding. Two classes cannot both be above a half.
        is_big = p > 0.5
        small = tf.where(is_big, tf.zeros_like(p), p)
        rest = tf.reduce_sum(small, axis=-1, keepdims=True)
        q = tf.where(is_big, rest, 1.0 - p)
        largest = tf.reduce_max(p, axis=-1, keepdims=True)
        is_sure = largest > 0.5
        log_total = -tf.where(
            is_sure,
            tf.math.log1p(-tf.where(is_sure, rest, tf.zeros_like(rest))),
            tf.math.log(largest),
        )
        minus_log_p = log_total - logits
        q_power = _power(q, gamma)

        def gradient(upstream):
            quotient = minus_log_p / tf.maximum(q, _tiny(q.dtype))
            scaled = -upstream * q_power * (1.0 + gamma * p * quotient)
            total = tf.reduce_sum(scaled, axis=-1, keepdims=True)
            return scaled * q - p * (total - scaled)

        return q_power * minus_log_p, gradient

    return terms(logits)


def _sides(log_odds):
    """p, 1 - p and minus their logarithms, each to full precision."""
    is_ahead = log_odds >= 0.0
    zero, one = tf.zeros_like(log_odds), tf.ones_like(log_odds)
    small = tf.exp(tf.where(is_ahead, -log_odds, log_odds))
    share = one / (one + small)
    other = small * share
    logarithm = tf.math.log1p(small)
    return (
        tf.where(is_ahead, share, other),
        tf.where(is_ahead, other, share),
        logarithm + tf.where(is_ahead, zero, -log_odds),
        logarithm + tf.where(is_ahead, log_odds, zero),
    )


def _power(base, gamma):
    if gamma == 0:
        return tf.ones_like(base)
    if gamma == 1:
        return base
    if gamma == 2:
        return base * base
    return tf.exp(gamma * tf.math.log(tf.maximum(base, _tiny(base.dtype))))


def _tiny(dtype):
    return 1e-300 if dtype == tf.float64 else 1e-37
