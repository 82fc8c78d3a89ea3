"""Mutual information of the joint table p(a, b) over a batch of inputs.

A and B are independent given the input. With weights w of the inputs and kernels
`p_i(a)` and `q_i(b)`, the table is `p(a, b) = sum_i w_i p_i(a) q_i(b)`. Each row of a
kernel is a probability distribution over the cells, so that the bounds
`0 <= I(A;B) <= I(A;X)` hold for any choice of cells.
"""

from __future__ import annotations

import tensorflow as tf

__all__ = [
    "input_information",
    "joint_table",
    "leave_one_out_information",
    "table_entropy",
    "table_information",
]


def joint_table(a: tf.Tensor, b: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Computes `p(a, b)`, `[cells of A, cells of B]`.

    Args:
        a: Kernel of A, `[N, cells of A]`, rows sum to one.
        b: Kernel of B, `[N, cells of B]`, rows sum to one.
        weights: Weights of the rows, `[N]`, with sum one.
    """
    return tf.matmul(a * weights[:, tf.newaxis], b, transpose_a=True)


def table_information(a: tf.Tensor, b: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Computes `sum p(a, b) log(p(a, b) / (p(a) p(b)))`, a scalar."""
    joint = joint_table(a, b, weights)
    marginal_a = tf.linalg.matvec(a, weights, transpose_a=True)[:, tf.newaxis]
    marginal_b = tf.linalg.matvec(b, weights, transpose_a=True)[tf.newaxis]
    ratio = _log(joint) - _log(marginal_a) - _log(marginal_b)
    return tf.reduce_sum(joint * tf.where(joint > 0, ratio, 0))


def table_entropy(kernel: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Computes `-sum p(a) log p(a)` with `p(a) = sum_i w_i p_i(a)`, a scalar."""
    marginal = tf.linalg.matvec(kernel, weights, transpose_a=True)
    return -tf.reduce_sum(marginal * _log(marginal))


def input_information(kernel: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Computes `I(A;X) = H(A) - sum_i w_i H(A | x_i)`, a scalar."""
    rows = -tf.reduce_sum(kernel * _log(kernel), axis=-1)
    return table_entropy(kernel, weights) - tf.reduce_sum(weights * rows)


def leave_one_out_information(
    a: tf.Tensor, b: tf.Tensor, weights: tf.Tensor, width_fractions: tf.Tensor
) -> tf.Tensor:
    """Computes Barber and Agakov's bound with a leave-one-out decoder of A.

    `H(A) + sum_i w_i sum_ab p_i(a) q_i(b) log r_{-i}(a | b)`. The decoder r_{-i} is
    estimated from all rows except row i, and from one pseudo-row of weight 1/N: the
    marginal of A, distributed uniformly over the range of B.

    Args:
        a: Kernel of A, `[N, k]`.
        b: Kernel of B, `[N, G]`.
        weights: Weights of the rows, `[N]`.
        width_fractions: Fraction of the range of B that each cell covers, `[G]`, with
            sum one.

    Returns:
        A scalar. The memory is `N * k * G`.
    """
    count = tf.reduce_sum(tf.cast(weights > 0, a.dtype))
    pseudo_mass = width_fractions / tf.maximum(count, 1)
    prior = tf.linalg.matvec(a, weights, transpose_a=True)
    weighted_b = b * weights[:, tf.newaxis]
    joint = joint_table(a, b, weights)
    others = joint - a[:, :, tf.newaxis] * weighted_b[:, tf.newaxis]
    others = tf.maximum(others, 0) + prior[:, tf.newaxis] * pseudo_mass
    total = tf.maximum(tf.reduce_sum(weighted_b, axis=0) - weighted_b, 0) + pseudo_mass
    log_decoder = _log(others) - _log(total)[:, tf.newaxis]
    per_input = tf.einsum("nk,ng,nkg->n", a, b, log_decoder)
    return table_entropy(a, weights) + tf.reduce_sum(weights * per_input)


def _log(x: tf.Tensor) -> tf.Tensor:
    """Computes the logarithm, with value and gradient 0 at 0.

    Callers multiply the result by a factor that is 0 there.
    """
    return tf.math.log(tf.where(x > 0, x, 1))
