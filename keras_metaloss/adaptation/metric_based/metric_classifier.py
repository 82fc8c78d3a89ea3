"""The adapted model of metric-based methods."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss.adaptation._core.normalization import BatchMoments

__all__ = ["MetricClassifier"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class MetricClassifier(keras.Model):
    """Classifies inputs by comparing them with a stored support set.

    `kml.MetaModel.adapt` returns this model for metric-based methods.

    Args:
        learner: A built Keras model that returns embeddings.
        adaptation: A `kml.adaptation.MetricAdaptation`.
        memory: Representation of the support set: a dictionary of arrays, or of their
            shapes if the values are loaded later.
        name: Name of the model; `None` generates one. Defaults to `None`.

    Call arguments:
        inputs: Inputs of the learner, `[Q, ...]`.

    Output shape:
        Logits, `[Q, C]`.
    """

    def __init__(
        self,
        learner: keras.Model,
        adaptation: Any,
        memory: dict[str, Any],
        name: str | None = None,
    ) -> None:
        # No autocast: integer inputs must not be rounded to half precision.
        super().__init__(name=name, autocast=False)
        self.learner = learner
        self.adaptation = adaptation
        self.adaptation.build_for(learner)
        self.memory = {
            key: self.add_weight(
                name=key,
                shape=tuple(getattr(value, "shape", value)),
                initializer="zeros",
                trainable=False,
            )
            for key, value in memory.items()
        }
        for key, value in memory.items():
            if hasattr(value, "shape"):
                self.memory[key].assign(value)
        self.built = True

    def call(self, inputs: Any) -> tf.Tensor:
        moments = BatchMoments(from_batch=self.adaptation.normalization == "batch")
        with _compat.no_autocast():
            with moments.scope(self.learner):
                embeddings = self.learner(inputs, training=False)
            return self.adaptation.classify(embeddings, self.memory, training=False)

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "learner": keras.saving.serialize_keras_object(self.learner),
            "adaptation": keras.saving.serialize_keras_object(self.adaptation),
            "memory": {key: list(v.shape) for key, v in self.memory.items()},
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MetricClassifier:
        config = dict(config)
        for key in ("learner", "adaptation"):
            config[key] = keras.saving.deserialize_keras_object(config[key])
        return cls(**config)
