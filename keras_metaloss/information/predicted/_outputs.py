"""Predicted outputs: categorical, continuous scalar and vector variables."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import tensorflow as tf
from tensorflow_probability import distributions as tfd

__all__ = ["CategoricalOutput", "Output", "ScalarOutput", "VectorOutput"]


@dataclasses.dataclass(frozen=True)
class CategoricalOutput:
    """A categorical variable of k classes.

    Attributes:
        probs: Class probabilities, `[N, k]`.
        distribution: The TFP distribution.
    """

    probs: tf.Tensor
    distribution: tfd.Distribution

    @property
    def dtype(self) -> tf.DType:
        """Returns the dtype of the probabilities."""
        return self.probs.dtype


@dataclasses.dataclass(frozen=True)
class ScalarOutput:
    """A continuous scalar variable.

    Points are given in a standardized coordinate, in which the batch is centered at 0
    with a spread of about 1.

    Attributes:
        locs: Locations of all components, `[M]`, in the standardized coordinate.
        scales: Scales of all components, `[M]`, in the standardized coordinate.
        log_density: Function from points `[G]` to log densities `[N, G]` in the
            standardized coordinate.
        value: Function from points `[G]` to values of the variable.
        log_volume: Function from points `[G]` to `log |d value / d point|`.
        reach: Extent of the tails in units of the scale.
        knots: Panel boundaries in units of the scale.
        edges: Possible discontinuities of the densities, `[E]`, in the standardized
            coordinate.
        distribution: The TFP distribution.
    """

    locs: tf.Tensor
    scales: tf.Tensor
    log_density: Callable[[tf.Tensor], tf.Tensor]
    value: Callable[[tf.Tensor], tf.Tensor]
    log_volume: Callable[[tf.Tensor], tf.Tensor]
    reach: float
    knots: tuple[float, ...]
    edges: tf.Tensor
    distribution: tfd.Distribution

    @property
    def dtype(self) -> tf.DType:
        """Returns the dtype of the distribution."""
        return self.distribution.dtype


@dataclasses.dataclass(frozen=True)
class VectorOutput:
    """A vector of continuous or categorical variables.

    Attributes:
        distribution: The TFP distribution.
    """

    distribution: tfd.Distribution

    @property
    def dtype(self) -> tf.DType:
        """Returns the dtype of the distribution."""
        return self.distribution.dtype


Output = CategoricalOutput | ScalarOutput | VectorOutput
