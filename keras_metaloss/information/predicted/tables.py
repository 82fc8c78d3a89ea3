"""Mutual information of a table p(a, b) that a batch of inputs induces.

A and B are independent given the input, so that with weights w of the inputs and
kernels `p_i(a)` and `q_i(b)` the table is `p(a, b) = sum_i w_i p_i(a) q_i(b)`. Since
each kernel is a probability over the cells, the table keeps the bounds
`0 <= I(A;B) <= I(A;X)` whatever the cells are.
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
    """`p(a, b)`, `[cells of A, cells of B]`.

    Args:
        a: kernel of A, `[N, cells of A]`, rows sum to one.
        b: kernel of B, `[N, cells of B]`, likewise.
        weights: weights of the rows, `[N]`, their sum is one.
    """
    return tf.matmul(a * weights[:, tf.newaxis], b, transpose_a=True)


def table_information(a: tf.Tensor, b: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """`sum p(a, b) log(p(a, b) / (p(a) p(b)))`, a scalar; arguments as above."""
    joint = joint_table(a, b, weights)
    marginal_a = tf.linalg.matvec(a, weights, transpose_a=True)[:, tf.newaxis]
    marginal_b = tf.linalg.matvec(b, weights, transpose_a=True)[tf.newaxis]
    ratio = _log(joint) - _log(marginal_a) - _log(marginal_b)
    return tf.reduce_sum(joint * tf.where(joint > 0, ratio, 0))


def table_entropy(kernel: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """`-sum p(a) log p(a)` with `p(a) = sum_i w_i p_i(a)`, a scalar."""
    marginal = tf.linalg.matvec(kernel, weights, transpose_a=True)
    return -tf.reduce_sum(marginal * _log(marginal))


def input_information(kernel: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """`I(A;X) = H(A) - sum_i w_i H(A | x_i)`, a scalar."""
    rows = -tf.reduce_sum(kernel * _log(kernel), axis=-1)
    return table_entropy(kernel, weights) - tf.reduce_sum(weights * rows)


def leave_one_out_information(
    a: tf.Tensor, b: tf.Tensor, weights: tf.Tensor, shares: tf.Tensor
) -> tf.Tensor:
    """Barber and Agakov's bound with a decoder of A that has not seen the row.

    `H(A) + sum_i w_i sum_ab p_i(a) q_i(b) log r_{-i}(a | b)`, where the decoder r is
    made of the other rows and, with the weight of one row in N, of the marginal of A
    spread evenly over B.

    Args:
        a: kernel of A, `[N, k]`.
        b: kernel of B, `[N, G]`.
        weights: weights of the rows, `[N]`.
        shares: what part of B's range each cell covers, `[G]`, their sum is one.

    Returns:
        A scalar. The memory is `N * k * G`.
    """
    count = tf.reduce_sum(tf.cast(weights > 0, a.dtype))
    floor = shares / tf.maximum(count, 1)
    prior = tf.linalg.matvec(a, weights, transpose_a=True)
    own = b * weights[:, tf.newaxis]
    joint = joint_table(a, b, weights)
    others = joint - a[:, :, tf.newaxis] * own[:, tf.newaxis]
    others = tf.maximum(others, 0) + prior[:, tf.newaxis] * floor
    total = tf.maximum(tf.reduce_sum(own, axis=0) - own, 0) + floor
    log_decoder = _log(others) - _log(total)[:, tf.newaxis]
    each = tf.einsum("nk,ng,nkg->n", a, b, log_decoder)
    return table_entropy(a, weights) + tf.reduce_sum(weights * each)


def _log(x):
    """Logarithm with 0 instead of minus infinity at 0, in value and gradient.

    It is only ever multiplied by something that is 0 there.
    """
    return tf.math.log(tf.where(x > 0, x, 1))
