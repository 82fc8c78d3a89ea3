"""From an adapted task to a plain Keras model."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss.adaptation import Adaptation, Adapted, MetricAdaptation, Task
from keras_metaloss.adaptation.normalization import BatchMoments, batch_normalizations

__all__ = ["MetricClassifier", "TransductiveModel", "plain_model"]


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
        # What it wraps casts its own inputs: numbers of categories must stay whole.
        super().__init__(name=name, autocast=False)
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


@keras.saving.register_keras_serializable(package="keras_metaloss")
class MetricClassifier(keras.Model):
    """Classifies by comparison with what a metric-based method kept of a support set.

    What `MetaModel.adapt` gives for the metric-based methods.

    Args:
        learner: a built Keras model that gives embeddings.
        adaptation: the method; its own weights come with `set_weights` or a file.
        memory: what it keeps of the support set, arrays by name; or their shapes.
        name: name of the model.
    """

    def __init__(
        self,
        learner: keras.Model,
        adaptation: MetricAdaptation,
        memory: dict[str, Any],
        name: str | None = None,
    ) -> None:
        # What it wraps casts its own inputs: numbers of categories must stay whole.
        super().__init__(name=name, autocast=False)
        self.learner = learner
        self.adaptation = adaptation
        self.adaptation.attach(learner)
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
        with moments.applied_to(self.learner):
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
        `normalization="batch"` needs a `TransductiveModel` around the copy, and
        metric-based methods a `MetricClassifier`.
    """
    copy = _copy(learner, task.support_x)
    adaptation.install(copy, adapted, task)
    if isinstance(adaptation, MetricAdaptation):
        head = type(adaptation).from_config(adaptation.get_config())
        model = MetricClassifier(copy, head, adapted.memory)
        head.set_weights(adaptation.get_weights())
        return model
    if adaptation.normalization == "batch" and batch_normalizations(copy):
        return TransductiveModel(copy)
    return copy


def _copy(learner: keras.Model, example: Any) -> keras.Model:
    with _compat.trusted_layers():
        copy = type(learner).from_config(learner.get_config())
    if not copy.built:
        copy(keras.tree.map_structure(tf.convert_to_tensor, example))
    # A configuration need not say what was frozen later.
    for ours, theirs in zip(
        _compat.flatten_layers(copy), _compat.flatten_layers(learner), strict=True
    ):
        if ours.trainable != theirs.trainable:
            ours.trainable = theirs.trainable
    copy.set_weights(learner.get_weights())
    return copy
