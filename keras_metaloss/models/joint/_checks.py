"""Validation of the arguments of a `JointModel`."""

from __future__ import annotations

from typing import Any

import keras

from keras_metaloss._utils.checks import check_names
from keras_metaloss.losses import MutualInformationLoss

__all__ = ["check_epochs", "check_networks", "standardize_joint_loss"]


def check_networks(model_a: Any, model_b: Any) -> dict[str, keras.Model]:
    """Validates the networks and returns them by name.

    Raises:
        ValueError: If there are fewer than two networks, or if a network is not a
            built model with one output.
    """
    if isinstance(model_a, dict):
        networks = dict(model_a)
        if model_b is not None or len(networks) < 2:
            raise ValueError(
                "Invalid value for argument `model_a`. Expected a dictionary of at "
                "least two models without `model_b`, or two models. Received: "
                f"model_a={model_a!r}, model_b={model_b!r}"
            )
    else:
        networks = {"a": model_a, "b": model_b}
    check_names("model_a", networks)
    check_names("model_a", networks)
    for name, network in networks.items():
        if not isinstance(network, keras.Model) or not network.built:
            raise ValueError(
                f"Invalid network of task {name!r}. Expected a built Keras model. "
                "Start it with `keras.Input`, or call it once on a batch of inputs. "
                f"Received: {network!r}"
            )
        if len(getattr(network, "outputs", None) or [None]) != 1:
            raise ValueError(
                f"Invalid network of task {name!r}. Expected a model with one output. "
                f"Received: {len(network.outputs)} outputs"
            )
    return networks


def check_epochs(value: Any) -> int:
    """Returns the number of epochs, or raises a `ValueError`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(
            "Invalid value for argument `warmup_epochs`. Expected a non-negative "
            f"integer. Received: warmup_epochs={value!r}"
        )
    return value


def standardize_joint_loss(loss: Any, tasks: tuple[str, ...]) -> MutualInformationLoss:
    """Converts the `loss` argument of `compile` to a `MutualInformationLoss`.

    Args:
        loss: Argument `loss` of `compile`.
        tasks: Names of the tasks.

    Raises:
        ValueError: If `loss` is neither a `MutualInformationLoss` of these tasks nor
            one loss per task.
    """
    if isinstance(loss, (list, tuple)) and len(loss) == len(tasks):
        loss = dict(zip(tasks, loss, strict=True))
    if isinstance(loss, dict) and set(loss) == set(tasks):
        loss = MutualInformationLoss({name: loss[name] for name in tasks})
    if not isinstance(loss, MutualInformationLoss) or (set(loss.tasks) != set(tasks)):
        raise ValueError(
            "Invalid value for argument `loss`. Expected a "
            "`kml.losses.MutualInformationLoss` of the tasks "
            f"{tasks}, or one loss per task. Received: loss={loss!r}"
            + (f" of {loss.tasks}" if hasattr(loss, "tasks") else "")
        )
    return loss
