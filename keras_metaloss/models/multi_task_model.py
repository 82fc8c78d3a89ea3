"""Keras model with several outputs and adaptive task weights."""

from __future__ import annotations

import types
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss.losses.trainable_loss import check_no_parameters
from keras_metaloss.losses.weighting import (
    FixedWeighting,
    TaskWeighting,
    gradient_products,
)
from keras_metaloss.models.apply_gradients import apply_gradients
from keras_metaloss.models.task_checks import (
    check_parts,
    checked_losses,
    checked_shared,
    shared_variables,
)
from keras_metaloss.models.task_gradients import (
    combined_gradients,
    shared_gradients,
    sum_over_replicas,
    weighted_gradients,
)
from keras_metaloss.models.task_outputs import by_name
from keras_metaloss.models.traced_once import TracedOnce

__all__ = ["MultiTaskModel"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class MultiTaskModel(TracedOnce, keras.Model):
    """Trains a model with several outputs, with adaptive task weights.

    `compile` takes a dictionary of losses by output name. An output without a loss is
    not a task. `fit`, `evaluate`, `predict`, callbacks and saving work like those of
    any Keras model. Targets, predictions and sample weights are dictionaries by output
    name. If `model` returns a list, targets and sample weights may also be lists.

    Training reports `<task>_loss`, the unweighted loss, and `<task>_weight`, the weight
    of the task's gradient for shared parameters. `loss` is `weighting.objective` of the
    losses (for most methods their unweighted sum) plus the model's regularization
    losses. It can be compared between epochs and with evaluation.

    For a missing label, pass the sample weight 0 and any finite target. With
    `reduction="mean_with_sample_weight"` the loss is the mean over the labels that are
    present. With Keras's default reduction it is divided by the batch size.

    Args:
        model: A built Keras model with several named outputs: a dictionary, or the list
            of a Functional model, whose outputs have the names of their layers.
        weighting: Task weighting method, an object of `kml.losses.weighting`. Defaults
            to `None`, which uses the unweighted sum of the losses.
        shared: Parameters whose gradients the weighting compares: a list of names of
            layers or of variables of `model`. All other parameters are task-specific.
            Defaults to `None`, which uses all parameters with a gradient from more than
            one task.
        name: Name of the model. Defaults to `None`, which generates one.

    Call arguments:
        inputs: Inputs of `model`.
        training: Whether to run in training mode. Defaults to `None`.

    Returns:
        The outputs of `model`, a dictionary by output name.

    Raises:
        ValueError: If `model` is not a built Keras model with several named outputs, if
            `weighting` is not a task weighting method or is already attached to tasks,
            or if `shared` is not a list of layer names or variables of `model`.

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
        # No autocast: integer IDs must not be rounded to float16.
        super().__init__(name=name, autocast=False)
        weighting = FixedWeighting() if weighting is None else weighting
        check_parts(model, weighting)
        self.model = model
        self.weighting = weighting
        # A namespace, because Keras tracks and saves attributes of the model.
        self._own = types.SimpleNamespace(
            shared=None if shared is None else checked_shared(model, shared),
            losses={},
            loss_metrics={},
            weight_metrics={},
            evaluating=False,
        )
        # Set before the first call; otherwise Keras would save a model that was only
        # trained without its optimizer variables.
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> dict[str, Any]:
        """Computes the outputs of `model`.

        Args:
            inputs: Inputs of `model`.
            training: Whether to run in training mode. Defaults to `None`.

        Returns:
            A dictionary of outputs by output name.
        """
        return by_name("outputs", self.model(inputs, training=training), self.model)

    # Compiling

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: dict[str, Any] | None = None,
        loss_weights: None = None,
        **kwargs: Any,
    ) -> None:
        """Configures training, with a dictionary of losses.

        Args:
            optimizer: Name of an optimizer, or a Keras optimizer. Defaults to
                `"rmsprop"`.
            loss: Dictionary with one loss per task, by output name. At least two losses
                are required.
            loss_weights: Not supported, must be `None`. Use `weighting` instead.
                Defaults to `None`.
            **kwargs: Other arguments of `keras.Model.compile`.

        Raises:
            ValueError: If `loss` is not a dictionary of at least two losses by output
                name, if a loss has trainable parameters, if `loss_weights` is not
                `None`, or if the weighting is already attached to other tasks.
        """
        losses = checked_losses(loss, self.model)
        if loss_weights is not None:
            raise ValueError(
                "Invalid value for argument `loss_weights`. Expected None. Use "
                "`MultiTaskModel(model, FixedWeighting(loss_weights))`. Received: "
                f"loss_weights={loss_weights!r}"
            )
        check_no_parameters(losses, self)
        self.weighting.attach(losses)
        super().compile(optimizer=optimizer, loss=loss, **kwargs)
        own = self._own
        own.losses = losses
        own.loss_metrics = {k: keras.metrics.Mean(name=f"{k}_loss") for k in losses}
        own.weight_metrics = {k: keras.metrics.Mean(name=f"{k}_weight") for k in losses}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles the model as it was compiled when saved."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    # Training and evaluation

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
        """Calls `keras.Model.fit`, and `weighting.end_epoch` after each epoch."""
        end_of_epoch = _EndOfEpoch(self.weighting)
        if isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks.append(end_of_epoch)
        else:
            # First, so that other callbacks save or read the state after the epoch.
            callbacks = [end_of_epoch, *keras.tree.flatten(callbacks or [])]
        return super().fit(x, y, batch_size, epochs, verbose, callbacks, **kwargs)

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Calls `keras.Model.evaluate`, without changing the state of the weighting."""
        self._own.evaluating = True
        try:
            return super().evaluate(*args, **kwargs)
        finally:
            self._own.evaluating = False

    def train_step(self, data: Any) -> dict[str, Any]:
        """Updates the model and the weighting on one batch."""
        x, y, sample_weight = self._unpack(data)
        needs_gradients = self.weighting.needs_gradients
        with tf.GradientTape(persistent=needs_gradients) as tape:
            y_pred = self(x, training=True)
            losses = self._task_losses(y, y_pred, sample_weight)
            penalty = self._penalty()
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        scale = self.optimizer.scale_loss(tf.ones((), losses[0].dtype))
        variables = self.model.trainable_weights
        # Keras divides each loss by the number of replicas.
        total = sum_over_replicas(tf.stack(losses))

        products = None
        if needs_gradients:
            shared, by_task = shared_gradients(
                tape,
                losses,
                self._candidates(),
                scale,
                named=self._own.shared is not None,
            )
            summed = sum_over_replicas(by_task)
            unscaled = keras.tree.map_structure(
                lambda g: tf.cast(g, total.dtype) / scale, summed
            )
            products = gradient_products(unscaled)
            weights = self.weighting.weigh(total, products)
            gradients = combined_gradients(
                tape, losses, penalty, variables, weights, shared, by_task, scale
            )
        else:
            weights = self.weighting.weigh(total)
            gradients = weighted_gradients(
                tape, losses, penalty, variables, weights.shared, scale
            )
        for variable, gradient in zip(
            self.weighting.trainable_weights,
            self.weighting.parameter_gradients(total),
            strict=True,
        ):
            gradients[id(variable)] = gradient * scale / replicas
        pairs = [(gradients[id(v)], v) for v in self.trainable_weights]
        apply_gradients(self.optimizer, pairs)
        self.weighting.update(total, products)
        for metric, weight in zip(
            self._own.weight_metrics.values(), tf.unstack(weights.shared), strict=True
        ):
            # Steps skipped by loss scaling have no finite weights.
            is_finite = tf.math.is_finite(weight)
            weight = tf.where(is_finite, weight, tf.zeros_like(weight))
            metric.update_state(weight, tf.cast(is_finite, weight.dtype))
        return self._track(x, y, y_pred, sample_weight, losses, penalty)

    def test_step(self, data: Any) -> dict[str, Any]:
        """Updates losses and metrics on one batch, without changing other state."""
        x, y, sample_weight = self._unpack(data)
        y_pred = self(x, training=False)
        losses = self._task_losses(y, y_pred, sample_weight)
        results = self._track(x, y, y_pred, sample_weight, losses, self._penalty())
        return self._without_weights(results)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tf.Tensor:
        """Computes the weighting's objective plus the model's regularization losses.

        Args:
            x: Not used. Defaults to `None`.
            y: Targets by output name. Defaults to `None`.
            y_pred: Outputs by output name. Defaults to `None`.
            sample_weight: Sample weights by output name, or one for all outputs.
                Defaults to `None`.
            training: Not used. Defaults to `True`.

        Returns:
            A scalar.
        """
        losses = self._task_losses(
            self._by_name("y", y), y_pred, self._by_name("sample_weight", sample_weight)
        )
        return self._total(losses, self._penalty())

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Loss, compiled metrics, and the loss and weight of each task."""
        own = self._own
        return [
            *super().metrics,
            *own.loss_metrics.values(),
            *own.weight_metrics.values(),
        ]

    def get_metrics_result(self) -> dict[str, Any]:
        """Returns the results of all metrics; task weights only in training."""
        results = super().get_metrics_result()
        return self._without_weights(results) if self._own.evaluating else results

    def _unpack(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        return x, self._by_name("y", y), self._by_name("sample_weight", sample_weight)

    def _by_name(self, argument, value):
        if argument == "sample_weight" and not keras.tree.is_nested(value):
            return {task: value for task in self._own.losses}
        return by_name(argument, value, self.model)

    def _task_losses(self, y, y_pred, sample_weight):
        """Computes the loss of each task, a list of scalars."""
        for argument, given in (("outputs", y_pred), ("y", y)):
            missing = sorted(set(self._own.losses) - set(given))
            if missing:
                raise ValueError(
                    f"Expected `{argument}` to have an entry for each task in `loss`. "
                    f"Received: {argument} with the names {sorted(given)}, without "
                    f"{missing}"
                )
        losses = []
        for task, loss in self._own.losses.items():
            value = loss(y[task], y_pred[task], sample_weight.get(task))
            if value.shape.rank != 0:
                raise ValueError(
                    "Invalid value for argument `loss`. Expected a loss that returns a "
                    f"scalar for task {task!r}. Received: "
                    f"loss.reduction={loss.reduction!r}, which returns the shape "
                    f"{tuple(value.shape)}"
                )
            losses.append(tf.cast(value, self.weighting.variable_dtype))
        return losses

    def _penalty(self):
        """Computes this replica's share of regularization and `add_loss`, or `None`."""
        penalties = self.model.losses
        if not penalties:
            return None
        dtype = self.weighting.variable_dtype
        penalty = tf.add_n([tf.cast(tf.reduce_sum(p), dtype) for p in penalties])
        return penalty / tf.distribute.get_strategy().num_replicas_in_sync

    def _total(self, losses, penalty):
        """Computes this replica's share of the objective and the penalty."""
        total = self.weighting.objective(sum_over_replicas(tf.stack(losses)))
        total /= tf.distribute.get_strategy().num_replicas_in_sync
        return total if penalty is None else total + penalty

    def _candidates(self):
        """Returns the trainable variables that may be shared."""
        variables = self.model.trainable_weights
        if self._own.shared is None:
            return variables
        named = {id(v) for v in shared_variables(self.model, self._own.shared)}
        return [v for v in variables if id(v) in named]

    def _track(self, x, y, y_pred, sample_weight, losses, penalty):
        count = tf.shape(keras.tree.flatten(x)[0])[0]
        for metric, loss in zip(self._own.loss_metrics.values(), losses, strict=True):
            metric.update_state(_compat.unscale_loss_for_distribution(loss), count)
        _compat.loss_tracker(self).update_state(
            _compat.unscale_loss_for_distribution(self._total(losses, penalty)), count
        )
        names = [name for name in y if name in y_pred]
        return self.compute_metrics(
            x,
            {name: y[name] for name in names},
            {name: y_pred[name] for name in names},
            {name: sample_weight.get(name) for name in names},
        )

    def _without_weights(self, results):
        names = {metric.name for metric in self._own.weight_metrics.values()}
        return {name: value for name, value in results.items() if name not in names}

    # Saving

    def export(self, filepath: str, *args: Any, **kwargs: Any) -> Any:
        """Exports the wrapped model with `keras.Model.export`."""
        return self.model.export(filepath, *args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        shared = self._own.shared
        if shared is not None:
            # Loading may change the paths of variables, but not their order.
            order = {id(v): index for index, v in enumerate(self.model.weights)}
            shared = [s if isinstance(s, str) else order[id(s)] for s in shared]
        return {
            "name": self.name,
            "model": keras.saving.serialize_keras_object(self.model),
            "weighting": keras.saving.serialize_keras_object(self.weighting),
            "shared": shared,
            "tasks": self.weighting.tasks,
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
        if config["shared"] is not None:
            weights = config["model"].weights
            config["shared"] = [
                s if isinstance(s, str) else weights[s] for s in config["shared"]
            ]
        model = cls(**config)
        if tasks is not None:
            model.weighting.attach(tasks)
        return model


class _EndOfEpoch(keras.callbacks.Callback):
    """Calls `end_epoch` of a weighting after each training epoch."""

    def __init__(self, weighting: TaskWeighting) -> None:
        super().__init__()
        self._weighting = weighting

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._weighting.end_epoch()
