"""Training of a model with several outputs and adaptive task weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss.losses._core.loss_context import LossContext
from keras_metaloss.losses._core.meta_loss import set_loss_steps
from keras_metaloss.losses._core.missing_labels import Labels
from keras_metaloss.losses._core.trainable_loss import check_no_parameters
from keras_metaloss.losses.weighting import FixedWeighting, TaskWeighting
from keras_metaloss.models._shared.apply_gradients import apply_gradients
from keras_metaloss.models._shared.first_rows import check_outputs
from keras_metaloss.models._shared.masked_metrics import update_masked_metrics
from keras_metaloss.models._shared.training_mixin import TrainingMixin
from keras_metaloss.models.multi_task._callback import EndOfEpoch
from keras_metaloss.models.multi_task._checks import (
    are_frozen,
    candidates,
    check_parts,
    checked_losses,
    checked_shared,
    shared_from_config,
    shared_to_config,
)
from keras_metaloss.models.multi_task._gradients import (
    replica_penalty,
    step_gradients,
    sum_over_replicas,
)
from keras_metaloss.models.multi_task._labels import (
    check_first_labels,
    labeled_losses,
    labels_by_task,
    numbers_of_labels,
)
from keras_metaloss.models.multi_task._metrics import MultiTaskMetrics
from keras_metaloss.models.multi_task._outputs import by_name

__all__ = ["MultiTaskModel"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class MultiTaskModel(TrainingMixin, keras.Model):
    """Trains a model with several outputs, with adaptive task weights.

    Each output with a loss is a task. `fit`, `evaluate`, `predict`, callbacks and
    saving work as for any Keras model. Targets, predictions and sample weights are
    dictionaries by output name; targets and sample weights may also be lists if `model`
    returns a list.

    Logs: `<task>_loss`, the unweighted loss, and in training `<task>_weight`, the
    weight of the gradient of the task for shared parameters. `loss` is
    `weighting.objective` of the task losses, for most methods their sum, plus the
    regularization of the model. It is comparable between epochs and in evaluation.

    NaN targets and negative integer labels are missing, as are targets of predictions
    that a Keras mask excludes. A vector with a missing entry is missing; reshape an
    output of D independent labels to `[D, 1]` if single labels are missing. The loss of
    a task is the mean over the labels that are present, and metrics use these labels
    only. Evaluation averages losses over labels, so that they do not depend on the
    batch size. A label with sample weight 0 counts in the divisor, as in Keras, except
    with the reduction `"mean_with_sample_weight"`.

    Standardize targets of regression tasks to unit variance. Methods that compare
    losses, or train weights from a common initial value, assume losses of similar
    scale.

    Args:
        model: A built Keras model with several named outputs: a dictionary, or the list
            of a Functional model, whose outputs have the names of their layers.
        weighting: A method of `kml.losses.weighting`. `None` uses the sum of the
            losses. Defaults to `None`.
        shared: The parameters whose gradients the weighting compares: names of layers,
            or variables of `model`. `None` uses all parameters with a gradient from
            more than one task. All other parameters are task-specific; if the shared
            ones are frozen, they are trained alone. Defaults to `None`.
        name: Name of the model; `None` generates one. Defaults to `None`.

    Call arguments:
        inputs: Inputs of `model`.
        training: Whether to run in training mode. Defaults to `None`.

    Output shape:
        A dictionary of the outputs of `model`, by name.

    Raises:
        ValueError: If `model` is not built or has fewer than two outputs, if
            `weighting` is not a new `TaskWeighting`, or if `shared` contains
            anything other than names of layers or variables of `model`.

    Example:

    >>> import keras, numpy as np, keras_metaloss as kml
    >>> x = keras.Input((3,))
    >>> hidden = keras.layers.Dense(8, "relu")(x)
    >>> net = keras.Model(x, {"sum": keras.layers.Dense(1)(hidden),
    ...                       "sign": keras.layers.Dense(1)(hidden)})
    >>> model = kml.MultiTaskModel(net, kml.losses.weighting.PCGrad())
    >>> model.compile(optimizer="adam", loss={
    ...     "sum": "mse", "sign": keras.losses.BinaryCrossentropy(from_logits=True)})
    >>> inputs = np.random.default_rng(0).normal(size=(32, 3))
    >>> total = inputs.sum(axis=1, keepdims=True)
    >>> history = model.fit(inputs, {"sum": total, "sign": total > 0}, verbose=0)
    >>> sorted(history.history)
    ['loss', 'sign_loss', 'sign_weight', 'sum_loss', 'sum_weight']
    """

    def __init__(
        self,
        model: keras.Model,
        weighting: TaskWeighting | None = None,
        *,
        shared: Sequence[str | keras.Variable] | None = None,
        name: str | None = None,
    ) -> None:
        # No autocast: the model casts its inputs, and integer IDs must not be rounded
        # to float16.
        super().__init__(name=name, autocast=False)
        weighting = FixedWeighting() if weighting is None else weighting
        check_parts(model, weighting)
        self.model = model
        self.weighting = weighting
        self._untracked.shared = None
        if shared is not None:
            self._untracked.shared = checked_shared(model, shared)
        self._untracked.losses = {}
        self._untracked.metrics = MultiTaskMetrics()
        # If the model were built in the first call, Keras would save a model that was
        # only trained without the state of its optimizer.
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> dict[str, Any]:
        """Computes the outputs of the model, by name."""
        return by_name("outputs", self.model(inputs, training=training), self.model)

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: dict[str, Any] | None = None,
        loss_weights: None = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        **kwargs: Any,
    ) -> None:
        """Configures the model for training.

        Args:
            optimizer: A Keras optimizer or its name. Defaults to `"rmsprop"`.
            loss: Dictionary of the losses of the tasks, by output name. Required.
            loss_weights: Must be `None`; use `weighting`. Defaults to `None`.
            metrics: Metrics by output name. Defaults to `None`.
            weighted_metrics: Metrics that use sample weights. Defaults to `None`.
            **kwargs: Other arguments of `keras.Model.compile`.

        Raises:
            ValueError: If `loss` is not a dictionary of at least two losses by output
                name, if a loss has trained parameters, if `loss_weights` is not `None`,
                or if the weighting belongs to other tasks.
        """
        losses = checked_losses(loss, self.model)
        if loss_weights is not None:
            raise ValueError(
                "Invalid value for argument `loss_weights`. Expected None. Use "
                "`MultiTaskModel(model, FixedWeighting(loss_weights))` instead. "
                f"Received: loss_weights={loss_weights!r}"
            )
        check_no_parameters(losses, self)
        self.weighting.build_for(list(losses))
        super().compile(optimizer, loss, None, metrics, weighted_metrics, **kwargs)
        self._untracked.losses = losses
        self._untracked.metrics = MultiTaskMetrics(losses)

    # Training and evaluation

    def training_callbacks(self) -> list[keras.callbacks.Callback]:
        """Returns the callback that calls `end_epoch` of the weighting."""
        return [EndOfEpoch(self.weighting)]

    def check_first_rows(self, x: Any, y: Any) -> None:
        """Validates the first targets and predictions."""
        y_pred = self(x, training=False)
        check_first_labels(self._untracked.losses, self._by_name("y", y), y_pred)
        check_outputs(x, y_pred)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Updates the model and the weighting with one batch; returns the logs."""
        x, y, sample_weight = self._unpack(data)
        with tf.GradientTape(persistent=self.weighting.needs_gradients) as tape:
            y_pred = self(x, training=True)
            losses = self.compute_task_losses(y, y_pred, sample_weight)
            added = self._added_terms(x, y, y_pred, sample_weight, losses, True)
        step = step_gradients(
            tape,
            losses,
            added,
            self.model.trainable_weights,
            self.weighting,
            candidates(self.model, self._untracked.shared),
            are_frozen(self.model, self._untracked.shared),
            self.optimizer.scale_loss(tf.ones((), losses[0].dtype)),
            named=self._untracked.shared is not None,
        )
        pairs = [(step.gradients[id(v)], v) for v in self.trainable_weights]
        loss = self._objective(losses, added)
        # TensorFlow's graph optimization may drop the order of reads and updates of
        # the weighting's variables.
        with tf.control_dependencies([loss, *step.weights]):
            apply_gradients(self.optimizer, pairs)
            self.weighting.update(step.total, step.products)
        set_loss_steps(self.loss, self.optimizer.iterations)
        self._untracked.metrics.update_weights(step.weights.shared)
        return self._track(x, y, y_pred, sample_weight, losses, loss)

    def test_step(self, data: Any) -> dict[str, Any]:
        """Updates losses and metrics with one batch; returns the logs."""
        x, y, sample_weight = self._unpack(data)
        y_pred = self(x, training=False)
        losses = self.compute_task_losses(y, y_pred, sample_weight)
        added = self._added_terms(x, y, y_pred, sample_weight, losses, False)
        loss = self._objective(losses, added)
        self._track(x, y, y_pred, sample_weight, losses, loss)
        return self._results(evaluating=True)

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
        """Computes the objective of the weighting plus the losses of layers, a scalar.

        A training step follows the gradient of this value, with the gradients of the
        tasks weighted by `weighting`. If an override adds a term, the step also follows
        the gradient of that term.

        Args:
            x: Inputs. Not used. Defaults to `None`.
            y: Targets, by output name or in order. Defaults to `None`.
            y_pred: Predictions, by output name or in order. Defaults to `None`.
            sample_weight: Weights, by output name, in order, or one for all outputs.
                Defaults to `None`.
            training: Not used. Defaults to `True`.
            context: A `kml.losses.LossContext` with additional inputs of the losses.
                Defaults to `None`.
        """
        losses = self.compute_task_losses(
            self._by_name("y", y),
            self._by_name("y_pred", y_pred),
            self._by_name("sample_weight", sample_weight),
            context=context,
        )
        return self._objective(losses, self._penalty())

    def compute_task_losses(
        self,
        y: dict[str, Any],
        y_pred: dict[str, Any],
        sample_weight: dict[str, Any],
        *,
        context: LossContext | None = None,
    ) -> list[tf.Tensor]:
        """Computes the loss of each task, a list of scalars.

        Args:
            y: Targets, by output name.
            y_pred: Predictions, by output name.
            sample_weight: Weights, by output name; outputs may be missing.
            context: A `kml.losses.LossContext` with additional inputs of the losses.
                Defaults to `None`.

        Raises:
            ValueError: If the target or prediction of a task is missing, or a loss does
                not return a scalar.
        """
        losses = labeled_losses(
            self._untracked.losses, y, y_pred, sample_weight, self.with_step(context)
        )
        return [tf.cast(loss, self.weighting.variable_dtype) for loss in losses]

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Computes the compiled metrics over the labels that are present.

        Targets, predictions and weights are dictionaries by output name.
        """
        if not isinstance(sample_weight, dict):
            sample_weight = dict.fromkeys(y_pred, sample_weight)
        labels = {name: Labels(tf.convert_to_tensor(y[name])) for name in y_pred}
        labels.update(labels_by_task(self._untracked.losses, y, y_pred))
        update_masked_metrics(self, labels, y_pred, sample_weight)
        return self.get_metrics_result()

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Loss, compiled metrics, and the loss and weight of each task."""
        return super().metrics + self._untracked.metrics.metrics

    def get_metrics_result(self) -> dict[str, Any]:
        """Returns the results of all metrics; weights only in training."""
        return self._results(evaluating=self._untracked.evaluating)

    def _results(self, *, evaluating: bool) -> dict[str, Any]:
        results = super().get_metrics_result()
        metrics = self._untracked.metrics
        if evaluating:
            return metrics.in_evaluation(results, self.weighting.objective)
        return metrics.in_training(results)

    def _unpack(self, data: Any) -> tuple[Any, dict[str, Any], dict[str, Any]]:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        return x, self._by_name("y", y), self._by_name("sample_weight", sample_weight)

    def _by_name(self, argument: str, value: Any) -> dict[str, Any]:
        if argument == "sample_weight" and not keras.tree.is_nested(value):
            return {task: value for task in self._untracked.losses}
        return by_name(argument, value, self.model)

    def _added_terms(
        self,
        x: Any,
        y: dict,
        y_pred: dict,
        sample_weight: dict,
        losses: list,
        training: bool,
    ) -> tf.Tensor | None:
        """Returns the terms that `compute_loss` adds to the objective, or `None`."""
        if type(self).compute_loss is MultiTaskModel.compute_loss:
            return self._penalty()
        loss = self.call_compute_loss(x, y, y_pred, sample_weight, training)
        return tf.cast(loss, losses[0].dtype) - self._objective(losses)

    def _objective(
        self, losses: list[tf.Tensor], added: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Returns the share of this replica in the objective, plus added terms."""
        total = self.weighting.objective(sum_over_replicas(tf.stack(losses)))
        share = total / tf.distribute.get_strategy().num_replicas_in_sync
        return share if added is None else share + added

    def _penalty(self) -> tf.Tensor | None:
        return replica_penalty(self.model.losses, self.weighting.variable_dtype)

    def _track(
        self, x: Any, y: dict, y_pred: dict, weight: dict, losses: list, loss: Any
    ) -> dict[str, Any]:
        rows = tf.shape(keras.tree.flatten(x)[0])[0]
        labels = labels_by_task(self._untracked.losses, y, y_pred)
        counts = numbers_of_labels(self._untracked.losses, labels, weight, rows)
        objective = self._objective(losses)
        self._untracked.metrics.update_losses(losses, counts, objective, rows)
        _compat.loss_tracker(self).update_state(
            _compat.unscale_loss_for_distribution(loss), rows
        )
        outputs = {name: y_pred[name] for name in y}
        weight = {name: weight.get(name) for name in y}
        return self.compute_metrics(x, y, outputs, weight)

    # Saving

    def export(self, filepath: str, *args: Any, **kwargs: Any) -> Any:
        """Exports the wrapped model with `keras.Model.export`."""
        return self.model.export(filepath, *args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "model": keras.saving.serialize_keras_object(self.model),
            "weighting": keras.saving.serialize_keras_object(self.weighting),
            "shared": shared_to_config(self.model, self._untracked.shared),
            "tasks": self.weighting.tasks or None,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> MultiTaskModel:
        config = dict(config)
        for key in ("model", "weighting"):
            config[key] = keras.saving.deserialize_keras_object(
                config[key], custom_objects=custom_objects
            )
        tasks = config.pop("tasks")
        config["shared"] = shared_from_config(config["model"], config["shared"])
        model = cls(**config)
        if tasks is not None:
            model.weighting.build_for(tasks)
        return model
