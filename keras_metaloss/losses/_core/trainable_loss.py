"""Losses with trainable parameters, which are trained and saved with the model."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_metaloss.losses._core.loss_context import LossContext
from keras_metaloss.losses._core.meta_loss import MetaLoss, nested_losses

__all__ = ["TrainableLoss", "check_no_parameters", "loss_parameters"]


class TrainableLoss(MetaLoss):
    """Base class for losses with trainable parameters.

    A subclass calls `add_parameter` in `__init__` and `parameter` in `values`.
    Parameters are saved automatically. `kml.AdaptiveLossModel`, or any model class with
    the mix-in `kml.models.TrainableLossMixin`, trains them together with its weights.
    Other Keras models would not train them, so `parameter` raises an error there during
    training. A custom training loop that trains them passes
    `context=kml.losses.LossContext(trains_parameters=True)`. Create the loss under the
    same `tf.distribute` scope as the model.

    The minimum of the loss over its parameters must be finite, as for a normalized
    likelihood. A parameter that only scales the loss down would diverge.

    Args:
        name: Name of the loss. Defaults to `None`, which uses the name of the class.
        reduction: Type of reduction to apply to the loss: `"sum_over_batch_size"`,
            `"sum"`, `"mean"`, `"mean_with_sample_weight"` or `None`. Defaults to
            `"sum_over_batch_size"`.
        dtype: Dtype of the loss computation. Defaults to `None`, which uses
            `keras.config.floatx()`. Parameters are float32, or float64 for a
            float64 loss.

    Raises:
        ValueError: If the loss is trained by a model that does not train its
            parameters.

    Example:

    >>> import keras, keras_metaloss as kml
    >>> class Laplace(kml.losses.TrainableLoss):
    ...     def __init__(self, **kwargs):
    ...         super().__init__(**kwargs)
    ...         self.add_parameter("log_scale", 0.0)
    ...
    ...     def values(self, y_true, y_pred, context):
    ...         log_scale = self.parameter("log_scale", context)
    ...         error = keras.ops.abs(y_true - y_pred) * keras.ops.exp(-log_scale)
    ...         return keras.ops.mean(error + log_scale, axis=-1)
    >>> loss = Laplace()
    >>> float(loss([[0.0]], [[2.0]]))
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
        self._parameters: dict[str, keras.Variable] = {}
        # Required by `keras.saving.save_model(loss)`.
        self.built = True

    def add_parameter(self, name: str, value: Any) -> None:
        """Adds a trainable parameter.

        Args:
            name: Name of the parameter, unique within the loss.
            value: Initial value, a number or an array.
        """
        # Small updates by the optimizer would be rounded to zero in bfloat16.
        dtype = "float64" if self.dtype == "float64" else "float32"
        self._parameters[name] = keras.Variable(
            np.asarray(value, dtype), dtype=dtype, name=f"{self.name}_{name}"
        )

    def parameter(self, name: str, context: LossContext) -> tf.Tensor:
        """Returns the current value of a parameter as a tensor, for use in `values`.

        Args:
            name: Name of the parameter.
            context: The context that `values` received.

        Raises:
            ValueError: If the training model does not train the parameter.
        """
        if not context.trains_parameters:
            raise ValueError(
                f"The loss {self.name!r} has trainable parameters, which this model "
                "does not train. Compile `kml.AdaptiveLossModel(model)` with this "
                "loss, or add `kml.models.TrainableLossMixin` as the first base class "
                "of the model. A custom training loop that trains them calls "
                "`loss(y_true, y_pred, context=kml.losses.LossContext("
                "trains_parameters=True))`. A loss that wraps it inherits from "
                "`kml.losses.MetaLoss` and passes on its context. Received: a model "
                "without "
                "`kml.models.TrainableLossMixin` and a loss with parameters "
                f"{sorted(self._parameters)}"
            )
        return tf.convert_to_tensor(self._parameters[name])

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        """The parameters of this loss."""
        return list(self._parameters.values())

    def save_own_variables(self, store: dict[str, Any]) -> None:
        super().save_own_variables(store)
        for name, variable in self._parameters.items():
            store[name] = variable.numpy()

    def load_own_variables(self, store: dict[str, Any]) -> None:
        super().load_own_variables(store)
        # Files of models that were compiled with another loss have no parameters.
        for name, variable in self._parameters.items():
            if name in store:
                variable.assign(store[name])


def loss_parameters(loss: Any) -> list[keras.Variable]:
    """Returns the trainable parameters of a compiled loss, without duplicates.

    Args:
        loss: Argument `loss` of `compile`. Losses nested in losses are included, and
            losses of users that have `trainable_variables`.
    """
    variables = (
        variable
        for one in nested_losses(loss)
        for variable in getattr(one, "trainable_variables", ())
    )
    return list({id(variable): variable for variable in variables}.values())


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
