"""Any Keras model, trained with losses that adapt."""

from __future__ import annotations

from typing import Any

import keras

from keras_metaloss.models.loss_parameters import LossParameters

__all__ = ["AdaptiveLossModel"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class AdaptiveLossModel(LossParameters, keras.Model):
    """Wraps a model so that its loss may have trained parameters of its own.

    What it computes is what the wrapped model computes, with the same weights;
    `compile`, `fit`, `evaluate`, `predict`, callbacks and saving work as for any Keras
    model. `export` writes the wrapped model. A model class of one's own can have the
    same from the mix-in `kml.models.LossParameters`.

    Args:
        model: any Keras model: Functional, Sequential or subclassed.
        name: name of the model.

    Raises:
        ValueError: if `model` is not a Keras model.

    Example:

    >>> import keras, numpy as np, keras_metaloss as kml
    >>> network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model = kml.AdaptiveLossModel(network)
    >>> loss = kml.losses.SparseCategoricalFocalLoss("learned", from_logits=True)
    >>> model.compile(optimizer="adam", loss=loss)
    >>> [v.name for v in model.trainable_weights]
    ['kernel', 'bias', 'sparse_categorical_focal_loss_raw_gamma']
    """

    def __init__(self, model: keras.Model, *, name: str | None = None) -> None:
        # What it wraps casts its own inputs: numbers of categories must stay whole.
        super().__init__(name=name, autocast=False)
        if not isinstance(model, keras.Model):
            raise ValueError(
                "Invalid value for argument `model`. Expected a Keras model. "
                f"Received: model={model!r}"
            )
        self.model = model
        # Otherwise a model that was only trained would be saved without the
        # optimizer's moments.
        self.built = model.built

    @property
    def output_names(self) -> list[str] | None:
        """Names of the outputs of the wrapped model, for losses in a dictionary."""
        return getattr(self.model, "output_names", None)

    def _network(self) -> keras.Model:
        return self.model

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.model(inputs, training=training)

    def export(self, filepath: str, *args: Any, **kwargs: Any) -> None:
        """As `keras.Model.export` of the wrapped model."""
        self.model.export(filepath, *args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        model = keras.saving.serialize_keras_object(self.model)
        return {"name": self.name, "model": model}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> AdaptiveLossModel:
        model = keras.saving.deserialize_keras_object(
            config["model"], custom_objects=custom_objects
        )
        return cls(model, name=config["name"])
