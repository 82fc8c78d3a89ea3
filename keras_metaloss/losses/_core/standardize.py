"""Conversion of losses, names and functions to Keras losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from keras_metaloss._utils.shapes import expand_to_same_rank

__all__ = ["FunctionLoss", "standardize_loss"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class FunctionLoss(keras.losses.Loss):
    """Keras loss that calls a function `(y_true, y_pred) -> values`.

    Args:
        function: Returns one value per example.
        name: Name of the loss. Defaults to `None`, which uses the name of the function.
    """

    def __init__(self, function: Callable, name: str | None = None) -> None:
        function_name = getattr(function, "__name__", "function_loss")
        # "<lambda>" is not a valid name scope.
        super().__init__(name=name or function_name.strip("<>"))
        self.function = function

    def call(self, y_true: Any, y_pred: Any) -> Any:
        tensors = (keras.ops.convert_to_tensor(v) for v in (y_true, y_pred))
        return self.function(*expand_to_same_rank(*tensors))

    def get_config(self) -> dict[str, Any]:
        function = keras.saving.serialize_keras_object(self.function)
        return {"name": self.name, "function": function}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> FunctionLoss:
        function = keras.saving.deserialize_keras_object(config["function"])
        return cls(function, name=config["name"])


def standardize_loss(name: str, value: Any) -> keras.losses.Loss:
    """Converts a value of `compile(loss=...)` for one output to a Keras loss.

    Args:
        name: Name of the argument, for the error message.
        value: A Keras loss, its name, or a function `(y_true, y_pred) -> values`.

    Raises:
        ValueError: If `value` is not a Keras loss, its name or a function.
    """
    if not (isinstance(value, (str, keras.losses.Loss)) or callable(value)):
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected a Keras loss, its name, or "
            f"a function. Received: {name}={value!r}"
        )
    loss = keras.losses.get(value)
    return loss if isinstance(loss, keras.losses.Loss) else FunctionLoss(loss)
