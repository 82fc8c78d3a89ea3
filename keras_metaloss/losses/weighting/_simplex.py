"""Minimization of convex functions over the simplex."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from keras_metaloss.losses.weighting._numerics import epsilon

__all__ = ["minimize_on_simplex"]


def minimize_on_simplex(
    gradient: Callable[[tf.Tensor], tf.Tensor],
    line_search: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    scale: Callable[[tf.Tensor], tf.Tensor],
    allowed: tf.Tensor,
    dtype: tf.DType,
) -> tf.Tensor:
    """Minimizes a convex function over `w >= 0, sum w = 1`.

    Uses the pairwise Frank-Wolfe method. Each iteration moves weight from the entry
    with the largest slope among the positive ones to the entry with the smallest slope,
    with an exact line search. The number of iterations is of the order of
    `log(1 / accuracy)`, compared to `1 / accuracy` for plain Frank-Wolfe.

    Args:
        gradient: Function that returns the gradient `[K]` at w.
        line_search: Function that returns the best non-negative step length from w
            along d. The length may be infinite.
        scale: Function that returns the magnitude of the objective at w. The iteration
            stops when the decrease of a step is at most `epsilon ** 1.5` times this
            magnitude, so that w is accurate to about three quarters of its digits.
        allowed: `[K]`, `False` for entries that must stay zero.
        dtype: Dtype of w.

    Returns:
        `[K]`; all zeros if no entry is allowed.

    Reference:
        Lacoste-Julien, Jaggi: On the global linear convergence of Frank-Wolfe
        optimization variants, NeurIPS 2015, algorithm 2.
    """
    count = allowed.shape[0]
    infinity = float("inf")

    def move(w: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        slope = gradient(w)
        best = tf.argmin(tf.where(allowed, slope, infinity), output_type=tf.int32)
        worst = tf.argmax(tf.where(w > 0, slope, -infinity), output_type=tf.int32)
        away = tf.one_hot(worst, count, dtype=dtype)
        direction = tf.one_hot(best, count, dtype=dtype) - away
        max_length = tf.tensordot(w, away, 1)
        length = tf.clip_by_value(line_search(w, direction), 0.0, max_length)
        descent = -tf.tensordot(slope, direction, 1)
        # A short step that sets an entry to zero does not indicate convergence.
        decrease = tf.where(length < max_length, length * descent, infinity)
        decrease = tf.where(descent > 0, decrease, 0.0)
        return w + length * direction, decrease

    start = tf.cast(allowed, dtype)
    start /= tf.maximum(tf.reduce_sum(start), 1.0)
    return tf.while_loop(
        lambda w, decrease: decrease > epsilon(dtype) ** 1.5 * scale(w),
        move,
        (start, tf.constant(infinity, dtype)),
        # Nearly opposite vectors of very different lengths take hundreds of iterations.
        maximum_iterations=1000 * count,
    )[0]
