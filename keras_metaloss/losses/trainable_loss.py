"""Losses with trainable parameters, which are trained and saved with the model."""

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
    """Base class for losses with trainable parameters.

    A subclass calls `add_parameter` in `__init__` and `parameter` in `call`. Parameters
    are saved automatically. `kml.AdaptiveLossModel`, or any model class with the mix-in
    `kml.models.LossParameters`, trains them together with its weights. Other Keras
    models would not train them, so `parameter` raises an error there during training.
    Create the loss under the same `tf.distribute` scope as the model.

    The minimum of the loss over its parameters must be finite, as for a normalized
    likelihood. A parameter that only scales the loss down would diverge.

    Args:
        name: name of the loss. Defaults to `None`, which uses the name of the class.
        reduction: type of reduction to apply to the loss, as for any Keras loss.
            Defaults to `"sum_over_batch_size"`.
        dtype: dtype of the loss computation. Defaults to `None`, which uses
            `keras.backend.floatx()`. Parameters are float32, or float64 for a
            float64 loss.

    Raises:
        ValueError: if the loss is trained by a model that does not train its
            parameters.

    Example:

    >>> import keras, numpy as np, keras_metaloss as kml
    >>> class Laplace(kml.losses.TrainableLoss):
    ...     def __init__(self, **kwargs):
    ...         super().__init__(**kwargs)
    ...         self.add_parameter("log_scale", 0.0)
    ...
    ...     def call(self, y_true, y_pred):
    ...         log_scale = self.parameter("log_scale")
    ...         error = keras.ops.abs(y_true - y_pred) * keras.ops.exp(-log_scale)
    ...         return keras.ops.mean(error + log_scale, axis=-1)
    >>> loss = Laplace()
    >>> float(loss(np.zeros((1, 1)), np.full((1, 1), 2.0)))
    2.0
    >>> len(loss.trainable_variables)
    1
    """

    def __init__(
        self,
        name: str | None = None,
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self._parameters = {}
        # Required by `keras.saving.save_model(loss)`.
        self.built = True

    def add_parameter(self, name: str, value: Any) -> None:
        """Adds a trainable parameter.

        Args:
            name: name of the parameter, unique within the loss.
            value: initial value, a number or an array.
        """
        # Small updates by the optimizer would be rounded to zero in bfloat16.
        dtype = "float64" if self.dtype == "float64" else "float32"
        self._parameters[name] = keras.Variable(
            np.asarray(value, dtype), dtype=dtype, name=f"{self.name}_{name}"
        )

    def parameter(self, name: str) -> tf.Tensor:
        """Returns the current value of a parameter as a tensor, for use in `call`.

        Args:
            name: name of the parameter.

        Raises:
            ValueError: in the training of a model that does not train the parameter.
        """
        if _compat.loss_is_being_trained() and not getattr(_thread, "depth", 0):
            raise ValueError(
                f"The loss {self.name!r} has trainable parameters, which this model "
                "does not train. Compile `kml.AdaptiveLossModel(model)` with this "
                "loss, or add `kml.models.LossParameters` as the first base class of "
                "the model. Received: a model without `kml.models.LossParameters` and "
                f"a loss with parameters {sorted(self._parameters)}"
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
        # Files of models that were compiled with another loss have no parameters.
        for name, variable in self._parameters.items():
            if name in store:
                variable.assign(store[name])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dtype": self.dtype}


def loss_parameters(loss: Any) -> list[keras.Variable]:
    """Returns the trainable parameters of a compiled loss, without duplicates.

    Args:
        loss: any value of `compile(loss=...)`. Losses nested in losses are included.
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
    """Raises a `ValueError` if `loss` has parameters, which `model` does not train."""
    names = [variable.name for variable in loss_parameters(loss)]
    if names:
        raise ValueError(
            "Invalid value for argument `loss`. Expected losses without trainable "
            f"parameters: `{type(model).__name__}` does not train them. Use fixed "
            "values (`learned=False`, or a number for `gamma`), or train a single "
            f"network with `kml.AdaptiveLossModel`. Received: parameters {names}"
        )


@contextlib.contextmanager
def loss_parameters_trained() -> Iterator[None]:
    """Context in which a model that trains loss parameters computes its loss."""
    _thread.depth = getattr(_thread, "depth", 0) + 1
    try:
        yield
    finally:
        _thread.depth -= 1
