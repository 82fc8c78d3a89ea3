"""What every way of adapting to a task has in common."""

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

# Policies under which queries are normalised with the moments of the support set.
_FROM_SUPPORT = ("support", "per_step")


class Task(NamedTuple):
    """One task: what to adapt to and what to predict.

    Attributes:
        support_x: `[S, ...]`, or a structure of such tensors.
        support_y: `[S, ...]`, likewise.
        query_x: `[Q, ...]`, likewise.
        support_mask: `[S]`, true for real examples; `None` where all are.
        query_mask: `[Q]`, likewise.
        stream: integer scalar that tells this task's random numbers from others'.
    """

    support_x: Any
    support_y: Any
    query_x: Any
    support_mask: tf.Tensor | None
    query_mask: tf.Tensor | None
    stream: tf.Tensor


class Adapted(NamedTuple):
    """A learner after adaptation: weights, state, and the updates made.

    Attributes:
        weights: one tensor a trainable variable of the learner.
        state: what layers have written meanwhile.
        steps: number of inner updates made.
        first_gradients: gradients of the first inner step, or an empty list.
        memory: what a metric-based method keeps of the support set, or `None`.
    """

    weights: Weights
    state: LearnerState
    steps: int
    first_gradients: Weights
    memory: Any = None


class Adaptation(keras.layers.Layer):
    """How a learner adapts to one task. Base class of all methods.

    A method says in `adapt` how the support set changes the learner. Meta-parameters
    of its own (learning rates, a head) are ordinary weights of this layer:
    `kml.MetaModel` trains and saves them with the learner.

    Args:
        loss: inner loss, any Keras loss (or a structure of them for several
            outputs). `None` takes the one given to `compile`.
        normalization: where batch normalisation takes its moments from:
            `"support"`: from the support set, for support and queries alike;
            `"batch"`: from the support set for the support set and from all
            queries together for the queries, which makes predictions
            *transductive* (they depend on the other queries);
            `"moving"`: as everywhere in Keras, from the batch in training and from
            moving averages in evaluation;
            `"per_step"`: as `"support"`, with scale and shift of their own for each
            inner step.
            Moving averages fit no single task: a learner that takes gradient steps
            learns with `"moving"`, and knows little of it in evaluation.
            Layers with `trainable=False` always use their moving averages.
        name: name of the layer.

    Raises:
        ValueError: if `normalization` is unknown.
    """

    #: Number of inner updates for which variables a step are made.
    steps = 0
    #: What the outer loop follows: the `"gradient"` of the query loss, or the
    #: `"difference"` between initial and adapted weights, with no tape around.
    outer_rule = "gradient"
    #: Whether adapting descends an inner loss.
    uses_inner_loss = True
    #: Whether an outer loss can compare tasks by `Adapted.first_gradients`.
    gives_gradients = False
    #: Whether the outer loop takes second derivatives of the learner.
    differentiates_twice = False
    #: Whether `tf.vectorized_map` keeps the gradients of the method.
    vectorizable = True
    #: Whether the method depends on the number of outer updates made.
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
        """Makes the variables that adapting `learner` needs. Called once.

        Args:
            learner: a built Keras model.

        Raises:
            ValueError: if it already adapts a learner.
        """
        if self._functional is not None:
            raise ValueError(
                "Invalid value for argument `adaptation`. Expected one that no other "
                f"model uses: make another {type(self).__name__} for this one. "
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
        """Adapts to the support set of `task`, never looking at its queries."""
        raise NotImplementedError

    def outer_path(
        self, task: Task, inner_loss: InnerLoss, *, training: bool
    ) -> list[Adapted]:
        """The states of the learner that the outer loss looks at, the adapted last."""
        return [self.adapt(task, inner_loss, training=training)]

    def outer_weights(self) -> tf.Tensor | None:
        """Weights of the outer losses of `outer_path`; `None` takes the last alone."""
        return None

    def phase(self, updates: int) -> Any:
        """A value that changes when the training step must be traced anew.

        Args:
            updates: number of outer updates made.
        """
        del updates
        return None

    def set_updates(self, updates: tf.Tensor) -> None:
        """Tells the method how many outer updates have been made."""
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
        """The learner before any adaptation."""
        state = self._functional.initial_state(task.stream)
        return Adapted(self._functional.initial_weights(), state, 0, [])

    def state_variables(self) -> list[keras.Variable]:
        """Variables that a training step writes, in the order of `state_values`."""
        return self._functional.state_variables

    @staticmethod
    def state_values(state: LearnerState) -> list[tf.Tensor]:
        """The values of `state_variables` in `state`."""
        return state.values

    def seed_variables(self) -> list[keras.Variable]:
        """States of the learner's random number generators."""
        return self._functional.seed_variables

    def install(self, learner: keras.Model, adapted: Adapted, task: Task) -> None:
        """Writes what was adapted into `learner`, a copy of the learner.

        After it `learner(x)` predicts what `predict` does (for
        `normalization="batch"`: when called with `training=True`).
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
        """Predicts the support set, for the inner loss."""
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
