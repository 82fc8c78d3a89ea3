"""Plain Keras models of adapted tasks."""

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
    """Model that normalizes with the statistics of the predicted batch.

    `MetaModel.adapt` returns it for `normalization="batch"`. Moving statistics are not
    used, so each prediction depends on the other examples of its batch.

    Args:
        learner: A built Keras model that contains batch normalization.
        name: Optional name of the model.

    Call arguments:
        inputs: The inputs of the learner, `[B, ...]`, or a structure of them.

    Returns:
        The outputs of the learner.
    """

    def __init__(self, learner: keras.Model, name: str | None = None) -> None:
        # No autocast: integer IDs must not be rounded to float16.
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
    """Classifies inputs by comparing them with a memorized support set.

    `MetaModel.adapt` returns it for the metric-based methods.

    Args:
        learner: A built Keras model that returns embeddings.
        adaptation: The metric-based method. Its weights are not copied here; load them
            with `set_weights` or from a file.
        memory: A dictionary of the arrays that the method keeps of the support set, or
            of their shapes.
        name: Optional name of the model.

    Call arguments:
        inputs: The inputs of the learner, `[B, ...]`, or a structure of them.

    Returns:
        The class scores of the method, `[B, C]`.
    """

    def __init__(
        self,
        learner: keras.Model,
        adaptation: MetricAdaptation,
        memory: dict[str, Any],
        name: str | None = None,
    ) -> None:
        # No autocast: integer IDs must not be rounded to float16.
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
    """Builds a Keras model that predicts for the adapted task.

    Args:
        learner: The learner of a `MetaModel`.
        adaptation: The method that adapted the learner.
        adapted: The result of `adaptation.adapt`.
        task: The task that the learner was adapted to.

    Returns:
        A copy of `learner` with the adapted weights. The copy does not depend on this
        package, with two exceptions: it is wrapped in a `TransductiveModel` for
        `normalization="batch"` and in a `MetricClassifier` for metric-based methods.
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
    """Copies a model with its weights; builds the copy on `example` if needed."""
    with _compat.trusted_layers():
        copy = type(learner).from_config(learner.get_config())
    if not copy.built:
        copy(keras.tree.map_structure(tf.convert_to_tensor, example))
    # A configuration need not record layers that were frozen after construction.
    for ours, theirs in zip(
        _compat.flatten_layers(copy), _compat.flatten_layers(learner), strict=True
    ):
        if ours.trainable != theirs.trainable:
            ours.trainable = theirs.trainable
    copy.set_weights(learner.get_weights())
    return copy
