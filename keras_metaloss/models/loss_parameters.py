"""Models that train the parameters of their loss."""

from __future__ import annotations

import contextlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss.losses.ada_loss import AdaLoss
from keras_metaloss.losses.trainable_loss import (
    loss_parameters,
    loss_parameters_trained,
)
from keras_metaloss.models.example_gradients import (
    last_layer_statistics,
    parameter_statistics,
)
from keras_metaloss.models.traced_once import TracedOnce

__all__ = ["LossParameters"]


class LossParameters(TracedOnce):
    """Mix-in that makes a Keras model train the parameters of its compiled loss.

    Put it before the Keras class: `class Mine(kml.models.LossParameters, keras.Model)`,
    likewise with `keras.Sequential`. The parameters of the loss, or of several losses
    in a list or dictionary, become trainable weights of the model: its optimizer
    updates them and its files hold them, with the optimizer's moments. `weights` and
    `count_params` leave them out; `get_weights` has them at the end, so that callbacks
    which restore weights restore them too. It also computes, for a
    `kml.losses.AdaLoss`, gradients of each example by weights of the network.

    `keras.models.clone_model` makes a plain `keras.Sequential` of such a one, which
    says so when it is trained; `Mine.from_config(model.get_config())` keeps the class.

    An optimizer with weight decay would decay them as well: call
    `optimizer.exclude_from_weight_decay(var_list=loss.trainable_variables)` first.

    Example:

    >>> import keras, keras_metaloss as kml
    >>> class Mine(kml.models.LossParameters, keras.Sequential):
    ...     pass
    >>> model = Mine([keras.Input((2,)), keras.layers.Dense(3)])
    >>> model.compile(loss=kml.losses.SparseCategoricalFocalLoss(
    ...     "learned", from_logits=True))
    >>> len(model.weights), len(model.trainable_weights)
    (2, 3)
    """

    @property
    def trainable_weights(self) -> list[keras.Variable]:
        """Weights that training changes, those of the loss last."""
        return _joined(super().trainable_weights, self._loss_parameters())

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        """As `trainable_weights`: Keras builds the optimizer from these."""
        return _joined(super().trainable_variables, self._loss_parameters())

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tf.Tensor:
        """The compiled loss, its parameters trained and its gradients at hand."""
        _check_scope(self.distribute_strategy, self._loss_parameters())
        with contextlib.ExitStack() as stack:
            stack.enter_context(loss_parameters_trained())
            for loss in keras.tree.flatten(self.loss):
                if isinstance(loss, AdaLoss) and loss.needs_model:
                    stack.enter_context(_compat.added_losses_kept(self))
                    statistics = self._gradient_statistics(loss, x, y, y_pred)
                    stack.enter_context(loss.given(statistics))
            return super().compute_loss(x, y, y_pred, sample_weight, training)

    def get_weights(self) -> list[np.ndarray]:
        """Values of `weights`, then of the parameters of the loss."""
        own = [np.asarray(v) for v in self._loss_parameters(trainable=True)]
        return super().get_weights() + own

    def set_weights(self, weights: list[np.ndarray]) -> None:
        """Sets what `get_weights` gave, with or without the parameters of the loss."""
        weights = list(weights)
        parameters = self._loss_parameters(trainable=True)
        count = len(self.weights)
        super().set_weights(weights[:count])
        if len(weights) == count:
            return
        if len(weights) != count + len(parameters):
            raise ValueError(
                f"Invalid value for argument `weights`. Expected {count} arrays, or "
                f"{count + len(parameters)} with the parameters of the loss. "
                f"Received: {len(weights)} arrays"
            )
        for variable, value in zip(parameters, weights[count:], strict=True):
            variable.assign(value)

    # A method: Keras would follow a property that is the model itself without end.
    def _network(self):
        """What computes predictions."""
        return self

    def _gradient_statistics(self, loss, x, y, y_pred):
        if len(keras.tree.flatten(y_pred)) != 1:
            raise ValueError(
                f"An `AdaLoss(gradient={loss.gradient!r})` needs a model with one "
                "output; use `gradient='output'`. Received: "
                f"{len(keras.tree.flatten(y_pred))} outputs"
            )

        def values(y_true, y_pred):
            dtype = tf.float64 if loss.dtype == "float64" else tf.float32
            y_true, y_pred = (
                tf.cast(keras.tree.flatten(v)[0], dtype) for v in (y_true, y_pred)
            )
            return loss.loss.call(y_true, y_pred)

        arguments = (values, x, y)
        with_cosines = loss.alpha == "cosine"
        if loss.gradient == "last_layer":
            return last_layer_statistics(
                self._network(), *arguments, with_cosines=with_cosines
            )
        variables = super().trainable_variables
        return parameter_statistics(
            *(self._network(), variables, *arguments),
            chunk_size=loss.chunk_size,
            with_cosines=with_cosines,
        )

    def _loss_parameters(self, trainable=None):
        if not (self.trainable if trainable is None else trainable):
            return []
        # Keras asks for weights before its own constructor has set `loss`.
        return loss_parameters(getattr(self, "loss", None))


def _check_scope(strategy, variables):
    """Keras's optimizers would fail without a word."""
    for variable in variables if strategy.num_replicas_in_sync > 1 else ():
        if not strategy.extended.variable_created_in_scope(variable.value):
            raise ValueError(
                "Invalid value for argument `loss`. Expected a loss made where the "
                "model is made, within `strategy.scope()`, as it has parameters of its "
                f"own. Received: the parameter {variable.name!r}, made outside"
            )


def _joined(first, second):
    known = {id(v) for v in first}
    return first + [v for v in second if id(v) not in known]
