"""Wrapper that trains any Keras model with a trainable loss."""

from __future__ import annotations

from typing import Any

import keras

from keras_metaloss.models.adaptive_loss.trainable_loss_mixin import TrainableLossMixin

__all__ = ["AdaptiveLossModel"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class AdaptiveLossModel(TrainableLossMixin, keras.Model):
    """Wraps a Keras model to train it together with the parameters of its loss.

    The wrapper has the outputs and weights of the wrapped model. `compile`, `fit`,
    `evaluate`, `predict`, callbacks and saving work as for any Keras model. `export`
    writes the wrapped model. The wrapper also computes the per-example gradients with
    respect to weights that `kml.losses.AdaLoss` can use. Custom model classes get the
    same features from the mix-in `kml.models.TrainableLossMixin`.

    Args:
        model: Any Keras model: Functional, Sequential or subclassed.
        name: Name of the model; `None` generates one. Defaults to `None`.

    Call arguments:
        inputs: Inputs of the wrapped model.
        training: Whether to run in training mode. Defaults to `None`, which uses the
            mode of the calling method.

    Output shape:
        The outputs of the wrapped model.

    Raises:
        ValueError: If `model` is not a Keras model.

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
        # No autocast: integer IDs must not be rounded to float16. The wrapped model
        # casts its inputs itself.
        super().__init__(name=name, autocast=False)
        if not isinstance(model, keras.Model):
            raise ValueError(
                "Invalid value for argument `model`. Expected a Keras model. "
                f"Received: model={model!r}"
            )
        self.model = model
        # Otherwise, Keras would save a model that was only trained without the state of
        # its optimizer.
        self.built = model.built

    @property
    def output_names(self) -> list[str] | None:
        """Output names of the wrapped model, the keys of a dictionary of losses."""
        return getattr(self.model, "output_names", None)

    @property
    def inputs(self) -> Any:
        """Inputs of the wrapped model, if it is Functional or Sequential."""
        return self.model.inputs

    @property
    def outputs(self) -> Any:
        """Outputs of the wrapped model, if it is Functional or Sequential."""
        return self.model.outputs

    def _network(self) -> keras.Model:
        return self.model

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.model(inputs, training=training)

    def export(self, filepath: str, *args: Any, **kwargs: Any) -> None:
        """Exports the wrapped model; takes the arguments of `keras.Model.export`."""
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
