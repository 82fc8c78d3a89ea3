"""Validation of predicted distributions and of their sample weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

__all__ = ["check_finite", "check_rows", "check_same_rows", "row_weights"]

_POSITIVE = (
    *("scale", "scale_diag", "concentration", "rate", "df"),
    *("concentration0", "concentration1"),
)

_WITH_ANY_CONCENTRATION = (tfd.GeneralizedPareto, tfd.GeneralizedExtremeValue)


def check_rows(name: str, distribution: tfd.Distribution) -> None:
    """Raises a `ValueError` unless the batch shape is `[N]`."""
    shape = distribution.batch_shape
    if shape.rank != 1 or shape[0] == 0:
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected one distribution per "
            "input, batch shape [N]; use `tfd.Independent` to make further axes part "
            f"of the event. Received: {name} with batch shape {tuple(shape)}"
        )


def check_same_rows(names: tuple[str, str], distributions: tuple[Any, Any]) -> None:
    """Raises a `ValueError` if the static batch sizes differ."""
    a, b = (distribution.batch_shape for distribution in distributions)
    if not a.is_compatible_with(b):
        raise ValueError(
            f"Expected `{names[0]}` and `{names[1]}` to have the same batch shape. "
            f"Received: {names[0]} with batch shape {tuple(a)}, {names[1]} with batch "
            f"shape {tuple(b)}"
        )


def check_finite(name: str, distribution: tfd.Distribution) -> None:
    """Raises a `ValueError` for parameters out of range, in eager execution only.

    Values are unknown while a graph is traced: use the distribution's
    `validate_args=True` there.
    """
    for key, value in distribution.parameters.items():
        if isinstance(value, tfd.Distribution):
            check_finite(name, value)
        elif key == "concentration" and isinstance(
            distribution, _WITH_ANY_CONCENTRATION
        ):
            continue
        elif key in ("probs", "logits", "loc", "scale_tril", *_POSITIVE):
            _check_parameter(name, key, value, distribution)


def _check_parameter(
    name: str, key: str, value: Any, distribution: tfd.Distribution
) -> None:
    if value is None or not _is_numeric(value):
        return
    array = np.asarray(value)
    if key == "logits" and not isinstance(distribution, tfd.Bernoulli):
        # A logit of minus infinity is a class of probability zero.
        valid = np.isfinite(array.max(axis=-1)).all() and not np.isnan(array).any()
    elif key == "logits":
        valid = not np.isnan(array).any()
    elif key == "scale_tril":
        diagonal = np.diagonal(array, axis1=-2, axis2=-1)
        valid = np.isfinite(array).all() and (diagonal > 0).all()
    elif key == "probs":
        valid = ((array >= 0) & (array <= 1)).all()
        if not isinstance(distribution, tfd.Bernoulli):
            valid = valid and np.allclose(array.sum(axis=-1), 1, atol=1e-3)
    else:
        valid = np.isfinite(array).all()
        valid = valid and (key not in _POSITIVE or (array > 0).all())
    if not valid:
        expected = {
            "logits": "neither NaN nor all minus infinity in a row",
            "probs": "probabilities that sum to one",
            "loc": "finite",
            "scale_tril": "finite with a positive diagonal",
        }.get(key, "finite and positive")
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected `{key}` to be {expected}. "
            f"Received: {name}.{key}={array}"
        )


def _is_numeric(value: Any) -> bool:
    """Returns whether the value is known, unlike that of a tensor in a graph."""
    if isinstance(value, tf.Variable):
        return tf.executing_eagerly()
    if isinstance(value, tf.Tensor):
        return hasattr(value, "numpy")
    return isinstance(value, (int, float, list, tuple, np.ndarray))


def row_weights(distribution: Any, sample_weight: Any, dtype: Any) -> tf.Tensor:
    """Returns weights of the inputs, `[N]`, that sum to one (or are all zero).

    Raises:
        ValueError: If there is not one weight per input, or if one is negative.
    """
    count = distribution.batch_shape_tensor()[0]
    if sample_weight is None:
        return tf.fill([count], 1 / tf.cast(count, dtype))
    weights = tf.cast(sample_weight, dtype)
    if not weights.shape.is_compatible_with(distribution.batch_shape):
        raise ValueError(
            "Invalid value for argument `sample_weight`. Expected one weight per "
            f"input, shape {tuple(distribution.batch_shape)}. Received: "
            f"sample_weight.shape={tuple(weights.shape)}"
        )
    if hasattr(weights, "numpy") and not (weights.numpy() >= 0).all():
        raise ValueError(
            "Invalid value for argument `sample_weight`. Expected non-negative "
            f"numbers. Received: sample_weight={weights.numpy()}"
        )
    return tf.math.divide_no_nan(weights, tf.reduce_sum(weights))
