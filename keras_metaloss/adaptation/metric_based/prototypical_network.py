"""Prototypical networks: nearest class mean in an embedding space."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss.adaptation import distances
from keras_metaloss.adaptation.metric_based.metric_adaptation import (
    Memory,
    MetricAdaptation,
    flattened,
)

__all__ = ["PrototypicalNetwork"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class PrototypicalNetwork(MetricAdaptation):
    """Classifies queries by the distance to the mean embedding of each class.

    The prototype `c_k` is the mean of `f(x_i)` over the support examples of class k.
    The logits, `[T, Q, C]`, are `z_k = -d(f(x), c_k)`.

    Args:
        distance: `"squared_euclidean"`, `"cosine"`, `"mahalanobis"`, or a layer that
            computes pairwise distances (`kml.adaptation.distances`). Defaults to
            `"squared_euclidean"`.
        classes: Number of logits C. `None` uses the largest integer label of the
            batch plus one, which XLA (`jit_compile=True`) does not support. Defaults
            to `None`.
        normalization: Statistics used by batch normalization: `"moving"` (the
            default behavior of Keras, with one pass over all tasks), `"support"` (of
            the support set, also for queries) or `"batch"` (of the queries for
            queries, which is transductive). Defaults to `"moving"`.
        name: Name of the layer; `None` generates one. Defaults to `None`.

    Raises:
        ValueError: If an argument is invalid, or if the learner does not have one
            output of known shape.

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
    """Computes mean embeddings `[T, C, D]`; zero for classes without examples."""
    counts = tf.reduce_sum(classes, axis=1)[..., tf.newaxis]
    sums = tf.einsum("tsc,tsd->tcd", classes, embeddings)
    return tf.math.divide_no_nan(sums, counts)


def build_distance(distance: keras.layers.Layer, embedding_shape: tuple) -> None:
    """Creates the variables of a distance outside of any scope or loop."""
    size = math.prod(embedding_shape)
    if not distance.built:
        distance(tf.zeros([1, 1, size]), tf.zeros([1, 1, size]))
