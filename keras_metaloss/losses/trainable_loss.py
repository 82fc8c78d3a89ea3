"""Losses with parameters of their own, trained with the model and saved with it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_metaloss import _compat

__all__ = [
    "TrainableLoss",
    "check_no_parameters",
    "loss_parameters",
    "loss_parameters_trained",
]

_thread = threading.local()
_HOLDERS = (keras.losses.Loss, list, tuple, dict)


class TrainableLoss(keras.losses.Loss):
    """Base class of losses that may have trained parameters.

    A subclass calls `add_parameter` in its `__init__` and `parameter` in its `call`.
    Saving needs nothing more. `kml.AdaptiveLossModel`, or any model with the mix-in
    `kml.models.LossParameters`, trains the parameters with its weights; a plain Keras
    model would leave them as they are, so `parameter` raises an error in its training.
    Create the loss where the model is created: under the same `tf.distribute` scope.

    Only parameters that the loss itself tells something about belong here: a
    likelihood with its normalisation, say. One that merely scales the loss down would
    be driven to infinity.

    Args:
        name: name of the loss.
        reduction: as in Keras.
        dtype: dtype of the computation.
    """

    def __init__(
        self,
        name: str | None = None,
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self._parameters = {}
        # For `keras.saving.save_model(loss)`.
        self.built = True

    def add_parameter(self, name: str, value: Any) -> None:
        """Adds a trained parameter with its initial value."""
        # bfloat16 would round the optimizer's small updates away.
        dtype = "float64" if self.dtype == "float64" else "float32"
        self._parameters[name] = keras.Variable(
            np.asarray(value, dtype), dtype=dtype, name=f"{self.name}_{name}"
        )

    def parameter(self, name: str) -> tf.Tensor:
        """The value of a parameter, for `call`.

        Raises:
            ValueError: in the training of a model that does not train it.
        """
        if _compat.loss_is_being_trained() and not getattr(_thread, "depth", 0):
            raise ValueError(
                f"The loss {self.name!r} has parameters of its own, which this model "
                "would not train. Compile `kml.AdaptiveLossModel(model)` with it, or "
                "let the model's class inherit from `kml.models.LossParameters` "
                "first. Received: a model without `kml.models.LossParameters` and "
                f"parameters {sorted(self._parameters)}"
            )
        return tf.convert_to_tensor(self._parameters[name])

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        """The parameters of this loss."""
        return list(self._parameters.values())

    def save_own_variables(self, store: dict[str, Any]) -> None:
        for name, variable in self._parameters.items():
            store[name] = variable.numpy()

    def load_own_variables(self, store: dict[str, Any]) -> None:
        # A file without them is that of a model compiled with another loss.
        for name, variable in self._parameters.items():
            if name in store:
                variable.assign(store[name])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dtype": self.dtype}


def loss_parameters(loss: Any) -> list[keras.Variable]:
    """Parameters of a compiled loss, each once.

    Args:
        loss: what `compile(loss=...)` takes. Losses inside losses count too.
    """
    found = {}
    for part in keras.tree.flatten(loss):
        if isinstance(part, keras.losses.Loss):
            for variable in getattr(part, "trainable_variables", ()):
                found[id(variable)] = variable
            held = [v for v in vars(part).values() if isinstance(v, _HOLDERS)]
            found.update((id(v), v) for v in loss_parameters(held))
    return list(found.values())


def check_no_parameters(loss: Any, model: keras.Model) -> None:
    """Raises a `ValueError` for losses whose parameters `model` would not train."""
    names = [variable.name for variable in loss_parameters(loss)]
    if names:
        raise ValueError(
            "Invalid value for argument `loss`. Expected losses without parameters of "
            f"their own, which `{type(model).__name__}` does not train: fix them "
            "(`learned=False`, a number for `gamma`), or train one network by "
            f"`kml.AdaptiveLossModel`. Received: parameters {names}"
        )


@contextlib.contextmanager
def loss_parameters_trained() -> Iterator[None]:
    """Within the context a model computes its loss whose parameters it trains."""
    _thread.depth = getattr(_thread, "depth", 0) + 1
    try:
        yield
    finally:
        _thread.depth -= 1
