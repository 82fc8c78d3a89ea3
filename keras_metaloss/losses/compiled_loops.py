"""Shapes of loops and sums that a compiler makes fast."""

from __future__ import annotations

import tensorflow as tf

from keras_metaloss import _compat

__all__ = ["long_rows", "row_sums"]

# XLA on a CPU makes longer sums a tree, of which each level is a pass of its own.
_SHORT = 32


def long_rows(tensor: tf.Tensor) -> tf.Tensor:
    """All axes but the first made one: loops over few columns are slow.

    Args:
        tensor: `[B, ...]`.

    Returns:
        Tensor `[B, M]`; one with no more than two axes as it is.
    """
    if tensor.shape.rank is None or tensor.shape.rank <= 2:
        return tensor
    shape = tf.shape(tensor)
    return tf.reshape(tensor, [shape[0], tf.reduce_prod(shape[1:])])


def row_sums(values: tf.Tensor, costly: bool = False) -> tf.Tensor:
    """`reduce_sum(values, axis=-1)`.

    A long sum is written as a product for XLA on a CPU, which computes its factors in
    the loop of the product. A GPU may round the factors of a product.

    Args:
        values: floats, `[..., C]`.
        costly: whether they take long to compute, as exponentials do: then a product
            pays for few columns too.

    Returns:
        Tensor `[...]`.
    """
    columns = values.shape[-1] if values.shape.rank else None
    is_long = columns is not None and (costly or columns > _SHORT)
    may_round = tf.config.list_physical_devices("GPU")
    if not is_long or may_round or not _compat.is_compiled_by_xla():
        return tf.reduce_sum(values, axis=-1)
    sums = tf.linalg.matvec(
        tf.reshape(values, [-1, columns]), tf.ones([columns], values.dtype)
    )
    return tf.reshape(sums, tf.shape(values)[:-1])
