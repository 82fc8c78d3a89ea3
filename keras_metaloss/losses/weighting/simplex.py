"""Convex functions minimised over the simplex, in TensorFlow."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

__all__ = ["minimize_on_simplex"]


def minimize_on_simplex(
    gradient: Callable[[tf.Tensor], tf.Tensor],
    line_search: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    allowed: tf.Tensor,
    tolerance: float,
    dtype: tf.DType,
) -> tf.Tensor:
    """Minimises a convex function over `w >= 0, sum w = 1`.

    Pairwise Frank-Wolfe: each iteration moves weight from the worst entry that has some
    to the best one, as far as an exact line search says. Plain Frank-Wolfe needs some
    `1 / tolerance` iterations, this one the logarithm of that.

    Args:
        gradient: gradient `[K]` of the function at w.
        line_search: the step length not below zero that is best from w along d, an
            infinite one allowed.
        allowed: `[K]`, false for entries that must stay zero.
        tolerance: stops once no two entries differ more in slope.
        dtype: of w.

    Returns:
        `[K]`; all zeros where nothing is allowed.

    Reference:
        Lacoste-Julien, Jaggi: On the global linear convergence of Frank-Wolfe
        optimization variants, NeurIPS 2015, algorithm 2.
    """
    count = allowed.shape[0]
    infinity = float("inf")

    def best_and_worst(w):
        slope = gradient(w)
        best = tf.argmin(tf.where(allowed, slope, infinity), output_type=tf.int32)
        worst = tf.argmax(tf.where(w > 0, slope, -infinity), output_type=tf.int32)
        return best, worst, slope[worst] - slope[best]

    def goes_on(w):
        return best_and_worst(w)[2] > tolerance

    def move(w):
        best, worst, _ = best_and_worst(w)
        to = tf.one_hot(best, count, dtype=w.dtype)
        away = tf.one_hot(worst, count, dtype=w.dtype)
        most = w[worst]
        length = tf.clip_by_value(line_search(w, to - away), 0.0, most)
        return [w + length * (to - away)]

    start = tf.cast(allowed, dtype)
    start /= tf.maximum(tf.reduce_sum(start), 1.0)
    return tf.while_loop(goes_on, move, [start], maximum_iterations=50 * count)[0]
