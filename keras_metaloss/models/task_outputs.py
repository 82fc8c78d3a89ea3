"""Outputs, targets and weights of a model with several outputs, by name."""

from __future__ import annotations

from typing import Any

import keras

__all__ = ["by_name", "output_names"]


def output_names(model: keras.Model) -> list[str] | None:
    """Names of the outputs of a Functional model; `None` where they show when called.

    Args:
        model: a built model.
    """
    if not hasattr(model, "output_names"):
        return None
    if isinstance(model.output, dict):
        return list(model.output)
    return list(model.output_names)


def by_name(argument: str, value: Any, model: keras.Model) -> dict[str, Any]:
    """What belongs to each output, as a dictionary by the output's name.

    Args:
        argument: what `value` is, for the message.
        value: a dictionary, or a list where the model returns a list.
        model: the model.

    Raises:
        ValueError: if the names are not known.
    """
    if isinstance(value, dict) and not any(map(keras.tree.is_nested, value.values())):
        return value
    names = getattr(model, "output_names", None)
    as_list = names is not None and not isinstance(model.output, dict)
    if as_list and isinstance(value, (list, tuple)) and len(value) == len(names):
        return dict(zip(names, value, strict=True))
    structure = keras.tree.map_structure(lambda _: "*", value)
    raise ValueError(
        f"Expected `{argument}` as a dictionary by output name"
        + (f", or a list in the order {list(names)}" if as_list else "")
        + f". Received: {argument} of the structure {structure}"
    )
