"""Outputs, targets and sample weights of a model by output name."""

from __future__ import annotations

from typing import Any

import keras

__all__ = ["by_name", "output_names"]


def output_names(model: keras.Model) -> list[str] | None:
    """Returns the output names of a Functional model, or `None` for other models.

    Args:
        model: A built model.
    """
    if not hasattr(model, "output_names"):
        return None
    if isinstance(model.output, dict):
        return list(model.output)
    return list(model.output_names)


def by_name(argument: str, value: Any, model: keras.Model) -> dict[str, Any]:
    """Returns the values of all outputs as a dictionary by output name.

    Args:
        argument: Name of `value` in error messages.
        value: A dictionary, or a list if the model returns a list.
        model: The model.

    Raises:
        ValueError: If the output names cannot be determined.
    """
    if isinstance(value, dict) and not any(map(keras.tree.is_nested, value.values())):
        return value
    names: list[str] = []
    if hasattr(model, "output_names") and not isinstance(model.output, dict):
        names = list(model.output_names)
    if names and isinstance(value, (list, tuple)) and len(value) == len(names):
        return dict(zip(names, value, strict=True))
    structure = keras.tree.map_structure(lambda _: "*", value)
    raise ValueError(
        f"Invalid value for argument `{argument}`. Expected a dictionary by output name"
        + (f", or a list in the order {names}" if names else "")
        + f". Received: {argument} with the structure {structure}"
    )
