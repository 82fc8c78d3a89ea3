"""Distances between embeddings, for all metric-based methods.

A distance is a Keras layer called with two sets of vectors, `[..., N, D]` and
`[..., M, D]`. It returns the pairwise distances `[..., N, M]`.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss._utils.checks import check_non_negative

__all__ = ["Cosine", "Mahalanobis", "SquaredEuclidean", "get"]


class _Distance(keras.layers.Layer):
    """Base class that uses `floatx()`, because squares would overflow in float16."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("dtype", keras.config.floatx())
        super().__init__(**kwargs)


@keras.saving.register_keras_serializable(package="keras_metaloss")
class SquaredEuclidean(_Distance):
    """Squared Euclidean distance `scale * |a - b|^2`, as in prototypical networks.

    The distance is a sum over the D entries of an embedding. If D is large, the
    differences are large as well: a softmax of the distances is saturated from the
    first step and training is slow. In that case set `scale` to about `64 / D`.

    Args:
        scale: Non-negative constant factor. Defaults to `1.0`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        a: Vectors, `[..., N, D]`.
        b: Vectors, `[..., M, D]`.

    Output shape:
        `[..., N, M]`.

    Raises:
        ValueError: If `scale` is negative.

    Example:

    >>> import tensorflow as tf
    >>> d = SquaredEuclidean()(tf.constant([[0.0, 0.0]]), tf.constant([[3.0, 4.0]]))
    >>> d.numpy().tolist()
    [[25.0]]
    """

    def __init__(self, scale: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = check_non_negative("scale", scale)

    def build(self, a_shape: tuple, b_shape: tuple) -> None:
        del a_shape, b_shape

    def call(self, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        return self.scale * _squared_euclidean(a, b)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale}


@keras.saving.register_keras_serializable(package="keras_metaloss")
class Cosine(_Distance):
    """Cosine distance `scale * (1 - a.b / (|a| |b|))` with a trainable scale.

    The distance to a zero vector is `scale`.

    Args:
        scale: Non-negative initial value of the factor, which is trained unless the
            layer has `trainable=False`. It remains non-negative. Matching networks use
            a constant 1. Defaults to `10.0`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        a: Vectors, `[..., N, D]`.
        b: Vectors, `[..., M, D]`.

    Output shape:
        `[..., N, M]`.

    Raises:
        ValueError: If `scale` is negative.

    Example:

    >>> import tensorflow as tf
    >>> d = Cosine(1.0)(tf.constant([[2.0, 0.0]]), tf.constant([[0.0, 1.0]]))
    >>> d.numpy().tolist()
    [[1.0]]

    Reference:
        Vinyals et al., "Matching Networks for One Shot Learning", 2016, section 2.1;
        trained scale: Chen et al., "A Closer Look at Few-shot Classification", 2019.
    """

    def __init__(self, scale: float = 10.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = check_non_negative("scale", scale)

    def build(self, a_shape: tuple, b_shape: tuple) -> None:
        del a_shape, b_shape
        self.factor = self.add_weight(
            name="scale",
            shape=(),
            initializer=keras.initializers.Constant(self.scale),
            # A negative factor would turn distances into similarities.
            constraint="non_neg",
            trainable=self.trainable,
        )

    def call(self, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        a, b = (tf.math.l2_normalize(v, axis=-1, epsilon=1e-12) for v in (a, b))
        factor = tf.cast(tf.convert_to_tensor(self.factor), a.dtype)
        return factor * (1.0 - tf.matmul(a, b, transpose_b=True))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale}


@keras.saving.register_keras_serializable(package="keras_metaloss")
class Mahalanobis(_Distance):
    """Squared Mahalanobis distance `(a - b)^T M (a - b)` with a trained matrix M.

    `M = L L^T` is positive definite: L is lower triangular with a positive diagonal.
    The initial value is `M = I`.

    Args:
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        a: Vectors, `[..., N, D]`.
        b: Vectors, `[..., M, D]`.

    Output shape:
        `[..., N, M]`.

    Example:

    >>> import tensorflow as tf
    >>> d = Mahalanobis()(tf.constant([[0.0, 0.0]]), tf.constant([[3.0, 4.0]]))
    >>> round(float(d[0, 0]), 3)
    25.0
    """

    def build(self, a_shape: tuple, b_shape: tuple) -> None:
        del b_shape
        size = a_shape[-1]
        self.factor = self.add_weight(
            name="factor", shape=(size, size), initializer="zeros"
        )

    def call(self, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        lower = tf.cast(self.lower_factor(), a.dtype)
        return _squared_euclidean(tf.matmul(a, lower), tf.matmul(b, lower))

    def lower_factor(self) -> tf.Tensor:
        """Returns the lower triangular factor L, `[D, D]`."""
        factor = tf.convert_to_tensor(self.factor)
        # softplus(log(e - 1)) = 1, so zeros represent the identity matrix.
        diagonal = tf.nn.softplus(tf.linalg.diag_part(factor) + math.log(math.e - 1.0))
        return tf.linalg.set_diag(tf.linalg.band_part(factor, -1, 0), diagonal)


_BY_NAME = {
    "squared_euclidean": SquaredEuclidean,
    "cosine": Cosine,
    "mahalanobis": Mahalanobis,
}


def get(distance: str | keras.layers.Layer) -> keras.layers.Layer:
    """Returns the distance with a given name.

    Args:
        distance: `"squared_euclidean"`, `"cosine"`, `"mahalanobis"`, or a layer, which
            is returned unchanged.

    Returns:
        A Keras layer that computes pairwise distances.

    Raises:
        ValueError: If `distance` is neither a known name nor a layer.

    Example:

    >>> type(get("cosine")).__name__
    'Cosine'
    """
    if isinstance(distance, keras.layers.Layer):
        return distance
    if not isinstance(distance, str) or distance not in _BY_NAME:
        raise ValueError(
            "Invalid value for argument `distance`. Expected a Keras layer or one of "
            f"{sorted(_BY_NAME)}. Received: distance={distance!r}"
        )
    return _BY_NAME[distance]()


def _squared_euclidean(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    squares = [tf.reduce_sum(tf.square(v), axis=-1) for v in (a, b)]
    products = tf.matmul(a, b, transpose_b=True)
    total = squares[0][..., :, tf.newaxis] + squares[1][..., tf.newaxis, :]
    # Rounding can make the difference negative.
    return tf.nn.relu(total - 2.0 * products)
