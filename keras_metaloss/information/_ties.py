"""What neighbour estimators do with points whose k-th neighbour is at distance zero."""

from __future__ import annotations

import warnings

import numpy as np
import tensorflow as tf

__all__ = ["TINY", "guard_ties"]

# Closer than this means equal: the smallest float64 that is not flushed to zero.
TINY = float(np.finfo("float64").tiny)

_REMEDY = "Use `mutual_information_mixed_ksg` for data with repeated values."


def guard_ties(
    value: tf.Tensor,
    tied: tf.Tensor,
    estimator: str,
    refuse_any: bool = False,
    validate_args: bool = False,
) -> tf.Tensor:
    """Never hands on a number that ties make meaningless.

    Run eagerly: a `ValueError` if all points are tied (or any, with `refuse_any`), a
    warning if some are. In a graph: NaN, or an assertion with `validate_args`.

    Args:
        value: the estimate.
        tied: `[N]`, whether the k-th neighbour of a point is at distance zero.
        estimator: its name, for messages.
        refuse_any: whether a single tie makes the estimate useless.
        validate_args: whether to assert in a graph.
    """
    if tf.executing_eagerly():
        ties, size = int(tf.math.count_nonzero(tied)), int(tf.size(tied))
        if ties == size or (refuse_any and ties):
            raise ValueError(
                f"`{estimator}` expects continuous data without repeated values. "
                f"{_REMEDY} Received: data in which {ties} of {size} samples coincide "
                "with their nearest neighbours"
            )
        if ties:
            warnings.warn(
                f"{ties} of {size} samples coincide with their nearest neighbours, "
                f"which `{estimator}` does not expect. {_REMEDY}",
                stacklevel=3,
            )
        return value
    if validate_args:
        check = tf.debugging.assert_equal(
            tf.reduce_any(tied), False, f"`{estimator}` got repeated values. {_REMEDY}"
        )
        with tf.control_dependencies([check]):
            value = tf.identity(value)
    return tf.where(tf.reduce_any(tied), tf.constant(np.nan, value.dtype), value)
