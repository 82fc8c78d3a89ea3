"""A learned comparison of class and query."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss.adaptation.metric import Memory, MetricAdaptation, flattened
from keras_metaloss.adaptation.prototypes import class_means
from keras_metaloss.checks import check_positive_integer

__all__ = ["RelationNetwork"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class RelationNetwork(MetricAdaptation):
    """Logits come from a small network that sees class and query side by side.

    `z_k = g([mean of f(x_i) over class k, f(x)])`. For feature maps g has two blocks of
    3x3 convolution, normalisation and ReLU, then a hidden layer; for vectors, two
    hidden layers. g normalises each pair by itself, where the paper has batch
    normalisation: its answer does not depend on other pairs, padded ones among them.

    The paper sums over the class: for a given number of shots the same up to a factor
    in the weights of g. After the mean, tests may have other numbers of shots than
    training.

    The paper squashes z to 0..1 and takes a squared error; the cross-entropy of the
    logits trains faster and is what the examples use. For the paper's way compile
    with `kml.losses.OneVsRest("mse", activation="sigmoid")`.

    Args:
        filters: filters of the convolutions, or units of the first hidden layer.
        hidden_units: units of the last hidden layer.
        classes: see `kml.adaptation.MetricAdaptation`.
        normalization: likewise.
        name: name of the layer.

    Raises:
        ValueError: if an argument is out of range.

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
                "Expected a learner whose output is a vector `[N, D]` or a feature map "
                "`[N, H, W, C]` for RelationNetwork. Received: output shape "
                f"{(None, *embedding_shape)}"
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
