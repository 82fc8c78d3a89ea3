"""Nearest class mean in a learned space."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss.adaptation import distances
from keras_metaloss.adaptation.metric import Memory, MetricAdaptation, flattened

__all__ = ["PrototypicalNetwork"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class PrototypicalNetwork(MetricAdaptation):
    """Logits are minus the distance to the mean embedding of each class.

    `c_k` = mean of `f(x_i)` over support examples of class k; logit
    `z_k = -d(f(x), c_k)`.

    Args:
        distance: `"squared_euclidean"`, `"cosine"`, `"mahalanobis"`, or a layer as in
            `kml.adaptation.distances`.
        classes: see `kml.adaptation.MetricAdaptation`.
        normalization: likewise.
        name: name of the layer.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    >>> import keras, keras_metaloss as kml
    >>> embedding = kml.learners.conv4((28, 28, 1), filters=8)
    >>> model = kml.MetaModel(embedding, kml.adaptation.PrototypicalNetwork())
    >>> model.compile("adam", keras.losses.SparseCategoricalCrossentropy(True))

    Reference:
        Snell et al., "Prototypical Networks for Few-shot Learning", 2017, equations 1
        and 2.
    """

    def __init__(
        self,
        distance: str | keras.layers.Layer = "squared_euclidean",
        *,
        classes: int | None = None,
        normalization: str = "moving",
        name: str | None = None,
    ) -> None:
        super().__init__(classes=classes, normalization=normalization, name=name)
        self.distance = distances.get(distance)

    def build_head(self, embedding_shape: tuple[int, ...]) -> None:
        build_distance(self.distance, embedding_shape)

    def memorize(
        self,
        embeddings: tf.Tensor,
        classes: tf.Tensor,
        mask: tf.Tensor | None,
        *,
        training: bool,
    ) -> Memory:
        return {"prototypes": class_means(flattened(embeddings), classes)}

    def score(self, queries: tf.Tensor, memory: Memory, *, training: bool) -> tf.Tensor:
        return -self.distance(flattened(queries), memory["prototypes"])

    def get_config(self) -> dict[str, Any]:
        distance = keras.saving.serialize_keras_object(self.distance)
        return {**super().get_config(), "distance": distance}


def class_means(embeddings: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
    """Mean embedding `[T, C, D]` of each class; zero for a class with no example."""
    counts = tf.reduce_sum(classes, axis=1)[..., tf.newaxis]
    sums = tf.einsum("tsc,tsd->tcd", classes, embeddings)
    return tf.math.divide_no_nan(sums, counts)


def build_distance(distance: keras.layers.Layer, embedding_shape: tuple) -> None:
    """Makes the variables of a distance before any scope or loop is entered."""
    size = 1
    for axis in embedding_shape:
        size *= axis
    if not distance.built:
        distance(tf.zeros([1, 1, size]), tf.zeros([1, 1, size]))
