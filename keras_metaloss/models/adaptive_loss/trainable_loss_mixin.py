"""Mix-in for models that train the parameters of their loss."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss.losses._core.loss_context import (
    ExampleGradients,
    GradientStatistics,
    LossContext,
)
from keras_metaloss.losses._core.meta_loss import required_context
from keras_metaloss.losses._core.missing_labels import Labels, merge_masks
from keras_metaloss.losses._core.standardize import standardize_loss
from keras_metaloss.losses._core.trainable_loss import loss_parameters
from keras_metaloss.models._shared.compiled_loss import ContextualCompileLoss
from keras_metaloss.models._shared.first_rows import check_outputs, check_targets
from keras_metaloss.models._shared.masked_metrics import update_masked_metrics
from keras_metaloss.models._shared.training_mixin import TrainingMixin
from keras_metaloss.models.adaptive_loss._example_gradients import (
    last_layer_statistics,
    parameter_statistics,
)

__all__ = ["TrainableLossMixin"]


class TrainableLossMixin(TrainingMixin):
    """Mix-in for Keras models that trains the parameters of the compiled loss.

    List it before the Keras class:
    `class MyModel(kml.models.TrainableLossMixin, keras.Model)`, or `keras.Sequential`.
    The parameters of the loss, or of several losses in a list or dictionary, become
    trainable weights of the model. The optimizer updates them, and saved models include
    them with the optimizer state. `weights` and `count_params` exclude them.
    `get_weights` returns them last, so callbacks that restore weights restore them as
    well. The mix-in also computes the per-example gradients with respect to weights
    that `kml.losses.AdaLoss` can use.

    `keras.models.clone_model` turns a `keras.Sequential` with this mix-in into a plain
    `keras.Sequential`, which raises an error when trained. Use
    `MyModel.from_config(model.get_config())` to keep the class.

    NaN targets and negative integer labels are missing, as in the other models: they do
    not count in the loss and in metrics. `evaluate` averages the losses of batches over
    examples, as in Keras.

    An optimizer with weight decay also decays the parameters of the loss. To prevent
    this, call `optimizer.exclude_from_weight_decay(var_list=loss.trainable_variables)`.

    Raises:
        ValueError: In training, if the loss was created outside of the scope of a
            multi-replica strategy, or if `kml.losses.AdaLoss` cannot compute the
            requested gradients for the model.

    Example:

    >>> import keras, keras_metaloss as kml
    >>> class Mine(kml.models.TrainableLossMixin, keras.Sequential):
    ...     pass
    >>> model = Mine([keras.Input((2,)), keras.layers.Dense(3)])
    >>> model.compile(loss=kml.losses.SparseCategoricalFocalLoss(
    ...     "learned", from_logits=True))
    >>> len(model.weights), len(model.trainable_weights)
    (2, 3)
    """

    _masks_missing = True

    @property
    def trainable_weights(self) -> list[keras.Variable]:
        """Trainable weights of the model, followed by the parameters of the loss."""
        return _concatenate(super().trainable_weights, self._loss_parameters())

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        """Same as `trainable_weights`; Keras builds the optimizer with these."""
        return _concatenate(super().trainable_variables, self._loss_parameters())

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
        """Computes the compiled loss, whose parameters are trained.

        Args:
            x: Inputs. Defaults to `None`.
            y: Targets. Defaults to `None`.
            y_pred: Predictions. Defaults to `None`.
            sample_weight: Optional sample weights. Defaults to `None`.
            training: Whether the loss is computed for training. Defaults to `True`.
            context: A `kml.losses.LossContext` with additional inputs of the losses.
                Per-example gradients are added here. Defaults to `None`.

        Returns:
            Scalar loss.
        """
        _check_scope(self.distribute_strategy, self._loss_parameters())
        losses_context: Any = contextlib.nullcontext()
        if "example_gradients" in required_context(self.loss):
            context = (context or LossContext())._replace(
                example_gradients=self._example_gradients(x, y, y_pred)
            )
            # The gradients require a second forward pass, which would clear the losses
            # that layers added.
            losses_context = _compat.added_losses_kept(self)
        with losses_context:
            return super().compute_loss(
                x, y, y_pred, sample_weight, training, context=context
            )

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Computes the compiled metrics over the labels that are present.

        Args:
            x: Not used.
            y: Targets.
            y_pred: Predictions.
            sample_weight: Weights, one for all outputs or in their structure. Defaults
                to `None`.

        Returns:
            The results of all metrics.
        """
        labels = self._labels(y, y_pred)
        entries = [] if labels is None else keras.tree.flatten(labels)
        if all(entry.counted is None for entry in entries):
            return super().compute_metrics(x, y, y_pred, sample_weight)
        if not keras.tree.is_nested(sample_weight):
            sample_weight = keras.tree.map_structure(lambda _: sample_weight, y_pred)
        update_masked_metrics(self, labels, y_pred, sample_weight)
        return self.get_metrics_result()

    def check_first_rows(self, x: Any, y: Any) -> None:
        """Validates the first targets and predictions."""
        y_pred = self(x, training=False)
        check_outputs(x, y_pred)
        is_single = tf.is_tensor(y) and tf.is_tensor(y_pred)
        if is_single and isinstance(self.loss, (str, keras.losses.Loss)):
            check_targets("y", standardize_loss("loss", self.loss), y, y_pred)

    def loss_context(self) -> LossContext:
        """Returns a context for losses whose parameters are trained."""
        return super().loss_context()._replace(trains_parameters=True)

    def get_weights(self) -> list[np.ndarray]:
        """Returns the values of `weights`, followed by the parameters of the loss."""
        parameters = [np.asarray(v) for v in self._loss_parameters(trainable=True)]
        return super().get_weights() + parameters

    def set_weights(self, weights: list[np.ndarray]) -> None:
        """Sets weights from `get_weights`, with or without those of the loss.

        Args:
            weights: List of arrays.

        Raises:
            ValueError: If the number of arrays does not match.
        """
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

    # Not a property: Keras would follow a property that returns the model without end.
    def _network(self) -> keras.Model:
        """Returns the model that computes the predictions."""
        return self

    def _example_gradients(self, x: Any, y: Any, y_pred: Any) -> ExampleGradients:
        """Returns the function with which a loss computes per-example gradients."""
        network, variables = self._network(), super().trainable_variables
        outputs = len(keras.tree.flatten(y_pred))
        labels, present = self._labels(y, y_pred), None
        if isinstance(labels, Labels):
            y, present = labels.y_true, labels.mask

        def example_gradients(
            values: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
            *,
            weights: str,
            chunk_size: int,
            with_cosines: bool,
        ) -> GradientStatistics:
            if outputs != 1:
                raise ValueError(
                    "Invalid value for argument `gradient`. Gradients with respect to "
                    "weights require a model with one output; use "
                    f"`gradient='output'`. Received: gradient={weights!r} and a model "
                    f"with {outputs} outputs"
                )

            def loss(targets: tuple, y_pred: Any) -> tf.Tensor:
                result = values(targets[0], keras.tree.flatten(y_pred)[0])
                if len(targets) > 1:
                    # Missing labels have no gradient.
                    mask = merge_masks(targets[1], _compat.keras_mask(result))
                    _compat.set_keras_mask(result, mask)
                return result

            targets = (y,) if present is None else (y, present)
            if weights == "last_layer":
                statistics = last_layer_statistics(
                    network, loss, x, targets, with_cosines=with_cosines
                )
            else:
                statistics = parameter_statistics(
                    network,
                    variables,
                    loss,
                    x,
                    targets,
                    chunk_size=chunk_size,
                    with_cosines=with_cosines,
                )
            if present is None:
                return statistics
            axes = list(range(1, present.shape.rank))
            return statistics._replace(mask=tf.reduce_any(present, axis=axes))

        return example_gradients

    def _labels(self, y: Any, y_pred: Any) -> Any:
        """Returns the labels of the outputs, in their structure, or `None`."""
        compiled = _compat.compiled_loss(self)
        if y is None or not isinstance(compiled, ContextualCompileLoss):
            return None
        return compiled.labels(y, y_pred)

    def _loss_parameters(self, trainable: bool | None = None) -> list[keras.Variable]:
        if not (self.trainable if trainable is None else trainable):
            return []
        # Keras reads the weights before its constructor has set `loss`.
        return loss_parameters(getattr(self, "loss", None))


def _check_scope(
    strategy: tf.distribute.Strategy, variables: list[keras.Variable]
) -> None:
    """Validates the scope of variables; optimizers would silently not train them."""
    for variable in variables if strategy.num_replicas_in_sync > 1 else ():
        if not strategy.extended.variable_created_in_scope(variable.value):
            raise ValueError(
                "Invalid value for argument `loss`. Expected a loss with trainable "
                "parameters to be created like the model, within `strategy.scope()`. "
                f"Received: parameter {variable.name!r}, created outside of the scope"
            )


def _concatenate(
    first: list[keras.Variable], second: list[keras.Variable]
) -> list[keras.Variable]:
    """Concatenates two lists of variables, without duplicates."""
    known = {id(v) for v in first}
    return first + [v for v in second if id(v) not in known]
