"""Base class of all adaptation methods."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_metaloss.adaptation.functional import (
    FunctionalLearner,
    LearnerOutput,
    LearnerState,
    Weights,
)
from keras_metaloss.adaptation.inner_loss import InnerLoss
from keras_metaloss.adaptation.normalization import (
    NORMALIZATIONS,
    BatchMoments,
    batch_normalizations,
)
from keras_metaloss.adaptation.per_step import PerStepNormalization
from keras_metaloss.checks import check_choice

__all__ = ["Adaptation", "Adapted", "Task"]

# Policies that normalize queries with the statistics of the support set.
_FROM_SUPPORT = ("support", "per_step")


class Task(NamedTuple):
    """Support set and queries of one task.

    Attributes:
        support_x: support inputs, `[S, ...]`, or a structure of such tensors.
        support_y: support targets, `[S, ...]`, or a structure of such tensors.
        query_x: query inputs, `[Q, ...]`, or a structure of such tensors.
        support_mask: `[S]`, `True` for real examples and `False` for padding.
            `None` if there is no padding.
        query_mask: `[Q]`, `True` for real examples and `False` for padding.
            `None` if there is no padding.
        stream: integer scalar that selects the random numbers of this task.
    """

    support_x: Any
    support_y: Any
    query_x: Any
    support_mask: tf.Tensor | None
    query_mask: tf.Tensor | None
    stream: tf.Tensor


class Adapted(NamedTuple):
    """Result of adapting a learner to one task.

    Attributes:
        weights: adapted weights, one tensor per trainable variable of the learner.
        state: updated non-trainable state of the learner.
        steps: number of inner steps taken.
        first_gradients: gradients of the first inner step, or an empty list.
        memory: representation of the support set, a dictionary of tensors, for
            metric-based methods. `None` for other methods. Defaults to `None`.
    """

    weights: Weights
    state: LearnerState
    steps: int
    first_gradients: Weights
    memory: Any = None


class Adaptation(keras.layers.Layer):
    """Base class of all adaptation methods.

    Subclasses implement `adapt`, which computes the adapted learner from the support
    set. Meta-parameters of a method (learning rates, a head) are weights of this
    layer: `kml.MetaModel` trains and saves them with the learner.

    Args:
        loss: inner loss: a Keras loss, or a structure of losses for learners with
            several outputs. `None` uses the loss passed to `compile`. Defaults to
            `None`.
        normalization: statistics used by batch normalization.

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
        name: name of the layer; `None` generates one. Defaults to `None`.

    Raises:
        ValueError: if `normalization` is unknown.
    """

    #: Number of inner steps that have separate per-step variables.
    steps = 0
    #: Direction of the outer update: the `"gradient"` of the query loss, or the
    #: `"difference"` between initial and adapted weights, which needs no tape.
    outer_rule = "gradient"
    #: If `True`, adapting minimizes an inner loss.
    uses_inner_loss = True
    #: If `True`, an outer loss can compare tasks by `Adapted.first_gradients`.
    gives_gradients = False
    #: If `True`, the outer loop computes second derivatives of the learner.
    differentiates_twice = False
    #: If `True`, `tf.vectorized_map` preserves the gradients of the method.
    vectorizable = True
    #: If `True`, the method depends on the number of outer steps taken.
    counts_updates = False

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
        self._functional = None
        self.built = True

    def attach(self, learner: keras.Model) -> None:
        """Creates the variables needed to adapt `learner`. Called once.

        Args:
            learner: built Keras model.

        Raises:
            ValueError: if this adaptation is already attached to a learner.
        """
        if self._functional is not None:
            raise ValueError(
                "Invalid value for argument `adaptation`. Expected an adaptation that "
                f"no other model uses: create a new {type(self).__name__}. "
                f"Received: adaptation={self!r}, which adapts "
                f"{self._functional.learner.name!r}"
            )
        self._functional = FunctionalLearner(learner)
        self._per_step = None
        if self.normalization == "per_step":
            self._per_step = PerStepNormalization(self, learner, self.steps)
        if self.counts_updates:
            self.updates = self.add_weight(
                name="updates",
                shape=(),
                dtype="int32",
                initializer="zeros",
                trainable=False,
            )
        self.current_phase = self.phase(0)

    def adapt(self, task: Task, inner_loss: InnerLoss, *, training: bool) -> Adapted:
        """Adapts to the support set of `task`, without using its queries.

        Args:
            task: support set and queries of one task.
            inner_loss: loss minimized by the inner loop.
            training: whether the model is being trained.

        Returns:
            The adapted learner, an `Adapted`.
        """
        raise NotImplementedError

    def outer_path(
        self, task: Task, inner_loss: InnerLoss, *, training: bool
    ) -> list[Adapted]:
        """Returns the learners evaluated by the outer loss, fully adapted last."""
        return [self.adapt(task, inner_loss, training=training)]

    def outer_weights(self) -> tf.Tensor | None:
        """Returns weights for the losses of `outer_path`; `None` uses only the last."""
        return None

    def phase(self, updates: int) -> Any:
        """Returns a value that changes when the training step must be retraced.

        Args:
            updates: number of outer steps taken.
        """
        del updates
        return None

    def set_updates(self, updates: tf.Tensor) -> None:
        """Sets the number of outer steps taken."""
        if self.counts_updates:
            self.updates.assign(tf.cast(updates, "int32"))

    def predict(self, adapted: Adapted, task: Task, *, training: bool) -> LearnerOutput:
        """Predicts the queries of `task` with the adapted learner."""
        if self.normalization not in _FROM_SUPPORT or not batch_normalizations(
            self._functional.learner
        ):
            moments = BatchMoments(
                mask=task.query_mask, from_batch=self.normalization == "batch"
            )
            return self._run(task.query_x, adapted, moments, training=training)
        count = tf.shape(keras.tree.flatten(task.support_x)[0])[0]
        both = keras.tree.map_structure(
            lambda s, q: tf.concat([s, q], axis=0), task.support_x, task.query_x
        )
        moments = BatchMoments(count, task.support_mask, from_batch=True)
        output = self._run(both, adapted, moments, training=training)
        queries = keras.tree.map_structure(lambda y: y[count:], output.outputs)
        return output._replace(outputs=queries)

    def initial(self, task: Task) -> Adapted:
        """Returns the learner before the first inner step."""
        state = self._functional.initial_state(task.stream)
        return Adapted(self._functional.initial_weights(), state, 0, [])

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

    def install(self, learner: keras.Model, adapted: Adapted, task: Task) -> None:
        """Assigns the adapted weights and statistics to `learner`, a copy.

        Afterwards `learner(x)` returns the predictions of `predict`. For
        `normalization="batch"`, call it with `training=True`.

        Args:
            learner: copy of the learner, whose variables are assigned.
            adapted: adapted weights and state.
            task: task adapted to.
        """
        for variable, value in zip(
            learner.trainable_variables, adapted.weights, strict=True
        ):
            variable.assign(value)
        originals = batch_normalizations(self._functional.learner)
        copies = batch_normalizations(learner)
        if self.normalization in _FROM_SUPPORT:
            moments = BatchMoments(mask=task.support_mask, from_batch=True)
            self._run(task.support_x, adapted, moments, training=False)
            for original, copy in zip(originals, copies, strict=True):
                if id(original) in moments.collected:
                    mean, variance = moments.collected[id(original)]
                    copy.moving_mean.assign(mean)
                    copy.moving_variance.assign(variance)
        if self._per_step is not None:
            rows = {id(v): row for v, row in self._per_step.overrides(adapted.steps)}
            sources = self._functional.learner.variables
            for source, target in zip(sources, learner.variables, strict=True):
                if id(source) in rows:
                    target.assign(rows[id(source)])

    def support_pass(
        self, task: Task, adapted: Adapted, *, training: bool
    ) -> LearnerOutput:
        """Runs the learner on the support set, for the inner loss."""
        moments = BatchMoments(
            mask=task.support_mask,
            from_batch=self.normalization != "moving",
        )
        return self._run(task.support_x, adapted, moments, training=training)

    def _run(self, x, adapted, moments, *, training):
        overrides = []
        if self._per_step is not None:
            overrides = self._per_step.overrides(adapted.steps)
        return self._functional(
            x,
            adapted.weights,
            adapted.state,
            training=training,
            moments=moments,
            pass_number=adapted.steps,
            overrides=overrides,
        )

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "loss": keras.saving.serialize_keras_object(self.loss),
            "normalization": self.normalization,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Adaptation:
        config = dict(config)
        for key in ("loss", "optimizer", "distance"):
            if key in config:
                config[key] = keras.saving.deserialize_keras_object(config[key])
        return cls(**config)
