"""Critics: networks that score pairs of samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss._utils.checks import check_positive_integer

__all__ = ["ConcatCritic", "SeparableCritic"]


class _Critic(keras.layers.Layer):
    """Base class of critics: builds networks of the configured hidden layers."""

    def __init__(
        self, hidden_units: Sequence[int], activation: Any, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.hidden_units = [
            check_positive_integer("hidden_units", units) for units in hidden_units
        ]
        self.activation = keras.activations.get(activation)

    def _network(self, name: str, outputs: int) -> keras.Sequential:
        layers = [
            keras.layers.Dense(units, activation=self.activation)
            for units in self.hidden_units
        ]
        return keras.Sequential([*layers, keras.layers.Dense(outputs)], name=name)

    def compute_output_shape(self, input_shape: Any) -> tuple:
        x_shape, y_shape = input_shape
        return (x_shape[0], y_shape[0])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "hidden_units": self.hidden_units,
            "activation": keras.activations.serialize(self.activation),
        }


def _flatten(values: tf.Tensor) -> tf.Tensor:
    """Flattens `[N, ...]` to `[N, D]`."""
    return tf.reshape(values, [-1, math.prod(values.shape[1:])])


def _flatten_shape(shape: Any) -> tuple[int | None, int]:
    return (shape[0], math.prod(shape[1:]))


@keras.saving.register_keras_serializable(package="keras_metaloss")
class SeparableCritic(_Critic):
    """Critic that scores pairs by inner products of two embeddings.

    `f(x, y) = g(x) . h(y)`. The two networks evaluate `N + M` samples, so the critic is
    efficient for large batches.

    Args:
        hidden_units: Numbers of units of the hidden layers of both networks. Defaults
            to `(128, 128)`.
        embedding_dim: Number of outputs of both networks. Defaults to `32`.
        activation: Activation function of the hidden layers. Defaults to `"relu"`.
        **kwargs: Keyword arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: A pair of tensors `[x, y]`, of shapes `[N, ...]` and `[M, ...]`. Each
            sample is flattened.

    Output shape:
        `[N, M]`, the scores of all pairs.

    Raises:
        ValueError: If `hidden_units` or `embedding_dim` are not positive integers.

    Example:

    >>> import numpy as np, keras_metaloss as kml
    >>> critic = kml.information.SeparableCritic(hidden_units=[8])
    >>> critic([np.ones((4, 3), "float32"), np.ones((5, 2), "float32")]).shape
    TensorShape([4, 5])

    Reference:
        Poole et al., "On variational bounds of mutual information", ICML 2019,
        section 4.1.
    """

    def __init__(
        self,
        hidden_units: Sequence[int] = (128, 128),
        embedding_dim: int = 32,
        activation: Any = "relu",
        **kwargs: Any,
    ) -> None:
        super().__init__(hidden_units, activation, **kwargs)
        self.embedding_dim = check_positive_integer("embedding_dim", embedding_dim)
        self.x_network = self._network("x_network", self.embedding_dim)
        self.y_network = self._network("y_network", self.embedding_dim)

    def build(self, input_shape: Any) -> None:
        x_shape, y_shape = input_shape
        self.x_network.build(_flatten_shape(x_shape))
        self.y_network.build(_flatten_shape(y_shape))
        self.built = True

    def call(self, inputs: Any) -> tf.Tensor:
        x, y = inputs
        x, y = self.x_network(_flatten(x)), self.y_network(_flatten(y))
        return tf.matmul(x, y, transpose_b=True)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "embedding_dim": self.embedding_dim}


@keras.saving.register_keras_serializable(package="keras_metaloss")
class ConcatCritic(_Critic):
    """Critic that scores pairs by one network of the concatenated samples.

    `f(x, y) = g([x, y])`. The network evaluates all `N x M` pairs, so it is more
    expensive but more expressive than `SeparableCritic` with the same number of units.
    The first layer is applied to `x` and `y` separately and the results are added,
    which is equivalent to applying it to their concatenation.

    Args:
        hidden_units: Numbers of units of the hidden layers, at least one. Defaults to
            `(128, 128)`.
        activation: Activation function of the hidden layers. Defaults to `"relu"`.
        **kwargs: Keyword arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: A pair of tensors `[x, y]`, of shapes `[N, ...]` and `[M, ...]`. Each
            sample is flattened.

    Output shape:
        `[N, M]`, the scores of all pairs.

    Raises:
        ValueError: If `hidden_units` is empty or does not contain positive integers.

    Example:

    >>> import numpy as np, keras_metaloss as kml
    >>> critic = kml.information.ConcatCritic(hidden_units=[8])
    >>> critic([np.ones((4, 3), "float32"), np.ones((5, 2), "float32")]).shape
    TensorShape([4, 5])

    Reference:
        Poole et al., "On variational bounds of mutual information", ICML 2019,
        section 4.1.
    """

    def __init__(
        self,
        hidden_units: Sequence[int] = (128, 128),
        activation: Any = "relu",
        **kwargs: Any,
    ) -> None:
        super().__init__(hidden_units, activation, **kwargs)
        if not self.hidden_units:
            raise ValueError(
                "Invalid value for argument `hidden_units`. Expected at least one "
                f"hidden layer. Received: hidden_units={hidden_units!r}"
            )
        first, *rest = self.hidden_units
        self.x_layer = keras.layers.Dense(first, name="x_layer")
        self.y_layer = keras.layers.Dense(first, use_bias=False, name="y_layer")
        layers = [keras.layers.Dense(n, activation=self.activation) for n in rest]
        self.network = keras.Sequential([*layers, keras.layers.Dense(1)], name="pairs")

    def build(self, input_shape: Any) -> None:
        x_shape, y_shape = input_shape
        self.x_layer.build(_flatten_shape(x_shape))
        self.y_layer.build(_flatten_shape(y_shape))
        self.network.build((None, self.hidden_units[0]))
        self.built = True

    def call(self, inputs: Any) -> tf.Tensor:
        x, y = inputs
        x, y = self.x_layer(_flatten(x)), self.y_layer(_flatten(y))
        pairs = self.activation(x[:, tf.newaxis] + y)
        shape = tf.shape(pairs)
        scores = self.network(tf.reshape(pairs, [-1, self.hidden_units[0]]))
        return tf.reshape(scores, shape[:2])
