"""Validation and preprocessing of the arguments of estimators from samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from keras_metaloss._utils.checks import check_choice, check_positive_integer
from keras_metaloss.information._core.nan_unless import nan_unless
from keras_metaloss.information._core.same_length import check_same_length

__all__ = [
    "as_labels",
    "as_pair",
    "as_points",
    "as_samples",
    "check_neighbors",
    "scale_by_range",
    "nan_unless_finite",
    "preprocess_columns",
]

PREPROCESS = (None, "standardize", "rank")


def as_samples(name: str, value: Any, validate_args: bool = False) -> tf.Tensor:
    """Converts samples of a continuous variable to `[N, D]`, float32 or float64.

    `[N]` becomes `[N, 1]`, and half precision becomes float32. Finiteness is always
    checked in eager mode, and in graph mode only with `validate_args=True`.
    """
    value = tf.convert_to_tensor(value)
    if not value.dtype.is_floating:
        raise TypeError(
            f"Invalid value for argument `{name}`. Expected a continuous variable with "
            "a floating-point dtype. For integer labels, use "
            "`mutual_information_plug_in`; for integer labels and a continuous "
            "variable, use `mutual_information_ross`; to treat integers as numbers, "
            "cast them to a floating-point dtype. "
            f"Received: {name}.dtype={value.dtype.name}"
        )
    if value.dtype.size < 4:
        value = tf.cast(value, tf.float32)
    if value.shape.rank not in (1, 2):
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected shape [N] or [N, D]. "
            f"Received: {name}.shape={value.shape}"
        )
    if value.shape.rank == 1:
        value = value[:, tf.newaxis]
    if value.shape[1] is None:
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected a static last dimension. "
            f"Received: {name}.shape={value.shape}"
        )
    _check_size(name, value)
    if value.shape[0] is None:
        value = nan_unless(tf.shape(value)[0] > 1, value)
    message = f"Invalid value for argument `{name}`. Expected finite values."
    if tf.executing_eagerly():
        finite = tf.math.is_finite(value)
        if not tf.reduce_all(finite):
            bad = int(tf.math.count_nonzero(~finite))
            raise ValueError(
                f"{message} Received: {name} with non-finite values, {bad} in total"
            )
    elif validate_args:
        check = tf.debugging.assert_all_finite(value, message)
        with tf.control_dependencies([check]):
            value = tf.identity(value)
    return value


def as_labels(name: str, value: Any) -> tf.Tensor:
    """Converts integer or boolean labels of shape `[N]` or `[N, 1]` to int64 `[N]`."""
    value = tf.convert_to_tensor(value)
    if not (value.dtype.is_integer or value.dtype.is_bool):
        raise TypeError(
            f"Invalid value for argument `{name}`. Expected integer labels. For two "
            "continuous variables, use `mutual_information_ksg`; for integer labels "
            "and a continuous variable, use `mutual_information_ross`. "
            f"Received: {name}.dtype={value.dtype.name}"
        )
    if value.shape.rank == 2 and value.shape[1] == 1:
        value = value[:, 0]
    if value.shape.rank != 1:
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected shape [N] or [N, 1]. "
            f"Received: {name}.shape={value.shape}"
        )
    _check_size(name, value)
    return tf.cast(value, tf.int64)


def _check_size(name: str, value: tf.Tensor) -> None:
    if (value.shape[0] is not None and value.shape[0] < 2) or (
        value.shape.rank == 2 and value.shape[1] == 0
    ):
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected at least two samples with "
            f"at least one dimension. Received: {name}.shape={value.shape}"
        )


def as_pair(
    x: Any, y: Any, preprocess: str | None = None, validate_args: bool = False
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns paired samples `[N, Dx]` and `[N, Dy]` of one dtype, preprocessed."""
    check_choice("preprocess", preprocess, PREPROCESS)
    x = as_samples("x", x, validate_args)
    y = as_samples("y", y, validate_args)
    check_same_length(x=x, y=y)
    if None in (x.shape[0], y.shape[0]):
        x = nan_unless(tf.shape(x)[0] == tf.shape(y)[0], x)
    if x.dtype != y.dtype:
        x, y = tf.cast(x, tf.float64), tf.cast(y, tf.float64)
    return preprocess_columns(x, preprocess), preprocess_columns(y, preprocess)


def as_points(x: tf.Tensor, preprocess: str | None = None) -> tf.Tensor:
    """Returns preprocessed float64 samples without gradient, for neighbor searches."""
    return preprocess_columns(tf.stop_gradient(tf.cast(x, tf.float64)), preprocess)


def preprocess_columns(x: tf.Tensor, preprocess: str | None) -> tf.Tensor:
    """Standardizes each column, or replaces it by its normal scores, or neither."""
    if preprocess == "standardize":
        # Constant columns become exactly zero, in spite of rounding in their mean.
        x, _ = scale_by_range(x)
        mean = tf.reduce_mean(x, axis=0)
        deviation = tf.math.reduce_std(x, axis=0)
        return tf.math.divide_no_nan(x - mean, deviation)
    if preprocess == "rank":
        return normal_scores(x)
    return x


def scale_by_range(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Subtracts the first sample and divides each column by its largest magnitude.

    Without this scaling, squares of very small or very large values would underflow or
    overflow. Returns the scaled columns and their scale `[D]`.
    """
    x = x - x[:1]
    scale = tf.stop_gradient(tf.reduce_max(tf.abs(x), axis=0))
    scale = tf.where(scale > 0, scale, tf.ones_like(scale))
    return x / scale, scale


def normal_scores(x: tf.Tensor) -> tf.Tensor:
    """Returns normal quantiles of `rank / (N + 1)` per column; ties share the mean."""
    columns = tf.transpose(x)
    ordered = tf.sort(columns, axis=-1)
    below = tf.searchsorted(ordered, columns, side="left")
    through = tf.searchsorted(ordered, columns, side="right")
    ranks = tf.cast(below + through + 1, x.dtype) / 2
    count = tf.cast(tf.shape(x)[0], x.dtype)
    scores = tf.transpose(tf.math.ndtri(ranks / (count + 1)))
    # Values without a rank (NaN and infinity) become NaN.
    return tf.where(tf.math.is_finite(x), scores, tf.constant(np.nan, x.dtype))


def nan_unless_finite(value: tf.Tensor, *samples: tf.Tensor) -> tf.Tensor:
    """Returns the estimate. In graph mode, returns NaN if samples are not finite."""
    if tf.executing_eagerly():
        return value
    finite = [tf.reduce_all(tf.math.is_finite(x)) for x in samples]
    return nan_unless(tf.reduce_all(finite), value)


def check_neighbors(n_neighbors: Any, samples: tf.Tensor) -> tuple[int, tf.Tensor]:
    """Validates that `n_neighbors` is less than the number of samples.

    Returns `n_neighbors` and the samples. If the number of samples is known only in
    graph mode and is too small, the returned samples are NaN.
    """
    n_neighbors = check_positive_integer("n_neighbors", n_neighbors)
    size = samples.shape[0]
    if size is not None and n_neighbors >= size:
        raise ValueError(
            "Invalid value for argument `n_neighbors`. Expected fewer neighbors than "
            f"samples. Received: n_neighbors={n_neighbors} for {size} samples"
        )
    if size is None:
        samples = nan_unless(tf.shape(samples)[0] > n_neighbors, samples)
    return n_neighbors, samples
