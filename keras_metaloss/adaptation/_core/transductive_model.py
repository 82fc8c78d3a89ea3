"""The adapted model for `normalization="batch"`."""

from __future__ import annotations

from typing import Any

import keras

from keras_metaloss import _compat
from keras_metaloss.adaptation._core.normalization import BatchMoments

__all__ = ["TransductiveModel"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class TransductiveModel(keras.Model):
    """Model that normalizes each batch with the statistics of that batch.

    `kml.MetaModel.adapt` returns this model for `normalization="batch"`. Predictions
    depend on the other examples of the batch.

    Args:
        learner: A built Keras model with batch normalization.
        name: Name of the model; `None` generates one. Defaults to `None`.

    Call arguments:
        inputs: Inputs of the learner.
    """

    def __init__(self, learner: keras.Model, name: str | None = None) -> None:
        # No autocast: integer inputs must not be rounded to half precision.
        super().__init__(name=name, autocast=False)
        self.learner = learner
        self.built = True

    def call(self, inputs: Any) -> Any:
        moments = BatchMoments(from_batch=True)
        with _compat.no_autocast(), moments.scope(self.learner):
            return self.learner(inputs, training=False)

    def get_config(self) -> dict[str, Any]:
        learner = keras.saving.serialize_keras_object(self.learner)
        return {"name": self.name, "learner": learner}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TransductiveModel:
        learner = keras.saving.deserialize_keras_object(config["learner"])
        return cls(learner, name=config["name"])
