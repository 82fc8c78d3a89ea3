"""Validation of the first examples passed to `JointModel.fit`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras_metaloss.losses import MutualInformationLoss
from keras_metaloss.models._shared.first_rows import check_inputs, check_targets

__all__ = ["check_joint_batch"]


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
    check_inputs(x)
    outputs = predict(x)
    for name, task_loss in loss.losses.items():
        check_targets(f"y[{name!r}]", task_loss, y[name], outputs[name])
    # In eager execution, the predicted distributions are validated.
    loss.compute_terms(y, outputs)
