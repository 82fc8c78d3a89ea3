"""Tensor operations in forms that XLA compiles to fast loops."""

from __future__ import annotations

import tensorflow as tf

from keras_metaloss import _compat

__all__ = ["flatten_trailing_axes", "sum_last_axis"]

# On a CPU, XLA splits longer sums into a tree with one pass over memory per level.
_MAX_PLAIN_LENGTH = 32


def flatten_trailing_axes(tensor: tf.Tensor) -> tf.Tensor:
    """Flattens all axes but the first, because loops over few columns are slow.

    Args:
        tensor: `[B, ...]`.

    Returns:
        Tensor `[B, M]`. Tensors of rank 2 or less are returned unchanged.
    """
    if tensor.shape.rank is None or tensor.shape.rank <= 2:
        return tensor
    shape = tf.shape(tensor)
    return tf.reshape(tensor, [shape[0], tf.reduce_prod(shape[1:])])


def sum_last_axis(values: tf.Tensor, costly: bool = False) -> tf.Tensor:
    """Computes `tf.reduce_sum(values, axis=-1)`.

    If XLA compiles for a CPU, a long sum is computed as a matrix-vector product,
    because XLA fuses the computation of `values` into the loop of the product. If there
    is a GPU, the product is not used, because GPUs may round its factors.

    Args:
        values: Floats, `[..., C]`.
        costly: Whether `values` are expensive to compute (exponentials, for
            example). A product is then faster even for few columns. Defaults to
            `False`.

    Returns:
        Tensor `[...]`.
    """
    columns = values.shape[-1] if values.shape.rank else None
    is_long = columns is not None and (costly or columns > _MAX_PLAIN_LENGTH)
    may_round = tf.config.list_physical_devices("GPU")
    if not is_long or may_round or not _compat.is_compiled_by_xla():
        return tf.reduce_sum(values, axis=-1)
    sums = tf.linalg.matvec(
        tf.reshape(values, [-1, columns]), tf.ones([columns], values.dtype)
    )
    return tf.reshape(sums, tf.shape(values)[:-1])
