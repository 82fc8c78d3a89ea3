"""Score matrices: which entries are joint samples, and means over the two kinds."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

__all__ = ["Scores", "floats_of", "scores_of"]


class Scores:
    """Scores `[..., N, M]` with the entries that belong to joint samples.

    Args:
        logu: scores.
        mask: where joint samples are, one in each row, broadcastable to `logu`.
    """

    def __init__(self, logu: tf.Tensor, mask: tf.Tensor) -> None:
        self.logu = logu
        self.mask = mask

    def joint(self) -> tf.Tensor:
        """The joint sample's score in each row, `[..., N]`."""
        zeros = tf.zeros_like(self.logu)
        return tf.reduce_sum(tf.where(self.mask, self.logu, zeros), axis=-1)

    def joint_mean(self) -> tf.Tensor:
        """Mean score of joint samples, `[...]`."""
        return tf.reduce_mean(self.joint(), axis=-1)

    def mean_of_others(self, values: tf.Tensor) -> tf.Tensor:
        """Mean of `values` over all pairs that are not joint samples, `[...]`."""
        values = tf.where(self.mask, tf.zeros_like(values), values)
        return tf.reduce_sum(values, axis=[-2, -1]) / self._number_of_others()

    def log_mean_exp_of_others(self, values: tf.Tensor | None = None) -> tf.Tensor:
        """`log mean exp` over all pairs that are not joint samples, `[...]`."""
        values = self._others(self.logu if values is None else values)
        return tf.reduce_logsumexp(values, axis=[-2, -1]) - tf.math.log(
            self._number_of_others()
        )

    def row_log_mean_exp_of_others(self) -> tf.Tensor:
        """`log mean exp` of each row without its joint sample, `[..., N]`."""
        columns = self.columns()
        total = tf.reduce_logsumexp(self._others(self.logu), axis=-1)
        return total - tf.math.log(columns - 1)

    def columns(self) -> tf.Tensor:
        """M."""
        return tf.cast(tf.shape(self.logu)[-1], self.logu.dtype)

    def _others(self, values):
        minus_infinity = tf.constant(-np.inf, values.dtype)
        return tf.where(self.mask, minus_infinity, values)

    def _number_of_others(self):
        rows = tf.cast(tf.shape(self.logu)[-2], self.logu.dtype)
        return rows * (self.columns() - 1)


def floats_of(name: str, value: Any) -> tf.Tensor:
    """The value as a tensor of floats: the mean of integers would be a whole number."""
    value = tf.convert_to_tensor(value)
    if not value.dtype.is_floating:
        raise TypeError(
            f"Expected argument `{name}` to be of a float dtype. "
            f"Received: {name}.dtype={value.dtype.name}"
        )
    return value


def scores_of(
    logu: Any,
    joint_sample_mask: Any = None,
    validate_args: bool = False,
    name: str = "logu",
) -> Scores:
    """Checks a score matrix and its mask; the default mask is the diagonal."""
    logu = floats_of(name, logu)
    if logu.dtype.size < 4:
        logu = tf.cast(logu, tf.float32)
    rows, columns = _matrix_shape(name, logu)
    too_small = columns is not None and columns < 2
    if too_small or (rows is not None and columns is not None and rows > columns):
        raise ValueError(
            f"Expected argument `{name}` to have shape [..., N, M] with N <= M and at "
            f"least two columns. Received: {name}.shape={logu.shape}"
        )
    checks = []
    if validate_args and not (rows and columns):
        shape = tf.shape(logu)
        checks = [
            tf.debugging.assert_less_equal(
                shape[-2], shape[-1], f"`{name}` must have shape [..., N, M], N <= M."
            ),
            tf.debugging.assert_greater(
                shape[-1], 1, f"`{name}` must have at least two columns."
            ),
        ]
    if tf.executing_eagerly() and bool(tf.reduce_any(tf.math.is_nan(logu))):
        raise ValueError(
            f"Expected argument `{name}` to hold numbers. Received: NaN among them"
        )
    if joint_sample_mask is None:
        shape = tf.shape(logu)
        mask = tf.eye(shape[-2], shape[-1], dtype=tf.bool)
    else:
        mask = tf.cast(tf.convert_to_tensor(joint_sample_mask), tf.bool)
        checks += _check_mask(mask, logu, name, validate_args)
    with tf.control_dependencies(checks):
        return Scores(tf.identity(logu), mask)


def _matrix_shape(name, logu):
    if logu.shape.rank is None or logu.shape.rank < 2:
        raise ValueError(
            f"Expected argument `{name}` to be a matrix or a batch of matrices, "
            f"[..., N, M]. Received: {name}.shape={logu.shape}"
        )
    return logu.shape[-2], logu.shape[-1]


def _check_mask(mask, logu, name, validate_args):
    fits = mask.shape.rank is not None and 2 <= mask.shape.rank <= logu.shape.rank
    if not (fits and mask.shape[-2:].is_compatible_with(logu.shape[-2:])):
        raise ValueError(
            "Expected argument `joint_sample_mask` to have the shape of "
            f"`{name}`, or to lack its batch dimensions. Received: "
            f"joint_sample_mask.shape={mask.shape}, {name}.shape={logu.shape}"
        )
    a_row = tf.reduce_sum(tf.cast(mask, tf.int32), axis=-1)
    if tf.executing_eagerly():
        if not bool(tf.reduce_all(a_row == 1)):
            raise ValueError(
                "Expected argument `joint_sample_mask` to mark one entry in each row. "
                f"Received: rows with {a_row.numpy().tolist()} marked"
            )
    elif validate_args:
        message = "`joint_sample_mask` must mark one entry in each row."
        return [tf.debugging.assert_equal(a_row, 1, message)]
    return []
