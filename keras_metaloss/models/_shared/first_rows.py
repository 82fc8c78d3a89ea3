"""Validation of the first examples passed to `fit`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_metaloss.losses._core.meta_loss import nested_losses
from keras_metaloss.losses._core.missing_labels import labels_of
from keras_metaloss.losses._core.traits import traits_of

__all__ = ["check_inputs", "check_outputs", "check_targets", "first_rows"]

_ROWS = 32


def first_rows(x: Any, y: Any) -> tuple[Any, Any] | None:
    """Returns the first inputs and targets of `fit`, or `None` if unavailable."""
    if isinstance(x, tf.data.Dataset):
        batch = next(iter(x.take(1)), None)
        x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
    if x is None or y is None:
        return None
    # Ragged and sparse tensors and other kinds of data are not validated.
    if any(not _is_array(value) for value in keras.tree.flatten((x, y))):
        return None
    return keras.tree.map_structure(lambda a: tf.convert_to_tensor(a[:_ROWS]), (x, y))


def check_inputs(x: Any) -> None:
    """Raises a `ValueError` for inputs that are not finite."""
    for tensor in keras.tree.flatten(x):
        _check("x", tensor, np.isfinite, "finite numbers")


def check_outputs(x: Any, y_pred: Any) -> None:
    """Raises a `ValueError` for predictions that are not finite.

    A model may accept NaN inputs, for example if its first layer replaces them.

    Args:
        x: Inputs.
        y_pred: Predictions for these inputs.
    """
    for tensor in keras.tree.flatten(y_pred):
        array = np.asarray(tensor)
        if _is_float(array) and not np.isfinite(array).all():
            check_inputs(x)
            _check("model", tensor, np.isfinite, "a model with finite predictions")


def check_targets(
    name: str, loss: keras.losses.Loss, y_true: Any, y_pred: tf.Tensor
) -> None:
    """Raises a `ValueError` for targets that the loss of an output cannot use.

    Args:
        name: Name of the targets in messages.
        loss: Loss of the output.
        y_true: Targets, `[N, ...]`. NaN and negative integer labels are missing.
        y_pred: Predictions, `[N, ...]`.
    """
    labels_of(loss, y_true, y_pred)
    _check(name, y_true, lambda a: ~np.isinf(a), "finite numbers, or NaN if missing")
    traits = traits_of(loss)
    if not traits.integer_targets:
        return
    _check(
        name,
        y_true,
        lambda a: np.isnan(a) | (a == np.floor(a)),
        "integer labels, or NaN if missing",
    )
    if traits.output_kind in ("logits", "probabilities"):
        count = y_pred.shape[-1]
        labels = [getattr(x, "ignore_class", None) for x in nested_losses(loss)]
        ignored: list[int] = [label for label in labels if label is not None]
        _check(
            name,
            y_true,
            lambda a: ~(a >= count) | np.isin(a, ignored),
            f"integer labels less than {count}, the number of classes",
        )


def _check(
    name: str,
    tensor: tf.Tensor,
    is_good: Callable[[np.ndarray], np.ndarray],
    expected: str,
) -> None:
    array = np.asarray(tensor)
    if not np.issubdtype(array.dtype, np.number) and not _is_float(array):
        return
    good = is_good(array)
    if not good.all():
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected {expected}. Received: "
            f"{name} with {array[~good][:5]}"
        )


def _is_float(array: np.ndarray) -> bool:
    """Returns whether the dtype is floating, including bfloat16."""
    return tf.as_dtype(array.dtype).is_floating


def _is_array(value: Any) -> bool:
    return isinstance(value, (np.ndarray, tf.Tensor)) and value.ndim > 0
