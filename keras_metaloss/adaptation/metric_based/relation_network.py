"""Relation networks: learned comparison of class and query."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss._utils.checks import check_positive_integer
from keras_metaloss.adaptation.metric_based.metric_adaptation import (
    Memory,
    MetricAdaptation,
    flattened,
)
from keras_metaloss.adaptation.metric_based.prototypical_network import class_means

__all__ = ["RelationNetwork"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class RelationNetwork(MetricAdaptation):
    """Classifies queries with a small network that compares class and query.

    The logits, `[T, Q, C]`, are `z_k = g([mean of f(x_i) over class k, f(x)])`. For
    feature maps, `[N, H, W, D]`, g consists of two blocks of 3x3 convolution,
    normalization and ReLU, followed by a hidden layer. For vectors, `[N, D]`, g has two
    hidden layers. The paper uses batch normalization in g; here g normalizes each pair
    separately, so that its output does not depend on other pairs, including padded
    ones.

    The paper sums the embeddings of a class. For a fixed number of shots, the mean is
    equivalent up to a factor in the weights of g. With the mean, the number of shots
    may differ between training and evaluation.

    The paper applies a sigmoid to z and minimizes the squared error. The cross-entropy
    of the logits trains faster and is used in the examples. For the loss of the paper,
    compile with `kml.losses.OneVsRest("mse", activation="sigmoid")`.

    Args:
        filters: Number of filters of the convolutions, or units of the first hidden
            layer. Defaults to `64`.
        hidden_units: Number of units of the last hidden layer. Defaults to `8`.
        classes: Number of logits C. `None` uses the largest integer label of the
            batch plus one, which XLA (`jit_compile=True`) does not support. Defaults
            to `None`.
        normalization: Statistics used by batch normalization: `"moving"` (the
            default behavior of Keras, with one pass over all tasks), `"support"` (of
            the support set, also for queries) or `"batch"` (of the queries for
            queries, which is transductive). Defaults to `"moving"`.
        name: Name of the layer; `None` generates one. Defaults to `None`.

    Raises:
        ValueError: If an argument is invalid, or if the output of the learner is
            neither a vector nor a feature map.

    Example:

    >>> import keras, keras_metaloss as kml
    >>> maps = kml.learners.conv4((28, 28, 1), filters=8, feature_map=True)
    >>> model = kml.MetaModel(maps, kml.adaptation.RelationNetwork(filters=8))
    >>> model.compile("adam", keras.losses.SparseCategoricalCrossentropy(True))

    Reference:
        Sung et al., "Learning to Compare: Relation Network for Few-Shot Learning",
        2018, equations 1 and 2, figure 2.
    """

    def __init__(
        self,
        *,
        filters: int = 64,
        hidden_units: int = 8,
        classes: int | None = None,
        normalization: str = "moving",
        name: str | None = None,
    ) -> None:
        super().__init__(classes=classes, normalization=normalization, name=name)
        self.filters = check_positive_integer("filters", filters)
        self.hidden_units = check_positive_integer("hidden_units", hidden_units)

    def build_head(self, embedding_shape: tuple[int, ...]) -> None:
        *space, channels = embedding_shape
        if len(space) not in (0, 2):
            raise ValueError(
                "Invalid value for argument `learner`. RelationNetwork expects a "
                "vector `[N, D]` or a feature map `[N, H, W, C]` as output. Received: "
                f"output_shape={(None, *embedding_shape)}"
            )
        layers = []
        if space:
            for _ in range(2):
                layers += [
                    keras.layers.Conv2D(self.filters, 3, padding="same"),
                    keras.layers.GroupNormalization(groups=1),
                    keras.layers.ReLU(),
                ]
            layers.append(keras.layers.Flatten())
        else:
            layers.append(keras.layers.Dense(self.filters, "relu"))
        layers += [
            keras.layers.Dense(self.hidden_units, "relu"),
            keras.layers.Dense(1),
        ]
        inputs = keras.Input((*space, 2 * channels))
        self.head = keras.Sequential([inputs, *layers], name="relation")

    def memorize(
        self,
        embeddings: tf.Tensor,
        classes: tf.Tensor,
        mask: tf.Tensor | None,
        *,
        training: bool,
    ) -> Memory:
        means = class_means(flattened(embeddings), classes)
        shape = tf.concat([tf.shape(means)[:2], embeddings.shape[2:]], axis=0)
        return {"means": tf.reshape(means, shape)}

    def score(self, queries: tf.Tensor, memory: Memory, *, training: bool) -> tf.Tensor:
        means = memory["means"][:, tf.newaxis]
        queries = queries[:, :, tf.newaxis]
        shape = tf.broadcast_dynamic_shape(tf.shape(means), tf.shape(queries))
        pairs = tf.concat(
            [tf.broadcast_to(means, shape), tf.broadcast_to(queries, shape)], axis=-1
        )
        inner = self.head.input_shape[1:]
        relations = self.head(tf.reshape(pairs, [-1, *inner]), training=training)
        return tf.cast(tf.reshape(relations, shape[:3]), queries.dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "hidden_units": self.hidden_units,
        }
