"""Training and evaluation shared by all models of this package."""

from __future__ import annotations

import functools
import types
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss.losses._core.loss_context import LossContext
from keras_metaloss.losses._core.meta_loss import set_loss_steps
from keras_metaloss.models._shared.compiled_loss import (
    ContextualCompileLoss,
    WeightsAndContext,
)
from keras_metaloss.models._shared.first_rows import first_rows
from keras_metaloss.models._shared.saved_losses import (
    check_file_format,
    read_loss_state,
    restore_loss_state,
)
from keras_metaloss.models._shared.single_trace import SingleTraceMixin

__all__ = ["TrainingMixin"]


class TrainingMixin(SingleTraceMixin):
    """Mix-in for Keras models: losses with a context, callbacks, untracked state.

    Every model trains on the value of `compute_loss`, as Keras models do. Subclasses
    override it to change the loss, and `training_callbacks` to add callbacks to `fit`.
    """

    # If true, the compiled loss leaves out missing labels.
    _masks_missing = False

    @property
    def _untracked(self) -> types.SimpleNamespace:
        """State that Keras must neither track nor save."""
        # Keras tracks attributes that are set with `setattr`.
        return self.__dict__.setdefault(
            "_untracked_state", types.SimpleNamespace(evaluating=False, loss_state=None)
        )

    def training_callbacks(self) -> list[keras.callbacks.Callback]:
        """Returns the callbacks that `fit` runs before those of the user."""
        return []

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """Configures the model for training, as `keras.Model.compile`."""
        super().compile(
            optimizer, loss, loss_weights, metrics, weighted_metrics, *args, **kwargs
        )
        make = functools.partial(
            ContextualCompileLoss,
            default_context=self.loss_context,
            masks_missing=self._masks_missing,
        )
        _compat.replace_compiled_loss(self, make)
        state, self._untracked.loss_state = self._untracked.loss_state, None
        if state is not None:
            restore_loss_state(self.loss, state)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles the model as it was when it was saved."""
        if not type(self).compile.__module__.startswith("keras_metaloss."):
            # Keras explains what a custom `compile` needs.
            super().compile_from_config(config)
            return
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Trains the model, as `keras.Model.fit`."""
        if isinstance(x, tf.data.Dataset) and not args:
            # Keras warns about its default `shuffle=True` if `x` is a dataset.
            kwargs.setdefault("shuffle", False)
        if type(self).check_first_rows is not TrainingMixin.check_first_rows:
            built = self.built and all(x.built for x in _compat.flatten_layers(self))
            rows = first_rows(x, y) if self.compiled and built else None
            if rows is not None:
                # On a GPU, labels out of range give NaN without an error. The scope
                # keeps the state of layers.
                with tf.device("CPU:0"), keras.StatelessScope():
                    self.check_first_rows(*rows)
        callbacks = self._with_training_callbacks(callbacks)
        return super().fit(
            x, y, batch_size, epochs, verbose, callbacks, *args, **kwargs
        )

    def check_first_rows(self, x: Any, y: Any) -> None:
        """Validates the first examples of `fit`, if they are available.

        Does nothing by default.

        Args:
            x: Inputs of a few examples.
            y: Targets of these examples.
        """

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Evaluates the model, as `keras.Model.evaluate`."""
        self._untracked.evaluating = True
        try:
            return super().evaluate(x, y, batch_size, verbose, *args, **kwargs)
        finally:
            self._untracked.evaluating = False

    def train_step(self, data: Any) -> dict[str, Any]:
        """Takes one training step, then updates the step of scheduled losses."""
        logs = super().train_step(data)
        set_loss_steps(self.loss, self.optimizer.iterations)
        return logs

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
        *,
        context: LossContext | None = None,
    ) -> tf.Tensor:
        """Computes the compiled loss and the losses added by layers, a scalar.

        Args:
            x: Inputs. Defaults to `None`.
            y: Targets. Defaults to `None`.
            y_pred: Predictions. Defaults to `None`.
            sample_weight: Weights of the examples. Defaults to `None`.
            training: Whether the model is being trained. Defaults to `True`.
            context: A `kml.losses.LossContext` with additional inputs of the losses.
                The step is added here. Defaults to `None`.
        """
        if context is None or not _compat.uses_compute_loss_of_keras(
            type(self), TrainingMixin
        ):
            # The compiled loss asks for `loss_context` itself.
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        weights = WeightsAndContext(sample_weight, self.with_step(context))
        return super().compute_loss(x, y, y_pred, weights, training)

    def call_compute_loss(
        self,
        x: Any,
        y: Any,
        y_pred: Any,
        sample_weight: Any,
        training: bool,
        **kwargs: Any,
    ) -> tf.Tensor:
        """Calls `compute_loss`, which may be an override without `training`."""
        kwargs.update(_compat.compute_loss_arguments(self, training))
        return self.compute_loss(
            x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, **kwargs
        )

    def loss_context(self) -> LossContext:
        """Returns the part of the context that does not depend on the batch."""
        if not self.compiled or self.optimizer is None:
            return LossContext()
        return LossContext(step=tf.convert_to_tensor(self.optimizer.iterations))

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Saves the model, as `keras.Model.save`.

        Raises:
            ValueError: If the file format does not store the state of the loss.
        """
        check_file_format(filepath, getattr(self, "loss", None))
        super().save(filepath, *args, **kwargs)

    def load_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Loads weights, as `keras.Model.load_weights`.

        The next `compile` restores the state of the loss, if the model is not compiled.
        """
        super().load_weights(filepath, *args, **kwargs)
        if not self.compiled:
            self._untracked.loss_state = read_loss_state(filepath)

    def with_step(self, context: LossContext | None) -> LossContext:
        """Returns the context with the entries of `loss_context` that it lacks."""
        own = self.loss_context()
        if context is None:
            return own
        return context._replace(
            step=own.step if context.step is None else context.step,
            trains_parameters=context.trains_parameters or own.trains_parameters,
        )

    def _with_training_callbacks(self, callbacks: Any) -> Any:
        """Returns the callbacks of `fit`, preceded by those of the model.

        Callbacks of the model run first, so that checkpoints include their updates.
        """
        added = self.training_callbacks()
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            return [*added, *keras.tree.flatten(callbacks or [])]
        for callback in added:
            callback.set_params(callbacks.params)
            callback.set_model(self)
        # A list that is used again has those of the previous call.
        kinds = {type(callback) for callback in added}
        others = [c for c in callbacks.callbacks if type(c) not in kinds]
        callbacks.callbacks[:] = [*added, *others]
        return callbacks
