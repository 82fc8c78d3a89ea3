"""Siamese networks: pairwise comparison of shared embeddings."""

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
from keras_metaloss.adaptation.metric_based.prototypical_network import build_distance

__all__ = ["SiameseNetwork"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class SiameseNetwork(MetricAdaptation):
    """Predicts the class of the most similar support example.

    The score of a pair is `z(x, x_i) = b - sum_d w_d |f(x) - f(x_i)|_d` with trained w
    and b, or the negative `distance`. The logit of a class is the maximum score of its
    support examples. The logits are `[T, Q, C]`.

    The verification loss of the paper, over all pairs of a query and a class, is
    `kml.losses.OneVsRest(keras.losses.BinaryCrossentropy(from_logits=True))`. The
    cross-entropy over classes is supported as well. Alternatively, train the embedding
    with the contrastive loss, outside of episodes:
    `embedding.compile(loss=kml.losses.ContrastiveLoss())` and `fit` on images and
    integer labels. `SiameseNetwork("squared_euclidean")` then classifies episodes
    without further training.

    Args:
        distance: `"squared_euclidean"`, `"cosine"`, `"mahalanobis"`, or a layer that
            computes pairwise distances (`kml.adaptation.distances`). `None` uses the
            trained weighted distance above. Defaults to `None`.
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
    >>> model = kml.MetaModel(embedding, kml.adaptation.SiameseNetwork())
    >>> model.compile("adam", kml.losses.OneVsRest(
    ...     keras.losses.BinaryCrossentropy(from_logits=True)))

    Reference:
        Koch et al., "Siamese Neural Networks for One-shot Image Recognition", 2015,
        sections 3.1 and 3.2.
    """

    def __init__(
        self,
        distance: str | keras.layers.Layer | None = None,
        *,
        classes: int | None = None,
        normalization: str = "moving",
        name: str | None = None,
    ) -> None:
        super().__init__(classes=classes, normalization=normalization, name=name)
        self.distance = None if distance is None else distances.get(distance)

    def build_head(self, embedding_shape: tuple[int, ...]) -> None:
        if self.distance is not None:
            build_distance(self.distance, embedding_shape)
            return
        size = math.prod(embedding_shape)
        start = keras.initializers.Constant(1.0 / size**0.5)
        self.weight = self.add_weight(name="weight", shape=(size,), initializer=start)
        self.bias = self.add_weight(name="bias", shape=(), initializer="zeros")

    def memorize(
        self,
        embeddings: tf.Tensor,
        classes: tf.Tensor,
        mask: tf.Tensor | None,
        *,
        training: bool,
    ) -> Memory:
        return {"embeddings": flattened(embeddings), "classes": classes}

    def score(self, queries: tf.Tensor, memory: Memory, *, training: bool) -> tf.Tensor:
        pairs = self.pair_scores(flattened(queries), memory["embeddings"])
        member = memory["classes"][:, tf.newaxis] > 0
        min_score = tf.constant(-1e9, pairs.dtype)
        scores = tf.where(member, pairs[..., tf.newaxis], min_score)
        return tf.reduce_max(scores, axis=2)

    def pair_scores(self, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        """Computes pair scores `[..., N, M]` of `[..., N, D]` and `[..., M, D]`."""
        if self.distance is not None:
            return -self.distance(a, b)
        weight = tf.cast(tf.convert_to_tensor(self.weight), a.dtype)
        bias = tf.cast(tf.convert_to_tensor(self.bias), a.dtype)
        gaps = tf.abs(a[..., :, tf.newaxis, :] - b[..., tf.newaxis, :, :])
        return bias - tf.linalg.matvec(gaps, weight)

    def get_config(self) -> dict[str, Any]:
        distance = keras.saving.serialize_keras_object(self.distance)
        return {**super().get_config(), "distance": distance}
