"""Convex functions minimised over the simplex, in TensorFlow."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from keras_metaloss.losses.weighting.numerics import epsilon

__all__ = ["minimize_on_simplex"]


def minimize_on_simplex(
    gradient: Callable[[tf.Tensor], tf.Tensor],
    line_search: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    scale: Callable[[tf.Tensor], tf.Tensor],
    allowed: tf.Tensor,
    dtype: tf.DType,
) -> tf.Tensor:
    """Minimises a convex function over `w >= 0, sum w = 1`.

    Pairwise Frank-Wolfe: each iteration moves weight from the worst entry that has some
    to the best one, as far as an exact line search says. Plain Frank-Wolfe needs some
    `1 / accuracy` iterations, this one a
    multiple of its logarithm.

    Args:
        gradient: gradient `[K]` of the function at w.
        line_search: the step length not below zero that is best from w along d, an
            infinite one allowed.
        scale: what counts as large at w: stops once a move gains next to nothing of
            it, so that w itself is right to some three quarters of its digits.
        allowed: `[K]`, false for entries that must stay zero.
        dtype: of w.

    Returns:
        `[K]`; all zeros where nothing is allowed.

    Reference:
        Lacoste-Julien, Jaggi: On the global linear convergence of Frank-Wolfe
        optimization variants, NeurIPS 2015, algorithm 2.
    """
    count = allowed.shape[0]
    infinity = float("inf")

    def move(w, _):
        slope = gradient(w)
        best = tf.argmin(tf.where(allowed, slope, infinity), output_type=tf.int32)
        worst = tf.argmax(tf.where(w > 0, slope, -infinity), output_type=tf.int32)
        away = tf.one_hot(worst, count, dtype=dtype)
        direction = tf.one_hot(best, count, dtype=dtype) - away
        most = tf.tensordot(w, away, 1)
        length = tf.clip_by_value(line_search(w, direction), 0.0, most)
        fall = -tf.tensordot(slope, direction, 1)
        # A move that empties an entry may be short and yet not the last.
        gained = tf.where(length < most, length * fall, infinity)
        gained = tf.where(fall > 0, gained, 0.0)
        return w + length * direction, gained

    start = tf.cast(allowed, dtype)
    start /= tf.maximum(tf.reduce_sum(start), 1.0)
    return tf.while_loop(
        lambda w, gained: gained > epsilon(dtype) ** 1.5 * scale(w),
        move,
        (start, tf.constant(infinity, dtype)),
        # Nearly opposing vectors beside a short one take hundreds.
        maximum_iterations=1000 * count,
    )[0]
