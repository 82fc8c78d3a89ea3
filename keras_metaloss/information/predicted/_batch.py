"""Predicted outputs of several variables for one batch of inputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from keras_metaloss.information.predicted._checks import check_same_rows, row_weights
from keras_metaloss.information.predicted._conversion import as_output
from keras_metaloss.information.predicted._outputs import (
    CategoricalOutput,
    Output,
    ScalarOutput,
)
from keras_metaloss.information.predicted._scalar_outputs import scalar_output

__all__ = ["PredictedBatch"]


@dataclasses.dataclass(frozen=True)
class PredictedBatch:
    """Predicted outputs of several variables for one batch of inputs.

    Attributes:
        outputs: Output of each variable, by name.
        weights: Weights of the inputs, `[N]`, that sum to one (or are all zero).
    """

    outputs: Mapping[str, Output]
    weights: tf.Tensor

    @classmethod
    def from_distributions(
        cls,
        distributions: Mapping[str, Any],
        sample_weight: Any = None,
        bandwidth: float | None = None,
    ) -> PredictedBatch:
        """Validates and converts TFP distributions.

        Args:
            distributions: TFP distributions with batch shape `[N]`, by name.
            sample_weight: Weights of the inputs, `[N]`. Defaults to `None`, equal
                weights.
            bandwidth: Standard deviation of normal noise to add. Defaults to `None`.
        """
        outputs = {
            name: as_output(name, distribution, bandwidth)
            for name, distribution in distributions.items()
        }
        (first, output), *others = outputs.items()
        for other, other_output in others:
            pair = (output.distribution, other_output.distribution)
            check_same_rows((first, other), pair)
        dtypes = [output.dtype for output in outputs.values()]
        dtype = tf.float64 if tf.float64 in dtypes else tf.float32
        return cls(outputs, row_weights(output.distribution, sample_weight, dtype))

    def is_categorical(self, name: str) -> bool:
        """Returns whether the variable is categorical."""
        return isinstance(self.outputs[name], CategoricalOutput)

    def probs(self, name: str) -> tf.Tensor:
        """Returns the class probabilities `[N, k]` of a categorical variable."""
        output = self.outputs[name]
        if not isinstance(output, CategoricalOutput):
            raise TypeError(f"Expected a categorical variable. Received: {name}")
        return output.probs

    def scalars(self, names: Sequence[str]) -> dict[str, ScalarOutput]:
        """Returns the continuous scalar outputs among the named ones, by name."""
        outputs = {name: self.outputs[name] for name in names}
        return {
            name: output
            for name, output in outputs.items()
            if isinstance(output, ScalarOutput)
        }

    def cast(self, tensor: tf.Tensor) -> tf.Tensor:
        """Casts a tensor to the dtype of the weights."""
        return tf.cast(tensor, self.weights.dtype)

    def parameters(self, names: Sequence[str]) -> list[Any]:
        """Returns the differentiable values of categorical and scalar outputs."""
        outputs = (self.outputs[name] for name in names)
        predicted = [
            output.probs
            if isinstance(output, CategoricalOutput)
            else output.distribution
            for output in outputs
        ]
        return [predicted, self.weights]

    def with_parameters(
        self, names: Sequence[str], parameters: list[Any]
    ) -> PredictedBatch:
        """Returns a batch of the named outputs with other `parameters(names)`."""
        predicted, weights = parameters
        outputs: dict[str, Output] = {}
        for name, value in zip(names, predicted, strict=True):
            output = self.outputs[name]
            if isinstance(output, CategoricalOutput):
                outputs[name] = dataclasses.replace(output, probs=value)
            else:
                outputs[name] = scalar_output(value)
        return PredictedBatch(outputs, weights)
