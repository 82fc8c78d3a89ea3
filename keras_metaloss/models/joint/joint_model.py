"""Joint training of several networks that maximizes their mutual information."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss.losses._core.loss_context import LossContext
from keras_metaloss.losses._core.trainable_loss import check_no_parameters
from keras_metaloss.models._shared.masked_metrics import update_masked_metrics
from keras_metaloss.models._shared.training_mixin import TrainingMixin
from keras_metaloss.models.joint._batches import check_joint_batch
from keras_metaloss.models.joint._checks import (
    check_epochs,
    check_networks,
    standardize_joint_loss,
)
from keras_metaloss.models.joint._metrics import (
    JointMetrics,
    labels_by_task,
    weights_by_task,
)
from keras_metaloss.models.joint._network_optimizers import NetworkOptimizers
from keras_metaloss.models.joint._shared_layers import (
    shared_layers,
    with_shared_layers,
)

__all__ = ["JointModel"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class JointModel(TrainingMixin, keras.Model):
    """Trains two or more networks jointly with `L_A + L_B - beta * I(A;B)`.

    `I(A;B)` is the mutual information of the distributions that two networks predict
    over a batch. Maximizing it makes their predictions informative about each other.
    For the first `warmup_epochs`, each network is trained with its own loss only, and
    after that with the joint objective.

    `compile`, `fit`, `evaluate`, `predict`, callbacks, saving and export work as for
    any Keras model. NaN targets and negative integer labels are missing: their examples
    still contribute to the losses of the other tasks and to `I(A;B)`. Targets of
    predictions that a Keras mask excludes do not count in losses and metrics.

    Networks may share layers, or be the same network for two views of the inputs:
    `JointModel({"a": net, "b": net})` with the inputs `{"a": x, "b": changed_x}`.
    Layers stay shared in saved files if the networks are Functional or Sequential.

    Logs: `loss`, `loss_<task>`, `mutual_information` (the sum over pairs, and
    `mutual_information_<a>_<b>` if there is more than one pair), `entropy_<task>` and
    the compiled metrics. Mutual information and entropies are in nats.

    Args:
        model_a: A built Keras model with one output, or a dictionary of at least two
            such models, by name.
        model_b: A built Keras model with one output. Must be `None` if `model_a` is a
            dictionary. Defaults to `None`.
        warmup_epochs: Number of epochs, over all calls of `fit`, that are trained
            without the mutual information. `train_on_batch` does not count epochs.
            Defaults to `0`.
        name: Name of the model; `None` generates one. Defaults to `None`.

    Call arguments:
        inputs: Inputs of all networks, or a dictionary of the inputs of each network,
            by name: `{"a": ..., "b": ...}`.
        training: Whether to run in training mode. Defaults to `None`, which uses the
            default of the networks.

    Output shape:
        A dictionary of the outputs of the networks, by name. Targets have the same
        structure, or are a tuple in the order of the networks.

    Raises:
        ValueError: If a network is not built or has several outputs, or if an argument
            is invalid.

    Example:

    >>> import keras, numpy as np, keras_metaloss as kml
    >>> def network(units):
    ...     return keras.Sequential([keras.Input((3,)), keras.layers.Dense(units)])
    >>> model = kml.JointModel(network(2), network(1))
    >>> model.compile(
    ...     optimizer="adam",
    ...     loss=kml.losses.MutualInformationLoss(
    ...         keras.losses.SparseCategoricalCrossentropy(from_logits=True), "mse"),
    ...     metrics={"a": ["accuracy"]})
    >>> x = np.random.default_rng(0).normal(size=(32, 3))
    >>> y = {"a": (x[:, 0] > 0).astype(int), "b": x[:, 0] + x[:, 1]}
    >>> history = model.fit(x, y, epochs=2, verbose=0)
    >>> sorted(history.history)
    ['a_accuracy', 'entropy_a', 'entropy_b', 'loss', 'loss_a', 'loss_b',
     'mutual_information']
    >>> model.predict(x, verbose=0)["b"].shape
    (32, 1)

    Reference:
        Five steps of the first article: two networks, the loss of each, their predicted
        distributions, the mutual information of these, and the joint objective.
    """

    def __init__(
        self,
        model_a: keras.Model | dict[str, keras.Model],
        model_b: keras.Model | None = None,
        *,
        warmup_epochs: int = 0,
        name: str | None = None,
    ) -> None:
        # No autocast: the networks cast their inputs, and integer IDs must not be
        # rounded to float16.
        super().__init__(name=name, autocast=False)
        self.networks = check_networks(model_a, model_b)
        self.warmup_epochs = check_epochs(warmup_epochs)
        self.epochs_done = self.add_weight(
            shape=(),
            initializer="zeros",
            dtype="int32",
            trainable=False,
            name="epochs_done",
        )
        self._untracked.metrics = None
        self._untracked.inputs = None
        # If the model were built in the first call, Keras would save a model that was
        # only trained without the state of its optimizer.
        self.built = True

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks."""
        return tuple(self.networks)

    def call(self, inputs: Any, training: bool | None = None) -> dict[str, tf.Tensor]:
        """Computes the outputs of all networks, by name."""
        by_network = isinstance(inputs, dict) and set(inputs) == set(self.tasks)
        return {
            name: network(inputs[name] if by_network else inputs, training=training)
            for name, network in self.networks.items()
        }

    # Training and evaluation

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: None = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        **kwargs: Any,
    ) -> None:
        """Configures the model for training.

        Args:
            optimizer: An optimizer of all networks, or a dictionary of the optimizers
                of the networks, by name. Defaults to `"rmsprop"`.
            loss: A `kml.losses.MutualInformationLoss`, or a dictionary or tuple of the
                losses of the tasks, for a `MutualInformationLoss` with default
                arguments. Required.
            loss_weights: Must be `None`. Defaults to `None`.
            metrics: Metrics by task name. Defaults to `None`.
            weighted_metrics: Metrics that use sample weights. Defaults to `None`.
            **kwargs: Other arguments of `keras.Model.compile`.

        Raises:
            ValueError: If losses or optimizers do not match the networks.
        """
        loss = standardize_joint_loss(loss, self.tasks)
        if loss_weights is not None:
            raise ValueError(
                "Invalid value for argument `loss_weights`. Expected None: use `beta` "
                "of the loss to weight the mutual information. Received: "
                f"loss_weights={loss_weights!r}"
            )
        check_no_parameters(loss, self)
        if isinstance(optimizer, dict) and set(optimizer) == set(self.tasks):
            optimizer = NetworkOptimizers(optimizer)
        if isinstance(optimizer, NetworkOptimizers):
            optimizer.build_for(self.networks)
        self._untracked.metrics = JointMetrics(loss)
        super().compile(optimizer, loss, None, metrics, weighted_metrics, **kwargs)

    def training_callbacks(self) -> list[keras.callbacks.Callback]:
        """Returns the callback that counts epochs."""
        return [_CountEpochs()]

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Any = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Validates the first examples, then trains.

        Args:
            x: Inputs, or a dataset of batches of inputs, targets and optionally sample
                weights. Defaults to `None`.
            y: Targets of the tasks, by name or in order. Must be `None` if `x` is a
                dataset. Defaults to `None`.
            batch_size: Number of examples per batch. Defaults to `None`, which uses 32.
            epochs: Number of epochs. Defaults to `1`.
            verbose: `"auto"`, `0` (silent), `1` (progress bar) or `2` (one line per
                epoch). Defaults to `"auto"`.
            callbacks: List of Keras callbacks. Defaults to `None`.
            **kwargs: Other arguments of `keras.Model.fit`.

        Returns:
            A `keras.callbacks.History`.

        Raises:
            ValueError: If the first inputs, targets or predictions are invalid.
        """
        return super().fit(x, y, batch_size, epochs, verbose, callbacks, **kwargs)

    def check_first_rows(self, x: Any, y: Any) -> None:
        """Validates the first inputs, targets and predicted distributions."""
        check_joint_batch(self, self.loss, x, y)

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Updates all networks with one batch and returns the logs."""
        self._record_inputs(data)
        return super().train_step(data)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Evaluates one batch and returns the logs."""
        self._record_inputs(data)
        super().test_step(data)
        return self._results(evaluating=True)

    def predict_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Computes the outputs of all networks, by name."""
        self._record_inputs(data)
        return super().predict_step(data)

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
        """Computes the joint objective and updates the metrics of its terms.

        Args:
            x: Not used. Defaults to `None`.
            y: Targets of the tasks, by name or in order. Defaults to `None`.
            y_pred: Outputs of the networks, by name or in order. Defaults to `None`.
            sample_weight: Weights `[N]`, or one entry per task. Defaults to `None`.
            training: Not used. Defaults to `True`.
            context: A `kml.losses.LossContext` with additional inputs of the losses.
                Defaults to `None`.

        Returns:
            A scalar.
        """
        scale = None
        if self.warmup_epochs:
            scale = tf.convert_to_tensor(self.epochs_done) >= self.warmup_epochs
        terms = self.loss.compute_terms(
            y, y_pred, sample_weight, scale, self.with_step(context)
        )
        self._untracked.metrics.update(terms)
        loss = self.loss.reduce(terms.values)
        if not self.losses:
            return loss
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        extra = tf.add_n([tf.cast(value, loss.dtype) for value in self.losses])
        return loss + extra / replicas

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, tf.Tensor]:
        """Computes the compiled metrics over the labels that are present."""
        labels = labels_by_task(self.loss, y, y_pred)
        weights = weights_by_task(self.loss, sample_weight)
        update_masked_metrics(self, labels, y_pred, weights)
        return self.get_metrics_result()

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Loss, compiled metrics and terms of the loss."""
        terms = self._untracked.metrics
        return super().metrics + ([] if terms is None else terms.metrics)

    def get_metrics_result(self) -> dict[str, Any]:
        """Returns the results of all metrics."""
        return self._results(evaluating=self._untracked.evaluating)

    def _results(self, *, evaluating: bool) -> dict[str, Any]:
        results = super().get_metrics_result()
        terms = self._untracked.metrics
        return (
            results if terms is None else terms.logged(results, evaluating=evaluating)
        )

    def _record_inputs(self, data: Any) -> None:
        """Records shapes and dtypes of the inputs, for `export`."""
        inputs, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        self._untracked.inputs = keras.tree.map_structure(
            lambda x: keras.KerasTensor((None, *x.shape[1:]), x.dtype), inputs
        )

    # Saving

    def export(
        self,
        filepath: str,
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> None:
        """Exports the predictions of all networks, by name.

        Args:
            filepath: Path of the artifact.
            format: Format of `keras.Model.export`. Defaults to `"tf_saved_model"`.
            verbose: Whether to print a message. Defaults to `None`, which uses the
                default of Keras.
            input_signature: Specification of the inputs. Defaults to `None`, which uses
                the structure, shapes and dtypes of the latest inputs.
            **kwargs: Other arguments of `keras.Model.export`.

        Raises:
            ValueError: If `input_signature` is `None` and the model has not seen inputs
                in `fit`, `evaluate` or `predict`.
        """
        if input_signature is None:
            if self._untracked.inputs is None:
                raise ValueError(
                    "Invalid value for argument `input_signature`. Expected the "
                    "specification of the inputs, because the model has not seen any "
                    "in `fit`, `evaluate` or `predict`. Received: input_signature=None"
                )
            input_signature = [
                keras.tree.map_structure(
                    lambda x: keras.InputSpec(shape=x.shape, dtype=x.dtype),
                    self._untracked.inputs,
                )
            ]
        super().export(
            filepath,
            format=format,
            verbose=verbose,
            input_signature=input_signature,
            **kwargs,
        )

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            "name": self.name,
            "shared_layers": shared_layers(self.networks),
            "networks": {k: serialize(v) for k, v in self.networks.items()},
            "warmup_epochs": self.warmup_epochs,
            "inputs": serialize(self._untracked.inputs),
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> JointModel:
        config = dict(config)

        def deserialize(value: Any) -> Any:
            return keras.saving.deserialize_keras_object(
                value, custom_objects=custom_objects
            )

        networks = {k: deserialize(v) for k, v in config.pop("networks").items()}
        # Files of early versions have no shared layers.
        networks = with_shared_layers(networks, config.pop("shared_layers", []))
        inputs = deserialize(config.pop("inputs"))
        model = cls(networks, **config)
        model._untracked.inputs = inputs
        return model


class _CountEpochs(keras.callbacks.Callback):
    """Counts epochs in a weight of the model, which is saved."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.model.epochs_done.assign_add(1)
