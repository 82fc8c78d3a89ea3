"""Pure-function view of a Keras learner: variables become arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss.adaptation._core.normalization import BatchMoments

__all__ = ["FunctionalLearner", "LearnerState", "Weights"]

Weights = list[tf.Tensor]

# Offset between the seeds of two streams; any odd stride keeps them distinct.
_STREAM_STRIDE = 7919


class LearnerState(NamedTuple):
    """Values of the non-trainable variables of a learner.

    Attributes:
        values: Moving statistics, one tensor per state variable.
        stream: Integer scalar that selects the random numbers of this task.
    """

    values: list[tf.Tensor]
    stream: tf.Tensor


class FunctionalLearner:
    """Runs a Keras model with given values in place of its variables.

    Every call maps all variables, including unchanged ones, because an unmapped
    variable would lose its regularizer and its gradient.

    Args:
        learner: Built Keras model.
    """

    def __init__(self, learner: keras.Model) -> None:
        self.learner = learner

    @property
    def weight_variables(self) -> list[keras.Variable]:
        """Returns the variables that the inner loop may change."""
        return self.learner.trainable_variables

    @property
    def state_variables(self) -> list[keras.Variable]:
        """Returns the floating-point variables written by layers (statistics)."""
        frozen = {id(v) for v in self.frozen_variables}
        variables = self.learner.non_trainable_variables
        return [v for v in variables if _is_float(v) and id(v) not in frozen]

    @property
    def frozen_variables(self) -> list[keras.Variable]:
        """Returns the weights of frozen layers, which all tasks share."""
        frozen = {id(v) for v in self.learner.non_trainable_variables}
        return [v for v in _compat.own_weights(self.learner) if id(v) in frozen]

    @property
    def seed_variables(self) -> list[keras.Variable]:
        """Returns the states of random number generators."""
        ids = {id(v) for v in _compat.seed_states(self.learner)}
        return [v for v in self.learner.non_trainable_variables if id(v) in ids]

    @property
    def constant_variables(self) -> list[keras.Variable]:
        """Returns other integer variables, such as counters and quantized weights."""
        known = {id(v) for v in (*self.frozen_variables, *self.seed_variables)}
        variables = self.learner.non_trainable_variables
        return [v for v in variables if not _is_float(v) and id(v) not in known]

    def initial_weights(self) -> Weights:
        """Returns the values of `weight_variables`."""
        # Reading the variables here lets the outer tape record the read.
        return [tf.convert_to_tensor(v) for v in self.weight_variables]

    def initial_state(self, stream: tf.Tensor) -> LearnerState:
        """Returns the values of `state_variables`, with the stream of a task."""
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
        plain_bias: bool = False,
        call: Callable[..., Any] | None = None,
    ) -> LearnerOutput:
        """Runs the learner on `x` with the given weights and state.

        Args:
            x: Inputs of the learner, `[N, ...]` or a structure of such tensors.
            weights: Values of `weight_variables`.
            state: Values of `state_variables`.
            training: `training` argument of the learner.
            moments: Statistics used by batch normalization.
            pass_number: Index of the forward pass within the task, so that passes
                use different dropout masks. Defaults to `0`.
            overrides: Pairs of variables and values that take precedence over the
                values above. Defaults to `None`.
            plain_bias: Whether biases are added to images without `BiasAdd`, for
                second derivatives. Defaults to `False`.
            call: Function `(x, training)` that is called instead of the learner and
                calls a part of its layers. Defaults to `None`.

        Returns:
            A `LearnerOutput`.

        Raises:
            ValueError: If a layer adds losses that depend on its activations.
        """
        mapping = [
            *zip(self.weight_variables, weights, strict=True),
            *zip(self.state_variables, state.values, strict=True),
            *((v, tf.convert_to_tensor(v)) for v in self.frozen_variables),
            *((v, tf.convert_to_tensor(v)) for v in self.constant_variables),
            *(
                (v, self._seed(v, state.stream, pass_number))
                for v in self.seed_variables
            ),
            *(overrides or []),
        ]
        with moments.scope(
            self.learner, mapping, plain_bias=plain_bias, collect_losses=True
        ) as scope:
            outputs = (call or self.learner)(x, training=training)
            penalties = list(self.learner.losses)
        if scope.losses:
            raise ValueError(
                "Invalid value for argument `learner`. Expected layers without "
                "`activity_regularizer` and `add_loss`: neither the inner nor the "
                "outer loop minimizes these losses. Received: "
                f"learner={self.learner.name!r}, number of losses: {len(scope.losses)}"
            )
        values = [
            _current_value(scope, v, old)
            for v, old in zip(self.state_variables, state.values, strict=True)
        ]
        return LearnerOutput(outputs, penalties, state._replace(values=values))

    def _seed(
        self, variable: keras.Variable, stream: tf.Tensor, pass_number: Any
    ) -> tf.Tensor:
        value = tf.convert_to_tensor(variable)
        number = tf.cast(pass_number, value.dtype)
        offset = (tf.cast(stream, value.dtype) * 1009 + number + 1) * _STREAM_STRIDE
        return value + tf.stack([offset, tf.zeros_like(offset)])


class LearnerOutput(NamedTuple):
    """Result of one forward pass of a learner.

    Attributes:
        outputs: Predictions.
        penalties: Scalar losses of the learner, such as weight regularization.
        state: State of the learner after the pass.
    """

    outputs: Any
    penalties: list[tf.Tensor]
    state: LearnerState


def _is_float(variable: keras.Variable) -> bool:
    return tf.as_dtype(variable.dtype).is_floating


def _current_value(
    scope: keras.StatelessScope, variable: keras.Variable, old: tf.Tensor
) -> tf.Tensor:
    value = scope.get_current_value(variable)
    # Statistics carry no gradient, because the outer loop does not train them.
    return tf.stop_gradient(tf.cast(old if value is None else value, old.dtype))
