"""Matching networks: attention over the support set."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss._utils.checks import check_boolean, check_positive_integer
from keras_metaloss.adaptation import distances
from keras_metaloss.adaptation.metric_based.metric_adaptation import (
    Memory,
    MetricAdaptation,
    flattened,
)
from keras_metaloss.adaptation.metric_based.prototypical_network import build_distance

__all__ = ["MatchingNetwork"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class MatchingNetwork(MetricAdaptation):
    """Classifies queries by attention over the support set.

    `P(y = k | x) = sum over i of class k of softmax_i(-d(f(x), g(x_i)))`. The logits,
    `[T, Q, C]`, are the logarithms of these probabilities.

    With `full_context=True` the embeddings depend on the whole support set: g is a
    bidirectional LSTM over the support set (so the order of its examples matters),
    and f is an LSTM that attends to the support set `reading_steps` times.

    Args:
        distance: `"squared_euclidean"`, `"cosine"`, `"mahalanobis"`, or a layer that
            computes pairwise distances (`kml.adaptation.distances`). The paper uses
            `kml.adaptation.distances.Cosine(1.0, trainable=False)`. Defaults to
            `"cosine"`.
        full_context: Whether to use full context embeddings. Defaults to `False`.
        reading_steps: Number of attention steps of f. Defaults to `3`.
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
    >>> model = kml.MetaModel(embedding, kml.adaptation.MatchingNetwork())
    >>> model.compile("adam", keras.losses.SparseCategoricalCrossentropy(True))

    Reference:
        Vinyals et al., "Matching Networks for One Shot Learning", 2016, equation 1;
        full context embeddings: section 2.1.2 and appendix A.
    """

    def __init__(
        self,
        distance: str | keras.layers.Layer = "cosine",
        *,
        full_context: bool = False,
        reading_steps: int = 3,
        classes: int | None = None,
        normalization: str = "moving",
        name: str | None = None,
    ) -> None:
        super().__init__(classes=classes, normalization=normalization, name=name)
        self.distance = distances.get(distance)
        self.full_context = check_boolean("full_context", full_context)
        self.reading_steps = check_positive_integer("reading_steps", reading_steps)

    def build_head(self, embedding_shape: tuple[int, ...]) -> None:
        build_distance(self.distance, embedding_shape)
        if self.full_context:
            size = math.prod(embedding_shape)
            # Without a seed, Keras draws one, which saved models would not restore.
            dtype = keras.config.floatx()
            settings = {"seed": 0, "dtype": dtype}
            self.support_reader = keras.layers.Bidirectional(
                keras.layers.LSTM(size, return_sequences=True, **settings),
                merge_mode="sum",
                dtype=dtype,
            )
            self.support_reader.build((None, None, size))
            self.query_reader = keras.layers.LSTMCell(size, **settings)
            self.query_reader.build((None, 2 * size))

    def memorize(
        self,
        embeddings: tf.Tensor,
        classes: tf.Tensor,
        mask: tf.Tensor | None,
        *,
        training: bool,
    ) -> Memory:
        vectors = flattened(embeddings)
        if self.full_context:
            if mask is not None:
                mask = tf.cast(mask, tf.bool)
            vectors += self.support_reader(vectors, mask=mask, training=training)
        return {"embeddings": vectors, "classes": classes}

    def score(self, queries: tf.Tensor, memory: Memory, *, training: bool) -> tf.Tensor:
        vectors = flattened(queries)
        if self.full_context:
            vectors = self._read(vectors, memory, training)
        similarity = -self.distance(vectors, memory["embeddings"])
        return class_logsumexp(similarity, memory["classes"])

    def _read(self, vectors: tf.Tensor, memory: tf.Tensor, training: bool) -> tf.Tensor:
        """Computes equations 3 to 6 of the paper's appendix for all queries."""
        support = memory["embeddings"]
        included = tf.reduce_sum(memory["classes"], axis=-1)[:, tf.newaxis, :] > 0
        shape = tf.shape(vectors)
        size = vectors.shape[-1]
        flat = tf.reshape(vectors, [-1, size])
        hidden, cell = tf.zeros_like(flat), tf.zeros_like(flat)
        read = tf.zeros_like(flat)
        for _ in range(self.reading_steps):
            inputs = tf.concat([flat, read], axis=-1)
            _, (hidden, cell) = self.query_reader(
                inputs, [hidden, cell], training=training
            )
            hidden = hidden + flat
            by_task = tf.reshape(hidden, shape)
            scores = tf.matmul(by_task, support, transpose_b=True)
            attention = tf.nn.softmax(tf.where(included, scores, -1e9), axis=-1)
            read = tf.reshape(tf.matmul(attention, support), [-1, size])
        return tf.reshape(hidden, shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "distance": keras.saving.serialize_keras_object(self.distance),
            "full_context": self.full_context,
            "reading_steps": self.reading_steps,
        }


def class_logsumexp(scores: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
    """Computes the log-sum-exp of the scores of each class.

    Args:
        scores: Scores of the support examples, `[T, Q, S]`.
        classes: Weights of the support examples per class, `[T, S, C]`.

    Returns:
        `log sum_i classes[t, i, k] * exp(scores[t, q, i])`, `[T, Q, C]`.
    """
    is_member = classes > 0
    logs = tf.math.log(tf.where(is_member, classes, tf.ones_like(classes)))
    scores = scores[..., tf.newaxis] + logs[:, tf.newaxis]
    scores = tf.where(is_member[:, tf.newaxis], scores, tf.constant(-1e9, scores.dtype))
    return tf.reduce_logsumexp(scores, axis=2)
