"""Validation of the arguments of `MultiTaskModel`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_metaloss import _compat
from keras_metaloss.as_loss import as_loss
from keras_metaloss.losses.weighting import TaskWeighting
from keras_metaloss.models.task_outputs import output_names

__all__ = ["check_parts", "checked_losses", "checked_shared", "shared_variables"]


def check_parts(model: keras.Model, weighting: TaskWeighting) -> None:
    """Raises a `ValueError` unless the model and the weighting are valid."""
    if not isinstance(model, keras.Model) or not model.built:
        raise ValueError(
            "Invalid value for argument `model`. Expected a built Keras model. Start "
            "it with `keras.Input`, or call it once on a batch of inputs. Received: "
            f"model={model!r}"
        )
    names = ["output"] if isinstance(model, keras.Sequential) else output_names(model)
    if names is not None and len(names) < 2:
        raise ValueError(
            "Invalid value for argument `model`. Expected a model with several named "
            f"outputs. Received: a model with the outputs {names}"
        )
    if not isinstance(weighting, TaskWeighting):
        raise ValueError(
            "Invalid value for argument `weighting`. Expected an object of "
            "`kml.losses.weighting`, for example `kml.losses.weighting.PCGrad()`. "
            f"Received: weighting={weighting!r}"
        )
    if weighting.tasks is not None:
        raise ValueError(
            "Invalid value for argument `weighting`. Expected a new object, because "
            "this one has the state of another model's training. Received: weighting="
            f"{weighting!r} attached to the tasks {weighting.tasks}"
        )


def checked_losses(loss: Any, model: keras.Model) -> dict[str, keras.losses.Loss]:
    """Returns losses by task, sorted by task name.

    Args:
        loss: The `loss` argument of `compile`.
        model: The model whose output names are the keys of `loss`.

    Raises:
        ValueError: If `loss` is not a dictionary of at least two losses by output name.
    """
    names = output_names(model)
    if not isinstance(loss, dict) or any(isinstance(v, dict) for v in loss.values()):
        raise ValueError(
            "Invalid value for argument `loss`. Expected a dictionary of losses by "
            + "output name"
            + ("" if names is None else f", with names from {names}")
            + f". Received: loss={loss!r}"
        )
    unknown = [] if names is None else sorted(set(loss) - set(names))
    if unknown:
        raise ValueError(
            "Invalid value for argument `loss`. Expected names of the model's "
            f"outputs {names}. Received: loss with the unknown names {unknown}"
        )
    losses = {k: as_loss("loss", v) for k, v in sorted(loss.items()) if v is not None}
    if len(losses) < 2:
        raise ValueError(
            "Invalid value for argument `loss`. Expected losses for at least two "
            f"outputs. Received: loss={loss!r}"
        )
    return losses


def checked_shared(model: keras.Model, shared: Any) -> list[str | keras.Variable]:
    """Returns layer names and variables as a list, or raises a `ValueError`."""
    if isinstance(shared, (str, keras.Variable)):
        raise ValueError(
            "Invalid value for argument `shared`. Expected a list of layer names or "
            f"variables. Received: shared={shared!r}"
        )
    shared = list(shared)
    layers = {layer.name for layer in _compat.flatten_layers(model)}
    weights = {id(v) for v in model.weights}
    for one in shared:
        if isinstance(one, str):
            if one not in layers:
                raise ValueError(
                    "Invalid value for argument `shared`. Expected names of the "
                    f"layers {sorted(layers)}. Received: {one!r}"
                )
        elif id(one) not in weights:
            raise ValueError(
                "Invalid value for argument `shared`. Expected names of layers, or "
                f"variables of the model. Received: {one!r}"
            )
    return shared


def shared_variables(
    model: keras.Model, shared: Sequence[str | keras.Variable]
) -> list[keras.Variable]:
    """Returns the variables of the given layer names and variables."""
    named = {one for one in shared if isinstance(one, str)}
    variables = [one for one in shared if not isinstance(one, str)]
    for layer in _compat.flatten_layers(model):
        if layer.name in named:
            variables.extend(layer.weights)
    return variables
