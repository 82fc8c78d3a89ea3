"""Validation of the arguments of a `MultiTaskModel`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import keras

from keras_metaloss import _compat
from keras_metaloss._utils.checks import check_names
from keras_metaloss.losses._core.standardize import standardize_loss
from keras_metaloss.losses.weighting import TaskWeighting
from keras_metaloss.models.multi_task._outputs import output_names

__all__ = [
    "are_frozen",
    "candidates",
    "check_entries",
    "check_outputs_exist",
    "check_parts",
    "checked_losses",
    "checked_shared",
    "shared_from_config",
    "shared_to_config",
]


def check_parts(model: keras.Model, weighting: TaskWeighting) -> None:
    """Raises a `ValueError` unless the model and the weighting are valid."""
    if not isinstance(model, keras.Model) or not model.built:
        raise ValueError(
            "Invalid value for argument `model`. Expected a built Keras model. Start "
            "it with `keras.Input`, or call it once on a batch of inputs. Received: "
            f"model={model!r}"
        )
    names = ["output"] if isinstance(model, keras.Sequential) else output_names(model)
    check_names("model", names or ())
    if names is not None and len(set(names)) < len(names):
        raise ValueError(
            "Invalid value for argument `model`. Expected different names of the "
            "outputs. Outputs in a list have the names of their layers; name outputs "
            "of the same layer with a dictionary: `keras.Model(model.inputs, {'first': "
            "model.outputs[0], 'second': model.outputs[1]})`. Received: a model with "
            f"the outputs {names}"
        )
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
    if weighting.tasks:
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
            "output name"
            + ("" if names is None else f", with names from {names}")
            + f". Received: loss={loss!r}"
        )
    unknown = [] if names is None else sorted(set(loss) - set(names))
    if unknown:
        raise ValueError(
            "Invalid value for argument `loss`. Expected names of the model's "
            f"outputs {names}. Received: loss with the unknown names {unknown}"
        )
    losses = {
        k: standardize_loss("loss", v) for k, v in sorted(loss.items()) if v is not None
    }
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
    for entry in shared:
        if isinstance(entry, str):
            if entry not in layers:
                raise ValueError(
                    "Invalid value for argument `shared`. Expected names of the "
                    f"layers {sorted(layers)}. Received: shared with {entry!r}"
                )
        elif id(entry) not in weights:
            raise ValueError(
                "Invalid value for argument `shared`. Expected names of layers, or "
                f"variables of the model. Received: shared with {entry!r}"
            )
    return shared


def check_entries(argument: str, entries: dict[str, Any], tasks: Iterable[str]) -> None:
    """Raises a `ValueError` unless there is an entry for each task."""
    missing = sorted(set(tasks) - set(entries))
    if missing:
        raise ValueError(
            f"Invalid value for argument `{argument}`. Expected one entry for each "
            f"task in `loss`. Received: {argument} with the names {sorted(entries)}, "
            f"without {missing}"
        )


def check_outputs_exist(
    argument: str, entries: dict[str, Any], outputs: Iterable[str]
) -> None:
    """Raises a `ValueError` if an entry belongs to no output of the model."""
    unknown = sorted(set(entries) - set(outputs))
    if unknown:
        raise ValueError(
            f"Invalid value for argument `{argument}`. Expected names of the model's "
            f"outputs {list(outputs)}. Received: {argument} with the unknown names "
            f"{unknown}"
        )


def candidates(
    model: keras.Model, shared: Sequence[str | keras.Variable] | None
) -> list[keras.Variable]:
    """Returns the trainable variables that may be shared by tasks.

    Args:
        model: The model with several outputs.
        shared: Names of layers and variables, or `None` for all.
    """
    return _named(model, shared, model.trainable_weights)


def are_frozen(
    model: keras.Model, shared: Sequence[str | keras.Variable] | None
) -> bool:
    """Returns whether a parameter that tasks may share is frozen.

    Args:
        model: The model with several outputs.
        shared: Names of layers and variables, or `None` for all.
    """
    trainable = {id(v) for v in model.trainable_weights}
    variables = _named(model, shared, _compat.own_weights(model))
    return any(id(v) not in trainable for v in variables)


def _named(
    model: keras.Model,
    shared: Sequence[str | keras.Variable] | None,
    variables: list[keras.Variable],
) -> list[keras.Variable]:
    """Returns the variables that `shared` names; all of them if it is `None`."""
    if shared is None:
        return variables
    layers = {x for x in shared if isinstance(x, str)}
    ids = {id(x) for x in shared if not isinstance(x, str)}
    for layer in _compat.flatten_layers(model):
        if layer.name in layers:
            ids.update(id(v) for v in layer.weights)
    return [v for v in variables if id(v) in ids]


def shared_to_config(
    model: keras.Model, shared: Sequence[str | keras.Variable] | None
) -> list[str | int] | None:
    """Returns names of layers and positions of variables among the weights."""
    if shared is None:
        return None
    # Loading may change the paths of variables, but not their order.
    order = {id(v): index for index, v in enumerate(model.weights)}
    return [x if isinstance(x, str) else order[id(x)] for x in shared]


def shared_from_config(
    model: keras.Model, config: list[str | int] | None
) -> list[str | keras.Variable] | None:
    """Returns the names and variables of `shared_to_config`."""
    if config is None:
        return None
    weights = model.weights
    return [x if isinstance(x, str) else weights[x] for x in config]
