"""Keras model that meta-trains a learner on episodes."""

from __future__ import annotations

import types
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss.adaptation import Adaptation, Task
from keras_metaloss.adaptation.inner_loss import InnerLoss
from keras_metaloss.models.adapted import plain_model
from keras_metaloss.models.apply_gradients import apply_gradients
from keras_metaloss.models.episodes import (
    as_task,
    as_x_y,
    check_episodes,
    check_length,
    check_loss,
    episode_spec,
    first_batch,
    predict_first,
    task_count,
    task_tensors,
)
from keras_metaloss.models.export import export_adapt_and_predict
from keras_metaloss.models.jit import check_jit, check_jit_support
from keras_metaloss.models.outer_loss import (
    is_separable,
    query_shares,
    query_weights,
    set_loss_step,
)
from keras_metaloss.models.phases import with_phases
from keras_metaloss.models.task_execution import choose_task_execution
from keras_metaloss.models.task_intervals import TaskIntervals
from keras_metaloss.models.traced_once import TracedOnce

__all__ = ["MetaModel"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class MetaModel(TracedOnce, keras.Model):
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
        name: Optional name of the model. Defaults to `None`.

    Call arguments:
        episode: A dictionary with the entries `support_x` and `support_y`
            (`[T, S, ...]`), `query_x` (`[T, Q, ...]`) and, optionally, `support_mask`
            (`[T, S]`) and `query_mask` (`[T, Q]`), which are true for real examples.
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
        # The learner casts its inputs. Targets must keep their precision.
        super().__init__(name=name, autocast=False)
        _check_parts(learner, adaptation)
        self.learner = learner
        self.adaptation = adaptation
        self.adaptation.attach(learner)
        self.task_execution = task_execution
        self._execution = choose_task_execution(task_execution, learner, adaptation)
        # In a namespace, because Keras tracks and saves attributes of the model.
        self._own = types.SimpleNamespace(
            intervals=TaskIntervals(), evaluating=False, episode_spec=None
        )
        # Otherwise, a model that was trained but never called would be saved without
        # the variables of the optimizer.
        self.built = True

    # Prediction

    def call(self, episode: dict[str, Any], training: bool | None = None) -> Any:
        """Adapts to each support set and predicts the queries.

        Args:
            episode: A dictionary with `support_x [T, S, ...]`, `support_y [T, S, ...]`,
                `query_x [T, Q, ...]` and, optionally, `support_mask [T, S]` and
                `query_mask [T, Q]`, which are true for real examples.
            training: Whether the learner is run in training mode. Defaults to `None`,
                which is the same as `False`.

        Returns:
            Predictions of the queries, `[T, Q, ...]`, or a structure of them.
        """
        return self._adapt_and_predict(episode, bool(training))["y_pred"]

    def adapt(
        self, support_x: Any, support_y: Any, *, support_mask: Any = None
    ) -> keras.Model:
        """Adapts the learner to one task.

        Args:
            support_x: Inputs of the support set, `[S, ...]`, or a structure of them.
            support_y: Targets of the support set, `[S, ...]`, or a structure of them.
            support_mask: `[S]`, true for real examples. Defaults to `None`, which uses
                all examples.

        Returns:
            An adapted copy of the learner, as a plain Keras model. The `MetaModel` does
            not change.

        Raises:
            ValueError: If the shapes of the support set do not match, its values are
                not finite, or there is no inner loss.
        """
        task = as_task(support_x, support_y, support_mask)
        adapted = self.adaptation.adapt(task, self._inner_loss(), training=False)
        return plain_model(self.learner, self.adaptation, adapted, task)

    def task_execution_report(self) -> str:
        """Describes how the tasks of a batch are run and why.

        Returns:
            One line of text with the value of `task_execution` and the reason for it.
        """
        return f"task_execution={self._execution.name!r}: {self._execution.reason}"

    def _adapt_and_predict(self, episode, training):
        """Runs `_one_task` for each task; the results have a leading task axis."""
        tensors = self._tensors(episode)
        if not self.adaptation.uses_inner_loss:
            return self.adaptation.run_batch(
                tensors, self._execution, training=training
            )
        inner_loss = self._inner_loss()
        return self._execution(
            lambda task: self._one_task(task, inner_loss, training),
            tensors,
            self._signature(tensors, training),
        )

    def _one_task(self, tensors, inner_loss, training):
        """Adapts to one task; returns query predictions and updated state."""
        task = Task(**{"support_mask": None, "query_mask": None, **tensors})
        path = self.adaptation.outer_path(task, inner_loss, training=training)
        *earlier, output = [
            self.adaptation.predict(adapted, task, training=training)
            for adapted in path
        ]
        result = {"y_pred": output.outputs}
        if earlier:
            result["earlier"] = [e.outputs for e in earlier]
        if training:
            result["written"] = self.adaptation.state_values(output.state)
        if self._needs_gradients():
            flat = [tf.reshape(g, [-1]) for g in path[-1].first_gradients]
            result["task_gradient"] = tf.concat(flat, axis=0)
        return result

    def _needs_gradients(self):
        """Returns whether the outer loss compares tasks by their gradients."""
        needed = getattr(self.loss, "representation", None) == "gradient"
        if needed and not self.adaptation.gives_gradients:
            raise ValueError(
                "Invalid value for argument `loss`. Expected a loss that does not "
                "compare tasks by their gradients, because "
                f"{type(self.adaptation).__name__} does not return them. Use "
                "`kml.adaptation.MAML` for such a loss. "
                f"Received: loss={self.loss!r}"
            )
        return needed

    def _tensors(self, episode):
        """Converts an episode to tensors and adds a random stream per task."""
        tensors = task_tensors(episode)
        self._own.episode_spec = episode_spec(tensors)
        count = task_count(tensors)
        context = tf.distribute.get_replica_context()
        replica = 0 if context is None else context.replica_id_in_sync_group
        # Unique over all replicas, so that each task has its own random stream.
        return {**tensors, "stream": tf.range(count) + replica * count}

    def _signature(self, tensors, training):
        """Returns the dtypes of the result of `_one_task`."""
        queries = keras.tree.map_structure(
            lambda t: keras.KerasTensor((None, *t.shape[2:]), t.dtype.name),
            tensors["query_x"],
        )
        outputs = self.learner.compute_output_spec(queries)
        signature = {"y_pred": _dtypes(outputs)}
        if training:
            signature["written"] = _dtypes(self.adaptation.state_variables())
            if self.adaptation.outer_weights() is not None:
                earlier = self.adaptation.steps - 1
                signature["earlier"] = [signature["y_pred"]] * earlier
        if self._needs_gradients():
            signature["task_gradient"] = _dtypes(self.learner.trainable_variables[0])
        return signature

    def _inner_loss(self):
        if not self.adaptation.uses_inner_loss:
            return None
        if self.adaptation.loss is not None:
            return InnerLoss(self.adaptation.loss, output_names=self.output_names)
        if not self.compiled or self.loss is None:
            raise ValueError(
                "Expected an inner loss. Call `compile(loss=...)` first, or pass "
                "`loss` to the adaptation. Received: adaptation.loss=None and no "
                "compiled loss"
            )
        return self._as_inner_loss(self.loss)

    def _as_inner_loss(self, loss):
        return InnerLoss(
            loss,
            _compat.compiled_loss_weights(self),
            self.output_names,
        )

    # Training and evaluation

    @property
    def output_names(self) -> list[str] | None:
        """Output names of the learner; keys of a dictionary of losses."""
        return getattr(self.learner, "output_names", None)

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
        """Validates the first batch, then trains.

        Args:
            x: A `tf.data.Dataset` or `keras.utils.PyDataset` of batches `(x, y)` or
                `(x, y, sample_weight)`, or an episode of arrays. Defaults to `None`.
            y: Targets of the queries, `[T, Q, ...]`, if `x` is an episode. Defaults to
                `None`.
            batch_size: Number of tasks per batch if `x` is an episode. Defaults to
                `None`, which uses 32.
            epochs: Number of epochs. Defaults to `1`.
            verbose: `"auto"`, `0` (silent), `1` (progress bar) or `2` (one line per
                epoch). Defaults to `"auto"`.
            callbacks: List of `keras.callbacks.Callback` instances. Defaults to `None`.
            **kwargs: Other arguments of `keras.Model.fit`. An infinite dataset requires
                `steps_per_epoch`. `class_weight` is not supported.

        Returns:
            A `keras.callbacks.History`.

        Raises:
            ValueError: If the first batch is malformed or does not match the losses, an
                infinite dataset has no number of steps, or `class_weight` is specified.
        """
        check_length(x, "steps_per_epoch", kwargs.get("steps_per_epoch"))
        validation = as_x_y(kwargs.get("validation_data"))
        steps = kwargs.get("validation_steps")
        check_length(validation[0], "validation_steps", steps, "validation_data")
        if kwargs.get("class_weight") is not None:
            raise ValueError(
                "Invalid value for argument `class_weight`. Expected None, because the "
                "meaning of integer labels changes between episodes. Use "
                "`sample_weight` instead. Received: "
                f"class_weight={kwargs['class_weight']!r}"
            )
        self._check_first_batch(x, y)
        self._check_first_batch(*validation)
        if isinstance(x, tf.data.Dataset):
            kwargs.setdefault("shuffle", False)
        if self.adaptation.counts_updates:
            callbacks = with_phases(callbacks)
        return super().fit(x, y, batch_size, epochs, verbose, callbacks, **kwargs)

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        **kwargs: Any,
    ) -> Any:
        """Evaluates loss and metrics with confidence intervals over tasks.

        Args:
            x: A `tf.data.Dataset` or `keras.utils.PyDataset` of batches `(x, y)` or
                `(x, y, sample_weight)`, or an episode of arrays. Defaults to `None`.
            y: Targets of the queries, `[T, Q, ...]`, if `x` is an episode. Defaults to
                `None`.
            batch_size: Number of tasks per batch if `x` is an episode. Defaults to
                `None`, which uses 32.
            verbose: `"auto"`, `0` (silent), `1` (progress bar) or `2` (one line).
                Defaults to `"auto"`.
            **kwargs: Other arguments of `keras.Model.evaluate`. An infinite dataset
                requires `steps`.

        Returns:
            A list of the loss, metrics and intervals, or a dictionary of them if
            `return_dict=True`.

        Raises:
            ValueError: If the first batch is malformed or does not match the losses, or
                an infinite dataset has no number of steps.
        """
        if not kwargs.get("_use_cached_eval_dataset"):
            check_length(x, "steps", kwargs.get("steps"))
            self._check_first_batch(x, y)
        self._own.evaluating = True
        try:
            return super().evaluate(x, y, batch_size, verbose, **kwargs)
        finally:
            self._own.evaluating = False

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        **kwargs: Any,
    ) -> Any:
        """Adapts to each task and predicts its queries.

        Args:
            x: A `tf.data.Dataset` or `keras.utils.PyDataset` of episodes, or an episode
                of arrays.
            batch_size: Number of tasks per batch if `x` is an episode. Defaults to
                `None`, which uses 32.
            verbose: `"auto"`, `0` (silent), `1` (progress bar) or `2` (one line).
                Defaults to `"auto"`.
            **kwargs: Other arguments of `keras.Model.predict`. An infinite dataset
                requires `steps`.

        Returns:
            Predictions as arrays of shape `[T, Q, ...]`.

        Raises:
            ValueError: If an infinite dataset has no number of steps.
        """
        check_length(x, "steps", kwargs.get("steps"))
        return super().predict(x, batch_size, verbose, **kwargs)

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Updates the meta-parameters once and returns the current metrics."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        loss, gradients, result = self._outer_step()(x, y, sample_weight)
        pairs = zip(gradients, self.trainable_weights, strict=True)
        apply_gradients(self.optimizer, pairs)
        self._write_state(result["written"])
        set_loss_step(self.loss, self.optimizer.iterations)
        self.adaptation.set_updates(self.optimizer.iterations)
        return self._track(x, y, result["y_pred"], sample_weight, loss)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Adapts, predicts, and updates the loss, metrics and intervals."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        result = self._adapt_and_predict(x, training=False)
        y_pred = result.pop("y_pred")
        loss = self.compute_loss(
            {**x, **result}, y, y_pred, sample_weight, training=False
        )
        results = self._track(x, y, y_pred, sample_weight, loss)
        intervals = self._own.intervals.update(
            _compat.compiled_metrics(self), y, y_pred, x.get("query_mask")
        )
        return {**results, **intervals}

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tf.Tensor:
        """Computes the compiled loss over queries; masked queries are ignored.

        Args:
            x: The episode, with an optional entry `task_gradient [T, P]` for losses
                that compare tasks by their gradients. Defaults to `None`.
            y: Targets of the queries, `[T, Q, ...]`. Defaults to `None`.
            y_pred: Predictions of the queries, `[T, Q, ...]`. Defaults to `None`.
            sample_weight: Weights per task, `[T]`, or per query, `[T, Q]`. Defaults to
                `None`.
            training: Whether the model is being trained. Defaults to `True`.

        Returns:
            A scalar loss.
        """
        x = x or {}
        weights = query_weights(x.get("query_mask"), sample_weight, y_pred)
        if "task_gradient" not in x:
            return super().compute_loss(x, y, y_pred, weights, training)
        loss = self.loss(y, y_pred, weights, representations=x["task_gradient"])
        return tf.add_n([loss, *(tf.cast(p, loss.dtype) for p in self.losses)])

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Loss, compiled metrics and, after the first evaluation, their intervals."""
        return super().metrics + self._own.intervals.metrics

    def get_metrics_result(self) -> dict[str, Any]:
        """Returns the results of all metrics, with intervals only in evaluation."""
        results = super().get_metrics_result()
        if not self._own.evaluating:
            for interval in self._own.intervals.metrics:
                results.pop(interval.name, None)
        return results

    @property
    def jit_compile(self) -> bool:
        return super().jit_compile

    @jit_compile.setter
    def jit_compile(self, value: bool) -> None:
        if value:
            check_jit_support(self.adaptation)
        keras.Model.jit_compile.fset(self, value)

    def make_train_function(self, force: bool = False) -> Any:
        """Builds the training step; warns if XLA would compute wrong gradients."""
        check_jit(self)
        return super().make_train_function(force)

    def _outer_step(self):
        """Selects how the outer gradient is computed."""
        if self.adaptation.outer_rule == "difference":
            return self._step_by_difference
        apart = self.adaptation.uses_inner_loss and self._execution.name != "vectorized"
        if apart and is_separable(self.loss):
            return self._step_per_task
        return self._step_jointly

    def _outer_loss(self, x, y, result, sample_weight):
        """Combines the compiled losses of all inner steps that have outer weights."""
        extra = {k: v for k, v in result.items() if k == "task_gradient"}
        losses = [
            self.compute_loss({**x, **extra}, y, y_pred, sample_weight, training=True)
            for y_pred in [*result.get("earlier", []), result["y_pred"]]
        ]
        weights = self.adaptation.outer_weights()
        if weights is None:
            return losses[-1]
        return tf.tensordot(tf.cast(weights, losses[0].dtype), tf.stack(losses), 1)

    def _step_jointly(self, x, y, sample_weight):
        """Differentiates the loss of the whole batch.

        Returns:
            The loss, its gradients and the results of `_one_task` for all tasks.
        """
        with tf.GradientTape() as tape:
            result = self._adapt_and_predict(x, training=True)
            loss = self._outer_loss(x, y, result, sample_weight)
            scaled = self.optimizer.scale_loss(loss)
        return loss, self._gradients(tape, scaled), result

    def _step_per_task(self, x, y, sample_weight):
        """Averages the gradients of the tasks; saves memory for separable losses."""
        inner_loss = self._inner_loss()
        batch = {"x": self._tensors(x), "y": y}
        if sample_weight is not None:
            batch["sample_weight"] = sample_weight

        def one_task(task):
            with tf.GradientTape() as tape:
                result = self._one_task(task["x"], inner_loss, training=True)
                one = keras.tree.map_structure(
                    lambda t: t[tf.newaxis], {**task, "result": result}
                )
                loss = self._outer_loss(
                    one["x"], one["y"], one["result"], one.get("sample_weight")
                )
                scaled = self.optimizer.scale_loss(loss)
            return result, loss, self._gradients(tape, scaled)

        signature = (
            self._signature(batch["x"], training=True),
            tf.as_dtype(keras.config.floatx()),
            _dtypes(self.trainable_weights),
        )
        result, losses, gradients = self._execution(one_task, batch, signature)
        means = [tf.reduce_mean(g, axis=0) for g in gradients]
        return tf.reduce_mean(losses), means, result

    def _step_by_difference(self, x, y, sample_weight):
        """Uses the mean of initial minus adapted weights as the gradient."""
        inner_loss = self._inner_loss()
        tensors = self._tensors(x)

        def one_task(task):
            task = Task(**{"support_mask": None, "query_mask": None, **task})
            adapted = self.adaptation.adapt(task, inner_loss, training=True)
            output = self.adaptation.predict(adapted, task, training=True)
            written = self.adaptation.state_values(adapted.state)
            return {"y_pred": output.outputs, "written": written}, adapted.weights

        weights = self.learner.trainable_variables
        signature = (self._signature(tensors, training=True), _dtypes(weights))
        result, adapted = self._execution(one_task, tensors, signature)
        loss = self.compute_loss(x, y, result["y_pred"], sample_weight, training=True)
        # The optimizer sums gradients over replicas.
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        differences = {
            id(v): self.optimizer.scale_loss(v - tf.reduce_mean(a, axis=0)) / replicas
            for v, a in zip(weights, adapted, strict=True)
        }
        gradients = [differences[id(v)] for v in self.trainable_weights]
        return loss, gradients, result

    def _gradients(self, tape, loss):
        variables = self.trainable_weights
        # A weight that the adaptation replaces has no gradient.
        return [
            tf.zeros(v.shape, v.dtype) if g is None else tf.convert_to_tensor(g)
            for g, v in zip(tape.gradient(loss, variables), variables, strict=True)
        ]

    def _write_state(self, written):
        """Assigns the mean moving statistics over tasks and advances the seeds."""
        for variable, values in zip(
            self.adaptation.state_variables(), written, strict=True
        ):
            variable.assign(_mean_over_replicas(tf.reduce_mean(values, axis=0)))
        for seed in self.adaptation.seed_variables():
            seed.assign(seed + tf.one_hot(1, 2, dtype=seed.dtype))

    def _track(self, x, y, y_pred, sample_weight, loss):
        _compat.loss_tracker(self).update_state(
            _compat.unscale_loss_for_distribution(loss), sample_weight=task_count(x)
        )
        if x.get("query_mask") is not None:
            # Metrics use the mask as weights; equal total weight for each task.
            weights = query_shares(x["query_mask"])
            for tensor in keras.tree.flatten(y_pred):
                _compat.set_keras_mask(tensor, weights)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def _check_first_batch(self, x, y):
        batch = first_batch(x, y)
        if batch is not None:
            check_episodes(*batch)
            self._check_losses(*batch)

    def _check_losses(self, episode, query_y):
        """Checks targets against the losses by evaluating the losses once."""
        support = self._inner_loss()
        if support is not None:
            outputs = predict_first(self.learner, episode["support_x"])
            check_loss(support, outputs, episode["support_y"], "support_y")
        if query_y is not None and self.compiled:
            outer = self._as_inner_loss(self.loss)
            if support is None:
                # The number of classes in the output depends on the task.
                outputs = predict_first(self, episode)
                query_y = keras.tree.map_structure(lambda t: t[:1], query_y)
            else:
                outputs = predict_first(self.learner, episode["query_x"])
            check_loss(outer, outputs, query_y, "query_y")

    # Saving

    def export(
        self,
        filepath: str,
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: dict[str, Any] | None = None,
    ) -> None:
        """Writes a SavedModel that adapts and predicts without this package.

        The signature `adapt_and_predict` (also `serving_default`) takes
        `support_x [S, ...]`, `support_y [S, ...]` and `query_x [Q, ...]` of one task,
        for any S and Q, and returns the predictions of the queries. The signature
        `adapt_and_predict_batch` takes the same inputs with a leading task axis.

        Args:
            filepath: Folder to write to.
            format: Only `"tf_saved_model"`, because other formats do not support
                gradients. Defaults to `"tf_saved_model"`.
            verbose: Whether to print the signatures. Defaults to `None`.
            input_signature: An episode of `tf.TensorSpec`. Required only if the model
                has not been called on an episode yet. Defaults to `None`.

        Raises:
            ValueError: If the format is not supported or the shapes are not known.
        """
        if format != "tf_saved_model":
            raise ValueError(
                'Invalid value for argument `format`. Expected "tf_saved_model". '
                f"Received: format={format!r}"
            )
        spec = input_signature or self._own.episode_spec
        if spec is None:
            raise ValueError(
                "Invalid value for argument `input_signature`. Expected an episode of "
                "`tf.TensorSpec`, because the model has not been called on an episode "
                "(by `fit`, `evaluate` or directly). Received: input_signature=None"
            )
        export_adapt_and_predict(self, filepath, spec, verbose=verbose)

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "learner": keras.saving.serialize_keras_object(self.learner),
            "adaptation": keras.saving.serialize_keras_object(self.adaptation),
            "task_execution": self.task_execution,
            "episode_spec": keras.saving.serialize_keras_object(self._own.episode_spec),
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
        model._own.episode_spec = spec
        return model


def _mean_over_replicas(value):
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, value)


def _dtypes(structure):
    return keras.tree.map_structure(lambda v: tf.as_dtype(v.dtype), structure)


def _check_parts(learner, adaptation):
    if not isinstance(learner, keras.Model):
        raise ValueError(
            "Invalid value for argument `learner`. Expected a Keras model. "
            f"Received: learner={learner!r}"
        )
    if not learner.built or not learner.trainable_variables:
        raise ValueError(
            "Invalid value for argument `learner`. Expected a built model with "
            "trainable weights: start it with `keras.Input`, or call it once on a "
            f"batch of inputs. Received: learner={learner.name!r} with "
            f"built={learner.built} and {len(learner.trainable_variables)} trainable "
            "weights"
        )
    if not isinstance(adaptation, Adaptation):
        raise ValueError(
            "Invalid value for argument `adaptation`. Expected an instance of "
            f"`kml.adaptation.Adaptation`. Received: adaptation={adaptation!r}"
        )
