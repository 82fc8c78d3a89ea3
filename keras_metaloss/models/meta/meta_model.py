"""A Keras model that is trained on episodes and adapts to new tasks."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss._utils.read_only_settings import ReadOnlySettings
from keras_metaloss.adaptation import Adaptation, TaskResult
from keras_metaloss.losses._core.loss_context import LossContext
from keras_metaloss.losses._core.meta_loss import set_loss_steps
from keras_metaloss.losses._core.trainable_loss import check_no_parameters
from keras_metaloss.models._shared.apply_gradients import apply_gradients
from keras_metaloss.models._shared.training_mixin import TrainingMixin
from keras_metaloss.models.meta._adapt_function import AdaptFunction
from keras_metaloss.models.meta._checks import check_parts, check_task
from keras_metaloss.models.meta._episode_inputs import EpisodeInputsMixin
from keras_metaloss.models.meta._episode_losses import EpisodeLossesMixin
from keras_metaloss.models.meta._episodes import as_task, batch_tensors, task_count
from keras_metaloss.models.meta._export import EpisodeExportMixin
from keras_metaloss.models.meta._jit import JitChecksMixin
from keras_metaloss.models.meta._metric_intervals import MetricIntervals
from keras_metaloss.models.meta._outer_loss import (
    query_shares,
    share_weights,
)
from keras_metaloss.models.meta._outer_step import OuterStep, outer_step_for
from keras_metaloss.models.meta._retracing import RetracingCallback
from keras_metaloss.models.meta._state import write_state
from keras_metaloss.models.meta._task_execution import choose_task_execution
from keras_metaloss.models.meta._updates import counted_updates

__all__ = ["MetaModel"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class MetaModel(
    EpisodeLossesMixin,
    EpisodeInputsMixin,
    EpisodeExportMixin,
    JitChecksMixin,
    TrainingMixin,
    ReadOnlySettings,
    keras.Model,
):
    """Model that meta-trains a learner.

    The inner loop adapts the learner to the support set of each task. The outer loop
    computes the compiled loss on the queries of the adapted learners and updates the
    meta-parameters: the initial weights of the learner and the trainable parameters of
    the adaptation.

    `compile`, `fit`, `evaluate`, `predict`, callbacks and saving work as for any Keras
    model. A batch is a tuple `(x, y)` of an episode and the targets of its queries,
    `[T, Q, ...]`, for T tasks.

    `evaluate` reports `<metric>_ci95` next to each compiled metric. It is half the
    width of the 95 % confidence interval of the mean of the metric over tasks.

    Args:
        learner: A built Keras model for one task: Functional, Sequential or subclassed.
        adaptation: The adaptation method, for example `kml.adaptation.MAML(...)`.
        task_execution: How the tasks of a batch are run. `"map"` loops over tasks,
            `"vectorized"` runs all tasks in each operation, and `"unrolled"` copies the
            operations for each task. `"auto"` chooses `"vectorized"` if the adaptation
            and all layers of the learner support it efficiently, otherwise `"map"`. The
            results do not depend on this argument. Defaults to `"auto"`.
        name: Name of the model; `None` generates one. Defaults to `None`.

    Call arguments:
        episode: A dictionary with the entries `support_x` and `support_y`
            (`[T, S, ...]`), `query_x` (`[T, Q, ...]`) and, optionally, `support_mask`
            (`[T, S]`) and `query_mask` (`[T, Q]`), which are `True` for real examples.
            Inputs and targets may be structures of tensors.
        training: Whether the learner is run in training mode. Defaults to `None`,
            which is the same as `False`.

    Output shape:
        Predictions of the queries, `[T, Q, ...]`, or a structure of them.

    Raises:
        ValueError: If the learner is not built, has no trainable weights or is not a
            Keras model, if `adaptation` is not an `Adaptation` or belongs to another
            model, or if `task_execution` is invalid.

    Example:

    >>> import keras, keras_metaloss as kml
    >>> learner = keras.Sequential(
    ...     [keras.Input((1,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1)])
    >>> model = kml.MetaModel(learner, kml.adaptation.MAML(steps=1, learning_rate=0.1))
    >>> model.compile(optimizer="adam", loss="mse")
    >>> tasks = kml.tasks.sinusoid(shots=5, queries=10)
    >>> history = model.fit(tasks.dataset(4), epochs=1, steps_per_epoch=2, verbose=0)
    >>> x, _ = tasks.batch(0, tasks_per_batch=4)
    >>> model.predict(x, verbose=0).shape
    (4, 10, 1)
    """

    def __init__(
        self,
        learner: keras.Model,
        adaptation: Adaptation,
        *,
        task_execution: str = "auto",
        name: str | None = None,
    ) -> None:
        # No autocast: the learner casts its inputs, targets keep their precision.
        super().__init__(name=name, autocast=False)
        check_parts(learner, adaptation)
        check_no_parameters(adaptation.loss, self)
        self.learner = learner
        self.adaptation = adaptation
        self.adaptation.build_for(learner)
        self.task_execution = task_execution
        self._execution = choose_task_execution(task_execution, learner, adaptation)
        self._untracked.intervals = MetricIntervals()
        self._untracked.episode_spec = None
        self._untracked.adapt = AdaptFunction(self, self._inner_loss)
        # If the model were built in the first call, Keras would save a model that was
        # only trained without the state of its optimizer.
        self.built = True
        self.adaptation.freeze_arguments()
        self.freeze_settings(
            ("learner", "adaptation", "task_execution"),
            "Create another `kml.MetaModel(learner, adaptation, task_execution=...)`.",
        )

    # Prediction

    def call(self, episode: dict[str, Any], training: bool | None = None) -> Any:
        """Adapts to each support set and predicts the queries, `[T, Q, ...]`."""
        # Adaptation computes in the precision of the variables under every policy.
        with _compat.no_autocast():
            return self._run(batch_tensors(episode), bool(training)).y_pred

    def adapt(
        self, support_x: Any, support_y: Any, *, support_mask: Any = None
    ) -> keras.Model:
        """Adapts the learner to one task.

        For methods with an inner loop, the second call traces a function for further
        calls with any number of examples.

        Args:
            support_x: Inputs, `[S, ...]`, or a structure of them.
            support_y: Targets, `[S, ...]`, or a structure of them.
            support_mask: `[S]`, `True` for real examples. `None` uses all examples.
                Defaults to `None`.

        Returns:
            A plain Keras model. The learner and this model do not change.

        Raises:
            ValueError: If the support set is malformed or not finite.
        """
        task = as_task(support_x, support_y, support_mask)
        check_task(task)
        adapted = self._untracked.adapt(task)
        return self.adaptation.to_model(adapted, task)

    def task_execution_report(self) -> str:
        """Returns how the tasks of a batch are executed, and why."""
        return f"task_execution={self._execution.name!r}: {self._execution.reason}"

    def _run(self, tensors: dict[str, Any], training: bool) -> TaskResult:
        """Adapts to the tasks of a batch and predicts their queries."""
        return self.adaptation.run_batch(
            tensors,
            self._inner_loss(),
            self._execution,
            training=training,
            with_gradient=self._needs_task_gradients(),
        )

    # Training and evaluation

    def training_callbacks(self) -> list[keras.callbacks.Callback]:
        """Returns a callback for adaptations whose training step changes over time."""
        return [RetracingCallback()] if self.adaptation.depends_on_updates else []

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Takes one outer step, which updates all meta-parameters."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        tensors = self.record_episode(batch_tensors(x))
        loss, gradients, result = self._outer_step()(tensors, y, sample_weight)
        pairs = zip(gradients, self.trainable_weights, strict=True)
        with counted_updates(self.adaptation, self.optimizer):
            apply_gradients(self.optimizer, pairs)
        write_state(self.adaptation, result.state)
        losses = [self.loss, self.adaptation.loss]
        set_loss_steps(losses, self.optimizer.iterations)
        self._track_loss(loss, x)
        return self.compute_metrics(x, y, result.y_pred, sample_weight)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Adapts, predicts, and updates the loss, the metrics and their intervals."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        result = self._run(self.record_episode(batch_tensors(x)), training=False)
        loss = self._loss_of(x, y, result.y_pred, sample_weight, result, training=False)
        self._track_loss(loss, x)
        results = self.compute_metrics(x, y, result.y_pred, sample_weight)
        intervals = self._untracked.intervals.update(
            _compat.compiled_metrics(self), y, result.y_pred, x.get("query_mask")
        )
        return {**results, **intervals}

    def predict_step(self, data: Any) -> Any:
        """Adapts and predicts."""
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return self._run(self.record_episode(batch_tensors(x)), training=False).y_pred

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Updates the compiled metrics; masked queries are ignored.

        Args:
            x: The episodes.
            y: Targets of the queries, `[T, Q, ...]`.
            y_pred: Predictions of the queries, `[T, Q, ...]`.
            sample_weight: Weights per task, `[T]`, or per query, `[T, Q]`. Defaults to
                `None`.

        Returns:
            The results of all metrics.
        """
        mask = x.get("query_mask")
        metrics = _compat.compiled_metrics(self)
        if mask is None or metrics is None:
            return super().compute_metrics(x, y, y_pred, sample_weight)
        self.build_metrics(y, y_pred)
        # Real queries share the weight of their task.
        _compat.update_metrics(
            metrics,
            y,
            y_pred,
            query_shares(mask),
            share_weights(query_shares(mask), sample_weight),
        )
        return self.get_metrics_result()

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Loss, compiled metrics and, after an evaluation, their intervals."""
        return super().metrics + self._untracked.intervals.metrics

    def get_metrics_result(self) -> dict[str, Any]:
        """Returns the results of all metrics; intervals only in evaluation."""
        results = super().get_metrics_result()
        if not self._untracked.evaluating:
            for interval in self._untracked.intervals.metrics:
                results.pop(interval.name, None)
        return results

    def _outer_step(self) -> OuterStep:
        step = outer_step_for(self.adaptation, self._execution, self.loss)
        return step(
            adaptation=self.adaptation,
            execution=self._execution,
            inner_loss=self._inner_loss(),
            outer_loss=self._outer_loss,
            scale_loss=self.optimizer.scale_loss,
            variables=self.trainable_weights,
            with_gradient=self._needs_task_gradients(),
        )

    def _outer_loss(
        self, x: Any, y: Any, result: TaskResult, sample_weight: Any
    ) -> tf.Tensor:
        """Computes the outer loss, a weighted sum over the learners of `outer_path`."""
        losses = [
            self._loss_of(x, y, y_pred, sample_weight, result, training=True)
            for y_pred in [*result.earlier, result.y_pred]
        ]
        weights = self.adaptation.outer_weights()
        if weights is None:
            return losses[-1]
        return tf.tensordot(tf.cast(weights, losses[0].dtype), tf.stack(losses), 1)

    def _loss_of(
        self,
        x: Any,
        y: Any,
        y_pred: Any,
        sample_weight: Any,
        result: TaskResult,
        *,
        training: bool,
    ) -> tf.Tensor:
        arguments: dict[str, Any] = {}
        if self._needs_task_gradients():
            arguments["context"] = LossContext(task_gradients=result.gradient)
        # The random streams of the tasks are no part of the episodes.
        episodes = {key: value for key, value in x.items() if key != "stream"}
        return self.call_compute_loss(
            episodes, y, y_pred, sample_weight, training, **arguments
        )

    def _track_loss(self, loss: tf.Tensor, x: Any) -> None:
        _compat.loss_tracker(self).update_state(
            _compat.unscale_loss_for_distribution(loss), sample_weight=task_count(x)
        )

    # Saving

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            "name": self.name,
            "learner": serialize(self.learner),
            "adaptation": serialize(self.adaptation),
            "task_execution": self.task_execution,
            "episode_spec": serialize(self._untracked.episode_spec),
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> MetaModel:
        config = dict(config)
        for key in ("learner", "adaptation", "episode_spec"):
            config[key] = keras.saving.deserialize_keras_object(
                config[key], custom_objects=custom_objects
            )
        spec = config.pop("episode_spec")
        model = cls(**config)
        model._untracked.episode_spec = spec
        return model
