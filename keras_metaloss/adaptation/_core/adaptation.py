"""Base class of all adaptation methods."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss._utils.checks import check_choice
from keras_metaloss.adaptation._core.copy_learner import copy_learner
from keras_metaloss.adaptation._core.functional_learner import (
    FunctionalLearner,
    LearnerOutput,
    LearnerState,
)
from keras_metaloss.adaptation._core.inner_loss import InnerLoss
from keras_metaloss.adaptation._core.method_traits import MethodTraits
from keras_metaloss.adaptation._core.normalization import (
    NORMALIZATIONS,
    BatchMoments,
    batch_normalizations,
)
from keras_metaloss.adaptation._core.per_step_normalization import PerStepNormalization
from keras_metaloss.adaptation._core.task import Adapted, Task, TaskResult, TaskRunner
from keras_metaloss.adaptation._core.transductive_model import TransductiveModel
from keras_metaloss.adaptation._core.update_counter import UpdateCounter

__all__ = ["Adaptation"]

# Policies that normalize queries with the statistics of the support set.
_FROM_SUPPORT = ("support", "per_step")


class Adaptation(UpdateCounter, MethodTraits, keras.layers.Layer):
    """Base class of all adaptation methods.

    Meta-parameters of a method (learning rates, a head, an encoder) are weights of this
    layer: `kml.MetaModel` trains and saves them with the learner. A method implements
    `adapt`, which computes the adapted learner from the support set, and may override
    the hooks below. `kml.MetaModel` calls only these methods:

    - `build_for(learner)`: creates variables. Called once.
    - `run_batch(tensors, inner_loss, execution, ...)`: adapts and predicts a batch of
      tasks. The default calls `run_task` for each task, through `execution`.
    - `run_task(task, inner_loss, ...)`: adapts to one task and predicts its queries.
      The default calls `outer_path`, which calls `adapt`, then `predict`.
    - `prediction_spec(query_x)`: shape and dtype of the predictions, if they differ
      from the output of the learner.
    - `outer_weights()`: weights of several outer losses per task.
    - `to_model(adapted, task)`: the plain Keras model that `kml.MetaModel.adapt`
      returns. The default copies the learner and assigns the adapted weights.
    - `state_variables()`, `seed_variables()`: variables that a training step updates.
    - `trace_key(updates)`, `set_updates(updates)`: for methods whose training step
      changes over time.

    Methods with gradient steps inherit from `kml.adaptation.GradientAdaptation`, those
    that compare embeddings from `kml.adaptation.MetricAdaptation`. Other methods, such
    as hypernetworks and neural processes, inherit from this class and set
    `uses_inner_loss = False`.

    Args:
        loss: Inner loss: a Keras loss, or a structure of losses for learners with
            several outputs. `None` uses the loss passed to `compile`. Defaults to
            `None`.
        normalization: Statistics used by batch normalization.

            - `"support"`: statistics of the support set, for support set and
              queries.
            - `"batch"`: statistics of the support set for the support set, and
              statistics of all queries for the queries. Predictions are then
              *transductive*: they depend on the other queries.
            - `"moving"`: the default behavior of Keras, batch statistics in training
              and moving averages in evaluation.
            - `"per_step"`: like `"support"`, with a separate scale and shift for
              each inner step.

            Moving averages do not match the statistics of a single task, so
            gradient-based methods trained with `"moving"` lose accuracy in
            evaluation. Layers with `trainable=False` always use their moving
            averages. Defaults to `"support"`.
        name: Name of the layer; `None` generates one. Defaults to `None`.

    Raises:
        ValueError: If `normalization` is unknown.

    Example:

    >>> import keras, numpy as np, tensorflow as tf, keras_metaloss as kml
    >>> class Shifted(kml.adaptation.Adaptation):
    ...     uses_inner_loss = False
    ...     def adapt(self, task, inner_loss, *, training):
    ...         start = self.initial(task)
    ...         kernel, bias = start.weights
    ...         bias = tf.reduce_mean(task.support_y - task.support_x @ kernel, axis=0)
    ...         return start._replace(weights=[kernel, bias])
    >>> learner = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> learner.set_weights([np.ones((1, 1)), np.zeros(1)])
    >>> model = kml.MetaModel(learner, Shifted())
    >>> x = np.array([[0.0], [1.0]])
    >>> adapted = model.adapt(x, x + 3)
    >>> adapted(np.array([[2.0]])).numpy().tolist()
    [[5.0]]
    """

    _functional: FunctionalLearner  # Set by `build_for`.

    def __init__(
        self,
        *,
        loss: Any = None,
        normalization: str = "support",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.loss = loss
        self.normalization = check_choice(
            "normalization", normalization, NORMALIZATIONS
        )
        self.built = True

    def build_for(self, learner: keras.Model) -> None:
        """Creates the variables needed to adapt `learner`. Called once.

        Args:
            learner: Built Keras model.

        Raises:
            ValueError: If this adaptation already adapts a learner.
        """
        if hasattr(self, "_functional"):
            raise ValueError(
                "Invalid value for argument `adaptation`. Expected an adaptation that "
                f"no other model uses: create a new {type(self).__name__}. "
                f"Received: adaptation={self!r}, which adapts "
                f"{self._functional.learner.name!r}"
            )
        self._functional = FunctionalLearner(learner)
        self._per_step: PerStepNormalization | None = None
        if self.normalization == "per_step":
            self._per_step = PerStepNormalization(self, learner, self.steps)
        self.build_updates()

    def run_batch(
        self,
        tensors: dict[str, Any],
        inner_loss: InnerLoss | None,
        execution: TaskRunner,
        *,
        training: bool,
        with_gradient: bool = False,
    ) -> TaskResult:
        """Adapts to each task of a batch and predicts its queries.

        Args:
            tensors: The entries of `Task` by name, each `[T, ...]`, without masks that
                the episodes do not have.
            inner_loss: Loss minimized by the inner loop; `None` for methods with
                `uses_inner_loss = False`.
            execution: Function `(function, tensors, signature)` that applies `function`
                to the tensors of each task and stacks the results, whose dtypes are in
                `signature`.
            training: Whether the model is being trained.
            with_gradient: Whether the outer loss needs `TaskResult.gradient`. Defaults
                to `False`.

        Returns:
            A `TaskResult` with a leading task axis.
        """

        def one_task(entries: dict[str, Any]) -> TaskResult:
            return self.run_task(
                Task(**entries),
                inner_loss,
                training=training,
                with_gradient=with_gradient,
            )

        signature = self.result_signature(
            tensors, training=training, with_gradient=with_gradient
        )
        return execution(one_task, tensors, signature)

    def run_task(
        self,
        task: Task,
        inner_loss: InnerLoss | None,
        *,
        training: bool,
        with_gradient: bool = False,
    ) -> TaskResult:
        """Adapts to one task and predicts its queries.

        Args:
            task: Support set and queries of one task.
            inner_loss: Loss minimized by the inner loop, or `None`.
            training: Whether the model is being trained.
            with_gradient: Whether the outer loss needs `TaskResult.gradient`. Defaults
                to `False`.
        """
        path = self.outer_path(task, inner_loss, training=training)
        *earlier, last = [self.predict(x, task, training=training) for x in path]
        gradient: Any = ()
        if with_gradient:
            flat = [tf.reshape(g, [-1]) for g in path[-1].first_gradients]
            gradient = tf.concat(flat, axis=0)
        return TaskResult(
            y_pred=last.outputs,
            state=self.state_values(last.state) if training else (),
            earlier=tuple(output.outputs for output in earlier),
            gradient=gradient,
        )

    def result_signature(
        self, tensors: dict[str, Any], *, training: bool, with_gradient: bool = False
    ) -> TaskResult:
        """Returns the dtypes of the result of `run_task`.

        Args:
            tensors: The entries of `Task` by name, each `[T, ...]`.
            training: Whether the model is being trained.
            with_gradient: Whether the result has a gradient. Defaults to `False`.
        """
        queries = keras.tree.map_structure(
            lambda t: keras.KerasTensor((None, *t.shape[2:]), t.dtype.name),
            tensors["query_x"],
        )
        y_pred = _dtypes(self.prediction_spec(queries))
        has_path = training and self.outer_weights() is not None
        return TaskResult(
            y_pred=y_pred,
            state=_dtypes(self.state_variables()) if training else (),
            earlier=(y_pred,) * (self.steps - 1) if has_path else (),
            gradient=_dtypes(self.weight_variables()[0]) if with_gradient else (),
        )

    def prediction_spec(self, query_x: Any) -> Any:
        """Returns the shape and dtype of the predictions of one task.

        Args:
            query_x: `keras.KerasTensor` of the queries, `[Q, ...]`, or a structure.
        """
        return self._functional.learner.compute_output_spec(query_x)

    def adapt(
        self, task: Task, inner_loss: InnerLoss | None, *, training: bool
    ) -> Adapted:
        """Adapts to the support set of `task`, without using its queries.

        Args:
            task: Support set and queries of one task.
            inner_loss: Loss minimized by the inner loop.
            training: Whether the model is being trained.

        Returns:
            The adapted learner, an `Adapted`.
        """
        raise NotImplementedError

    def outer_path(
        self, task: Task, inner_loss: InnerLoss | None, *, training: bool
    ) -> list[Adapted]:
        """Returns the learners that the outer loss evaluates, fully adapted last."""
        return [self.adapt(task, inner_loss, training=training)]

    def outer_weights(self) -> tf.Tensor | None:
        """Returns weights for the losses of `outer_path`; `None` uses only the last."""
        return None

    def predict(self, adapted: Adapted, task: Task, *, training: bool) -> LearnerOutput:
        """Predicts the queries of `task` with the adapted learner."""
        if self.normalization not in _FROM_SUPPORT or not batch_normalizations(
            self._functional.learner
        ):
            from_batch = self.normalization == "batch"
            moments = BatchMoments(mask=task.query_mask, from_batch=from_batch)
            return self._run(task.query_x, adapted, moments, training=training)
        count = tf.shape(keras.tree.flatten(task.support_x)[0])[0]
        inputs = keras.tree.map_structure(
            lambda s, q: tf.concat([s, q], axis=0), task.support_x, task.query_x
        )
        moments = BatchMoments(count, task.support_mask, from_batch=True)
        output = self._run(inputs, adapted, moments, training=training)
        queries = keras.tree.map_structure(lambda y: y[count:], output.outputs)
        return output._replace(outputs=queries)

    def initial(self, task: Task) -> Adapted:
        """Returns the learner before the first inner step."""
        state = self._functional.initial_state(task.stream)
        return Adapted(self._functional.initial_weights(), state, 0, [])

    def weight_variables(self) -> list[keras.Variable]:
        """Returns the variables of the learner, in order of `Adapted.weights`."""
        return self._functional.weight_variables

    def state_variables(self) -> list[keras.Variable]:
        """Returns the variables written in training, in order of `state_values`."""
        return self._functional.state_variables

    @staticmethod
    def state_values(state: LearnerState) -> list[tf.Tensor]:
        """Returns the values of `state_variables` in `state`."""
        return state.values

    def seed_variables(self) -> list[keras.Variable]:
        """Returns the states of the learner's random number generators."""
        return self._functional.seed_variables

    def to_model(self, adapted: Adapted, task: Task) -> keras.Model:
        """Returns a plain Keras model with the predictions of the adapted learner.

        Args:
            adapted: Result of `adapt`.
            task: Task that the learner was adapted to.
        """
        copy = copy_learner(self._functional.learner, task.support_x)
        self.install(copy, adapted, task)
        if self.normalization == "batch" and batch_normalizations(copy):
            return TransductiveModel(copy)
        return copy

    def install(self, learner: keras.Model, adapted: Adapted, task: Task) -> None:
        """Assigns the adapted weights and statistics to `learner`, a copy.

        Afterwards `learner(x)` returns the predictions of `predict`. For
        `normalization="batch"`, call it with `training=True`.

        Args:
            learner: Copy of the learner, to whose variables the values are assigned.
            adapted: Adapted weights and state.
            task: Task that the learner was adapted to.
        """
        pairs = zip(learner.trainable_variables, adapted.weights, strict=True)
        for variable, value in pairs:
            variable.assign(value)
        if self.normalization in _FROM_SUPPORT:
            moments = BatchMoments(mask=task.support_mask, from_batch=True)
            self._run(task.support_x, adapted, moments, training=False)
            moments.install(self._functional.learner, learner)
        if self._per_step is not None:
            self._per_step.install(adapted.steps, self._functional.learner, learner)

    def support_pass(
        self, task: Task, adapted: Adapted, *, training: bool
    ) -> LearnerOutput:
        """Runs the learner on the support set, for the inner loss."""
        from_batch = self.normalization != "moving"
        moments = BatchMoments(mask=task.support_mask, from_batch=from_batch)
        return self._run(
            task.support_x,
            adapted,
            moments,
            training=training,
            plain_bias=training and self.differentiates_twice,
            call=None if task.features is None else task.features.call,
        )

    def _run(
        self,
        x: Any,
        adapted: Adapted,
        moments: BatchMoments,
        *,
        training: bool,
        plain_bias: bool = False,
        call: Any = None,
    ) -> LearnerOutput:
        per_step = self._per_step
        return self._functional(
            x,
            adapted.weights,
            adapted.state,
            training=training,
            moments=moments,
            pass_number=adapted.steps,
            overrides=None if per_step is None else per_step.overrides(adapted.steps),
            plain_bias=plain_bias,
            call=call,
        )

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "loss": keras.saving.serialize_keras_object(self.loss),
            "normalization": self.normalization,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Adaptation:
        deserialize = keras.saving.deserialize_keras_object
        return cls(**{key: deserialize(value) for key, value in config.items()})


def _dtypes(structure: Any) -> Any:
    return keras.tree.map_structure(lambda v: tf.as_dtype(v.dtype), structure)
