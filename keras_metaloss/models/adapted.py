"""From an adapted task to a plain Keras model."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss.adaptation import Adaptation, Adapted, Task
from keras_metaloss.adaptation.normalization import BatchMoments, batch_normalizations

__all__ = ["TransductiveModel", "plain_model"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class TransductiveModel(keras.Model):
    """Predicts with the moments of the batch that it predicts, never moving averages.

    What `MetaModel.adapt` gives for `normalization="batch"`: a prediction depends on
    the other examples of its batch.

    Args:
        learner: a built Keras model with batch normalisation in it.
        name: name of the model.
    """

    def __init__(self, learner: keras.Model, name: str | None = None) -> None:
        super().__init__(name=name)
        self.learner = learner
        self.built = True

    def call(self, inputs: Any) -> Any:
        with BatchMoments(from_batch=True).applied_to(self.learner):
            return self.learner(inputs, training=False)

    def get_config(self) -> dict[str, Any]:
        learner = keras.saving.serialize_keras_object(self.learner)
        return {"name": self.name, "learner": learner}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TransductiveModel:
        learner = keras.saving.deserialize_keras_object(config["learner"])
        return cls(learner, name=config["name"])


def plain_model(
    learner: keras.Model, adaptation: Adaptation, adapted: Adapted, task: Task
) -> keras.Model:
    """A copy of `learner` that predicts what the adapted task predicts.

    Args:
        learner: the learner of a `MetaModel`.
        adaptation: the method that adapted it.
        adapted: the result of `adaptation.adapt`.
        task: the task adapted to.

    Returns:
        A Keras model with no code of this package in it, except that
        `normalization="batch"` needs a `TransductiveModel` around the copy.
    """
    copy = _copy(learner, task.support_x)
    adaptation.install(copy, adapted, task)
    if adaptation.normalization == "batch" and batch_normalizations(copy):
        return TransductiveModel(copy)
    return copy


def _copy(learner: keras.Model, example: Any) -> keras.Model:
    copy = type(learner).from_config(learner.get_config())
    if not copy.built:
        copy(keras.tree.map_structure(tf.convert_to_tensor, example))
    copy.set_weights(learner.get_weights())
    return copy
