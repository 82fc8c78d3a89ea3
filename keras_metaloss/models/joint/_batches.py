"""Validation of the first examples passed to `JointModel.fit`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_metaloss.losses import MutualInformationLoss
from keras_metaloss.losses._core.traits import traits_of

__all__ = ["check_joint_batch", "first_rows"]

_ROWS = 32


def first_rows(x: Any, y: Any) -> tuple[Any, Any] | None:
    """Returns the first inputs and targets of `fit`, or `None` if unavailable."""
    if isinstance(x, tf.data.Dataset):
        for batch in x.take(1):
            x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
    elif any(not _is_array(value) for value in keras.tree.flatten((x, y))):
        return None
    if x is None or y is None:
        return None
    return keras.tree.map_structure(lambda a: tf.convert_to_tensor(a[:_ROWS]), (x, y))


def check_joint_batch(
    predict: Callable[[Any], Any], loss: MutualInformationLoss, x: Any, y: Any
) -> None:
    """Raises a `ValueError` for inputs and targets that would give invalid losses.

    Args:
        predict: Computes the outputs of all networks by name.
        loss: The compiled loss.
        x: Inputs of a few examples.
        y: Targets of these examples.
    """
    y = loss.by_task("y", y)
    for tensor in keras.tree.flatten(x):
        _check("x", tensor, np.isfinite, "finite numbers")
    # On a GPU, labels out of range give NaN without an error.
    with tf.device("CPU:0"):
        outputs = predict(x)
        for name, task_loss in loss.losses.items():
            _check(f"y[{name!r}]", y[name], lambda a: ~np.isinf(a), "finite or NaN")
            if traits_of(task_loss).integer_targets:
                classes = outputs[name].shape[-1]
                _check(
                    f"y[{name!r}]",
                    y[name],
                    lambda a, k=classes: ~(a >= k),
                    f"integer labels less than {classes}, the number of classes",
                )
        # In eager execution, the predicted distributions are validated.
        loss.compute_terms(y, outputs)


def _check(name: str, tensor: tf.Tensor, is_good: tf.Tensor, expected: str) -> None:
    array = np.asarray(tensor)
    if not np.issubdtype(array.dtype, np.number):
        return
    good = is_good(array)
    if not good.all():
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected {expected}. Received: "
            f"{name} with {array[~good][:5]}"
        )


def _is_array(value: Any) -> bool:
    return isinstance(value, (np.ndarray, tf.Tensor)) and value.ndim > 0
