"""Score matrices: entries of joint samples, and means over joint and other pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

__all__ = ["Scores", "as_floats", "as_scores"]


class Scores:
    """Score matrix `[..., N, M]` with a mask of the entries of joint samples.

    Args:
        logu: Scores of shape `[..., N, M]`.
        mask: Boolean tensor, broadcastable to `logu`, with one true entry per row.
    """

    def __init__(self, logu: tf.Tensor, mask: tf.Tensor) -> None:
        self.logu = logu
        self.mask = mask

    def joint(self) -> tf.Tensor:
        """Returns the score of the joint sample in each row, `[..., N]`."""
        zeros = tf.zeros_like(self.logu)
        return tf.reduce_sum(tf.where(self.mask, self.logu, zeros), axis=-1)

    def joint_mean(self) -> tf.Tensor:
        """Returns the mean score of the joint samples, `[...]`."""
        return tf.reduce_mean(self.joint(), axis=-1)

    def mean_of_others(self, values: tf.Tensor) -> tf.Tensor:
        """Returns the mean of `values` over all pairs except joint samples, `[...]`."""
        values = tf.where(self.mask, tf.zeros_like(values), values)
        return tf.reduce_sum(values, axis=[-2, -1]) / self._number_of_others()

    def log_mean_exp_of_others(self, values: tf.Tensor | None = None) -> tf.Tensor:
        """Returns `log mean exp` over all pairs except joint samples, `[...]`."""
        values = self._without_joint(self.logu if values is None else values)
        return tf.reduce_logsumexp(values, axis=[-2, -1]) - tf.math.log(
            self._number_of_others()
        )

    def row_log_mean_exp_of_others(self) -> tf.Tensor:
        """Returns `log mean exp` of each row without its joint sample, `[..., N]`."""
        columns = self.columns()
        total = tf.reduce_logsumexp(self._without_joint(self.logu), axis=-1)
        return total - tf.math.log(columns - 1)

    def columns(self) -> tf.Tensor:
        """Returns the number of columns `M`, with the dtype of the scores."""
        return tf.cast(tf.shape(self.logu)[-1], self.logu.dtype)

    def _without_joint(self, values: tf.Tensor) -> tf.Tensor:
        minus_infinity = tf.constant(-np.inf, values.dtype)
        return tf.where(self.mask, minus_infinity, values)

    def _number_of_others(self) -> tf.Tensor:
        rows = tf.cast(tf.shape(self.logu)[-2], self.logu.dtype)
        return rows * (self.columns() - 1)


def as_floats(name: str, value: Any) -> tf.Tensor:
    """Converts `value` to a tensor; raises a `TypeError` if it is not floating."""
    value = tf.convert_to_tensor(value)
    if not value.dtype.is_floating:
        raise TypeError(
            f"Invalid value for argument `{name}`. Expected a floating-point dtype. "
            f"Received: {name}.dtype={value.dtype.name}"
        )
    return value


def as_scores(
    logu: Any,
    joint_sample_mask: Any = None,
    validate_args: bool = False,
    name: str = "logu",
) -> Scores:
    """Validates scores and their mask. The default mask is the diagonal."""
    logu = as_floats(name, logu)
    if logu.dtype.size < 4:
        logu = tf.cast(logu, tf.float32)
    rows, columns = _matrix_shape(name, logu)
    too_small = columns is not None and columns < 2
    if too_small or (rows is not None and columns is not None and rows > columns):
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected shape [..., N, M] with "
            f"N <= M and at least two columns. Received: {name}.shape={logu.shape}"
        )
    checks = []
    if validate_args and not (rows and columns):
        shape = tf.shape(logu)
        checks = [
            tf.debugging.assert_less_equal(
                shape[-2],
                shape[-1],
                f"Invalid value for argument `{name}`. Expected shape [..., N, M] with "
                "N <= M.",
            ),
            tf.debugging.assert_greater(
                shape[-1],
                1,
                f"Invalid value for argument `{name}`. Expected at least two columns.",
            ),
        ]
    if tf.executing_eagerly() and bool(tf.reduce_any(tf.math.is_nan(logu))):
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected scores without NaN. "
            f"Received: {name} with NaN"
        )
    if joint_sample_mask is None:
        shape = tf.shape(logu)
        mask = tf.eye(shape[-2], shape[-1], dtype=tf.bool)
    else:
        mask = tf.cast(tf.convert_to_tensor(joint_sample_mask), tf.bool)
        checks += _check_mask(mask, logu, name, validate_args)
    with tf.control_dependencies(checks):
        return Scores(tf.identity(logu), mask)


def _matrix_shape(name: str, logu: tf.Tensor) -> tuple[int | None, int | None]:
    if logu.shape.rank is None or logu.shape.rank < 2:
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected a matrix or a batch of "
            f"matrices, [..., N, M]. Received: {name}.shape={logu.shape}"
        )
    return logu.shape[-2], logu.shape[-1]


def _check_mask(
    mask: tf.Tensor, logu: tf.Tensor, name: str, validate_args: bool
) -> list[tf.Operation]:
    has_rank = mask.shape.rank is not None and 2 <= mask.shape.rank <= logu.shape.rank
    if not (has_rank and mask.shape[-2:].is_compatible_with(logu.shape[-2:])):
        raise ValueError(
            "Invalid value for argument `joint_sample_mask`. Expected the shape of "
            f"`{name}`, with or without its batch dimensions. Received: "
            f"joint_sample_mask.shape={mask.shape}, {name}.shape={logu.shape}"
        )
    true_entries = tf.reduce_sum(tf.cast(mask, tf.int32), axis=-1)
    if tf.executing_eagerly():
        if not bool(tf.reduce_all(true_entries == 1)):
            raise ValueError(
                "Invalid value for argument `joint_sample_mask`. Expected exactly one "
                "true entry per row. "
                f"Received: rows with {true_entries.numpy().tolist()} true entries"
            )
    elif validate_args:
        message = (
            "Invalid value for argument `joint_sample_mask`. Expected exactly one true "
            "entry per row."
        )
        return [tf.debugging.assert_equal(true_entries, 1, message)]
    return []
