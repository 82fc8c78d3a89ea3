"""MetaOptNet: linear classifier with a closed-form fit to the support set."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss._utils.checks import check_positive
from keras_metaloss.adaptation.metric_based.metric_adaptation import (
    Memory,
    MetricAdaptation,
    flattened,
)

__all__ = ["MetaOptNet"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class MetaOptNet(MetricAdaptation):
    """Differentiable ridge regression on the support embeddings.

    `W = argmin |X W - Y|^2 + strength |W|^2 = X^T (X X^T + strength I)^-1 Y` for
    support embeddings X `[S, D]` and one-hot targets Y `[S, C]`. The logits,
    `[T, Q, C]`, are `scale * f(x) W`. Scale and strength are trained. The inverted
    matrix is `[S, S]`.

    Args:
        strength: Positive initial value of the regularization strength. Defaults to
            `50.0`.
        scale: Positive initial value of the factor of the logits. Defaults to `7.0`.
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
    >>> model = kml.MetaModel(embedding, kml.adaptation.MetaOptNet())
    >>> model.compile("adam", keras.losses.SparseCategoricalCrossentropy(True))

    Reference:
        Lee et al., "Meta-Learning with Differentiable Convex Optimization", 2019,
        section 3.3 (ridge regression head); closed form: Bertinetto et al.,
        "Meta-learning with differentiable closed-form solvers", 2019, equations 4
        and 6.
    """

    def __init__(
        self,
        *,
        strength: float = 50.0,
        scale: float = 7.0,
        classes: int | None = None,
        normalization: str = "moving",
        name: str | None = None,
    ) -> None:
        super().__init__(classes=classes, normalization=normalization, name=name)
        self.strength = check_positive("strength", strength)
        self.scale = check_positive("scale", scale)

    def build_head(self, embedding_shape: tuple[int, ...]) -> None:
        self.log_strength = self._scalar("log_strength", self.strength)
        self.log_scale = self._scalar("log_scale", self.scale)

    def memorize(
        self,
        embeddings: tf.Tensor,
        classes: tf.Tensor,
        mask: tf.Tensor | None,
        *,
        training: bool,
    ) -> Memory:
        x = flattened(embeddings)
        # A masked example becomes a row of zeros, which every W fits exactly.
        x *= tf.reduce_max(classes, axis=-1, keepdims=True)
        strength = tf.exp(tf.cast(tf.convert_to_tensor(self.log_strength), x.dtype))
        gram = tf.matmul(x, x, transpose_b=True)
        gram += strength * tf.eye(tf.shape(x)[1], dtype=x.dtype)
        dual = tf.linalg.cholesky_solve(tf.linalg.cholesky(gram), classes)
        return {"weights": tf.matmul(x, dual, transpose_a=True)}

    def score(self, queries: tf.Tensor, memory: Memory, *, training: bool) -> tf.Tensor:
        x = flattened(queries)
        scale = tf.exp(tf.cast(tf.convert_to_tensor(self.log_scale), x.dtype))
        return scale * tf.matmul(x, memory["weights"])

    def _scalar(self, name: str, value: float) -> keras.Variable:
        start = keras.initializers.Constant(float(tf.math.log(value)))
        return self.add_weight(name=name, shape=(), initializer=start)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "strength": self.strength,
            "scale": self.scale,
        }
