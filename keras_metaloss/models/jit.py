"""What to know before a training step is compiled by XLA."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import keras

from keras_metaloss import _compat

if TYPE_CHECKING:
    from keras_metaloss.adaptation.base import Adaptation
    from keras_metaloss.models.meta_model import MetaModel

__all__ = ["check_jit", "check_jit_support"]

_POOLINGS = (
    keras.layers.MaxPooling1D,
    keras.layers.MaxPooling2D,
    keras.layers.MaxPooling3D,
)


def check_jit_support(adaptation: Adaptation) -> None:
    """Refuses what XLA cannot compile.

    Raises:
        ValueError: if XLA would need a number of classes that is not given.
    """
    if not adaptation.supports_jit:
        raise ValueError(
            "Invalid value for argument `jit_compile`. XLA needs to know the number of "
            f"classes: give `{type(adaptation).__name__}(classes=...)`. Received: "
            "jit_compile=True and classes=None"
        )


def check_jit(model: MetaModel) -> None:
    """Warns of derivatives that XLA would compute wrongly."""
    if not model.jit_compile or model.run_eagerly:
        return
    names = sorted(
        layer.name
        for layer in _compat.flatten_layers(model.learner)
        if isinstance(layer, _POOLINGS)
    )
    if names and model.adaptation.differentiates_twice:
        warnings.warn(
            "XLA computes a wrong second derivative of Keras's maximum pooling where "
            f"two values of a window are close (layers {names}). Use "
            "`kml.layers.MaxPool2D`, strided convolutions, `first_order=True` or "
            "`jit_compile=False`.",
            stacklevel=2,
        )
