"""A linear classifier fitted to the support set in closed form."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss.adaptation.metric import Memory, MetricAdaptation, flattened
from keras_metaloss.checks import check_non_negative

__all__ = ["MetaOptNet"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class MetaOptNet(MetricAdaptation):
    """Ridge regression on the embeddings, differentiated through its solution.

    `W = argmin |X W - Y|^2 + strength |W|^2 = X^T (X X^T + strength I)^-1 Y` for
    support embeddings X `[S, D]` and one-hot Y; logits `scale * f(x) W`, with a learned
    scale and strength. The matrix inverted has the size of the support set.

    Args:
        strength: initial weight of the penalty, above zero.
        scale: initial factor of the logits.
        classes: see `kml.adaptation.MetricAdaptation`.
        normalization: likewise.
        name: name of the layer.

    Raises:
        ValueError: if an argument is out of range.

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
        self.strength = check_non_negative("strength", strength)
        self.scale = check_non_negative("scale", scale)
        if not self.strength:
            raise ValueError(
                "Invalid value for argument `strength`. Expected a number above zero. "
                f"Received: strength={strength!r}"
            )

    def build_head(self, embedding_shape: tuple[int, ...]) -> None:
        self.log_strength = self._scalar("log_strength", self.strength)
        self.log_scale = self._scalar("log_scale", max(self.scale, 1e-6))

    def memorize(
        self,
        embeddings: tf.Tensor,
        classes: tf.Tensor,
        mask: tf.Tensor | None,
        *,
        training: bool,
    ) -> Memory:
        x = flattened(embeddings)
        # An example that does not count: a row of zeros is fitted by any W.
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

    def _scalar(self, name, value):
        start = keras.initializers.Constant(float(tf.math.log(value)))
        return self.add_weight(name=name, shape=(), initializer=start)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "strength": self.strength,
            "scale": self.scale,
        }
