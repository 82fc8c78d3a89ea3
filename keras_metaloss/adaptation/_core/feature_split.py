"""Split of a learner into layers that the inner loop does not change and the rest."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss.adaptation._core.normalization import (
    BatchMoments,
    update_moving_averages,
)

__all__ = ["FeatureSplit", "Features", "split_learner"]

# Packages whose layers are deterministic in evaluation, and in training if they have
# no state. Layers of other packages may draw random numbers in ways that are not seen.
_PACKAGES = ("keras", "keras_hub", "keras_metaloss")
# Layers that contain other code.
_UNKNOWN = (
    keras.layers.Lambda,
    keras.layers.TFSMLayer,
    keras.layers.JaxLayer,
    keras.layers.FlaxLayer,
    keras.layers.TorchModuleWrapper,
)
_BATCH = keras.layers.BatchNormalization
_NORMALIZATION = (_BATCH, keras.layers.Normalization)


class FeatureSplit:
    """A learner as a body, the same in every inner step, followed by a tail.

    Both use the layers of the learner.

    Args:
        learner: Functional or Sequential model.
        frontier: Symbolic tensors that the tail takes from the body.
    """

    def __init__(self, learner: keras.Model, frontier: list[keras.KerasTensor]) -> None:
        inputs, outputs = _compat.graph_inputs_and_outputs(learner)
        self.body = keras.Model(inputs, frontier, name="body")
        self.body.dtype_policy = learner.dtype_policy
        self.tail = _Tail(keras.Function(frontier, outputs), learner)


class Features:
    """Outputs of the body for one support set.

    Args:
        split: The split of the learner.
        outputs: Outputs of the body.
        moments: Statistics of batch normalization in the body.
    """

    def __init__(
        self, split: FeatureSplit, outputs: Any, moments: BatchMoments
    ) -> None:
        self._tail = split.tail
        self._outputs = keras.tree.flatten(outputs)
        self._moments = moments

    def call(self, x: Any, training: bool) -> Any:
        """Returns the outputs of the learner, without a pass of the body.

        Args:
            x: The inputs of the body; not used.
            training: Whether the model is being trained.
        """
        del x
        if training:
            # Moving averages change in every pass, by the same statistics.
            update_moving_averages(self._moments)
        return self._tail(self._outputs, training=training)


class _Tail(keras.layers.Layer):
    """Calls the layers of a function with the `training` argument of this layer."""

    def __init__(self, function: keras.Function, learner: keras.Model) -> None:
        super().__init__(
            name="tail", dtype=learner.dtype_policy, autocast=learner.autocast
        )
        _compat.pass_inputs_unchanged(self)
        self.supports_masking = True
        self.function = function
        self.built = True

    def call(self, inputs: list[tf.Tensor], training: bool | None = None) -> Any:
        del training  # Keras passes it to the layers that are called here.
        return self.function(inputs)

    def compute_mask(self, inputs: Any, mask: Any) -> None:
        """Returns `None`: the layers compute the masks of their outputs."""


def split_learner(
    learner: keras.Model,
    adapted: list[keras.Variable],
    state: list[keras.Variable],
    *,
    training: bool,
    per_step: bool,
) -> FeatureSplit | None:
    """Splits a learner after the layers that compute the same in every inner step.

    These layers have no adapted weights, draw no random numbers and have no state
    except for batch normalization.

    Args:
        learner: Built Keras model.
        adapted: The weights that the inner loop changes.
        state: Variables that layers write in training.
        training: Whether the model is being trained.
        per_step: Whether batch normalization has separate weights per inner step.

    Returns:
        The split, or `None` if nothing can be saved: the learner has no such layers
        with weights, or it is a subclassed model, whose layers are not known.
    """
    nodes = _compat.graph_nodes(learner)
    if nodes is None:
        return None
    changing = {id(v) for v in adapted}
    written = {id(v) for v in state}
    fixed = {id(tensor) for tensor in learner.inputs}
    frontier: dict[int, keras.KerasTensor] = {}
    saves, remains = False, False
    for operation, inputs, outputs in nodes:
        if all(id(t) in fixed for t in inputs) and _is_fixed(
            operation, changing, written, training=training, per_step=per_step
        ):
            fixed.update(id(t) for t in outputs)
            saves = saves or bool(getattr(operation, "variables", ()))
        else:
            frontier.update((id(t), t) for t in inputs if id(t) in fixed)
            remains = True
    frontier.update((id(t), t) for t in learner.outputs if id(t) in fixed)
    if not (saves and remains):
        return None
    return FeatureSplit(learner, list(frontier.values()))


def _is_fixed(
    operation: Any,
    changing: set[int],
    written: set[int],
    *,
    training: bool,
    per_step: bool,
) -> bool:
    """Returns whether an operation computes the same in every inner step."""
    if not isinstance(operation, keras.layers.Layer):
        return True
    if any(id(v) in changing for v in operation.variables):
        return False
    layers = [operation, *_compat.flatten_layers(operation)]
    normalizations = [x for x in layers if isinstance(x, _NORMALIZATION)]
    if per_step and any(isinstance(x, _BATCH) for x in normalizations):
        return False
    for layer in layers:
        known = type(layer).__module__.partition(".")[0] in _PACKAGES
        # Stateful recurrent layers write their state in every pass.
        stateful = getattr(layer, "stateful", False)
        if not known or isinstance(layer, _UNKNOWN) or stateful:
            return False
    if not training:
        return True
    # Statistics of batch normalization are replayed; those of `Normalization` are not
    # written in a pass.
    harmless = {id(v) for x in normalizations for v in x.variables}
    others = [v for v in operation.variables if id(v) not in harmless]
    return not any(
        id(v) in written or not tf.as_dtype(v.dtype).is_floating for v in others
    )
