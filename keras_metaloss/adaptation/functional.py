"""A Keras learner seen as a pure function of the values of its variables."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss.adaptation.normalization import BatchMoments

__all__ = ["FunctionalLearner", "LearnerState", "Weights"]

Weights = list[tf.Tensor]

# Between two streams of random numbers: any odd stride keeps their seeds apart.
_STREAM_STRIDE = 7919


class LearnerState(NamedTuple):
    """Values of the variables of a learner that are not trained.

    Attributes:
        values: moving statistics and the like, one tensor a variable.
        stream: integer scalar; tells apart the random numbers of this task.
    """

    values: list[tf.Tensor]
    stream: tf.Tensor


class FunctionalLearner:
    """Runs a Keras model with given values in place of its own variables.

    Every variable is mapped at every call, those that do not change to their own
    values: a variable left out would lose its regulariser and its gradient.

    Args:
        learner: a built Keras model.
    """

    def __init__(self, learner: keras.Model) -> None:
        self.learner = learner

    @property
    def weight_variables(self) -> list[keras.Variable]:
        """What the inner loop may change."""
        return self.learner.trainable_variables

    @property
    def state_variables(self) -> list[keras.Variable]:
        """Floating-point variables that layers write: moving statistics."""
        frozen = {id(v) for v in self.frozen_variables}
        rest = self.learner.non_trainable_variables
        return [v for v in rest if _is_float(v) and id(v) not in frozen]

    @property
    def frozen_variables(self) -> list[keras.Variable]:
        """Weights of layers that are not trained: no task has its own."""
        frozen = {id(v) for v in self.learner.non_trainable_variables}
        return [v for v in _compat.own_weights(self.learner) if id(v) in frozen]

    @property
    def seed_variables(self) -> list[keras.Variable]:
        """Everything else: states of random number generators, counters."""
        return [v for v in self.learner.non_trainable_variables if not _is_float(v)]

    def initial_weights(self) -> Weights:
        # Tensors, read here: the outer tape then sees the reading of the variable.
        return [tf.convert_to_tensor(v) for v in self.weight_variables]

    def initial_state(self, stream: tf.Tensor) -> LearnerState:
        values = [tf.convert_to_tensor(v) for v in self.state_variables]
        return LearnerState(values, stream)

    def __call__(
        self,
        x: Any,
        weights: Weights,
        state: LearnerState,
        *,
        training: bool,
        moments: BatchMoments,
        pass_number: int | tf.Tensor = 0,
        overrides: list[tuple[keras.Variable, tf.Tensor]] | None = None,
    ) -> LearnerOutput:
        """Predicts `x` with `weights`.

        Args:
            x: inputs of the learner, `[N, ...]` or a structure of such tensors.
            weights: values for `weight_variables`.
            state: values for `state_variables`.
            training: the learner's `training` argument.
            moments: where batch normalisation takes its moments from.
            pass_number: numbers the passes of one task, so that two passes drop
                different units.
            overrides: further values, which win over those above.

        Returns:
            A `LearnerOutput`.

        Raises:
            ValueError: if a layer adds losses of its activations.
        """
        mapping = [
            *zip(self.weight_variables, weights, strict=True),
            *zip(self.state_variables, state.values, strict=True),
            *((v, tf.convert_to_tensor(v)) for v in self.frozen_variables),
            *(
                (v, self._seed(v, state.stream, pass_number))
                for v in self.seed_variables
            ),
            *(overrides or []),
        ]
        with (
            keras.StatelessScope(mapping, collect_losses=True) as scope,
            moments.applied_to(self.learner),
            _compat.exact_moments(),
        ):
            outputs = self.learner(x, training=training)
            penalties = list(self.learner.losses)
        if scope.losses:
            raise ValueError(
                "Expected a learner whose layers add no losses of what passes through "
                "them (`activity_regularizer`, `add_loss`): neither loop would follow "
                f"them. Received: learner={self.learner.name!r}, which adds "
                f"{len(scope.losses)}"
            )
        values = [
            _current_value(scope, v, old)
            for v, old in zip(self.state_variables, state.values, strict=True)
        ]
        return LearnerOutput(outputs, penalties, state._replace(values=values))

    def _seed(self, variable, stream, pass_number):
        value = tf.convert_to_tensor(variable)
        if tuple(variable.shape) != (2,):
            return value
        number = tf.cast(pass_number, value.dtype)
        offset = (tf.cast(stream, value.dtype) * 1009 + number + 1) * _STREAM_STRIDE
        return value + tf.stack([offset, tf.zeros_like(offset)])


class LearnerOutput(NamedTuple):
    """What one pass of a learner gives.

    Attributes:
        outputs: predictions.
        penalties: weight regularisation and other added losses, scalars.
        state: the state after the pass.
    """

    outputs: Any
    penalties: list[tf.Tensor]
    state: LearnerState


def _is_float(variable: keras.Variable) -> bool:
    return tf.as_dtype(variable.dtype).is_floating


def _current_value(scope, variable, old):
    value = scope.get_current_value(variable)
    # A statistic carries no gradient: it is not what the outer loop trains.
    return tf.stop_gradient(tf.cast(old if value is None else value, old.dtype))
