"""Handling of ties: points whose k-th neighbor is at distance zero."""

from __future__ import annotations

import warnings

import numpy as np
import tensorflow as tf

__all__ = ["TINY", "guard_ties"]

# Points closer than this are equal: the smallest normal float64.
TINY = float(np.finfo("float64").tiny)

_REMEDY = "Use `mutual_information_mixed_ksg` for data with repeated values."


def guard_ties(
    value: tf.Tensor,
    tied: tf.Tensor,
    estimator: str,
    refuse_any: bool = False,
    validate_args: bool = False,
) -> tf.Tensor:
    """Returns the estimate, unless ties make it meaningless.

    In eager mode, raises a `ValueError` if all points are tied (or any point, with
    `refuse_any=True`), and warns if some are. In graph mode, returns NaN if any point
    is tied, or fails an assertion with `validate_args=True`.

    Args:
        value: The estimate.
        tied: Boolean tensor of shape `[N]`, true where the k-th neighbor of a point is
            at distance zero.
        estimator: Name of the estimator, for messages.
        refuse_any: Whether a single tie makes the estimate meaningless. Defaults to
            `False`.
        validate_args: Whether to assert in graph mode that there are no ties. Defaults
            to `False`.
    """
    if tf.executing_eagerly():
        ties, size = int(tf.math.count_nonzero(tied)), int(tf.size(tied))
        if ties == size or (refuse_any and ties):
            raise ValueError(
                f"`{estimator}` requires continuous data without repeated values. "
                f"{_REMEDY} Received: data in which {ties} of {size} samples coincide "
                "with their nearest neighbors"
            )
        if ties:
            warnings.warn(
                f"{ties} of {size} samples coincide with their nearest neighbors. "
                f"`{estimator}` requires data without repeated values. {_REMEDY}",
                stacklevel=3,
            )
        return value
    if validate_args:
        check = tf.debugging.assert_equal(
            tf.reduce_any(tied),
            False,
            f"`{estimator}` requires continuous data without repeated values. "
            f"{_REMEDY}",
        )
        with tf.control_dependencies([check]):
            value = tf.identity(value)
    return tf.where(tf.reduce_any(tied), tf.constant(np.nan, value.dtype), value)
