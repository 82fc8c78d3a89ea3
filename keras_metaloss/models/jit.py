"""Checks before a training step is compiled by XLA."""

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
    """Validates that XLA can compile the adaptation.

    Raises:
        ValueError: If XLA needs the number of classes and it is not specified.
    """
    if not adaptation.supports_jit:
        raise ValueError(
            "Invalid value for argument `jit_compile`. XLA needs the number of "
            f"classes. Pass `{type(adaptation).__name__}(classes=...)`. Received: "
            "jit_compile=True, classes=None"
        )


def check_jit(model: MetaModel) -> None:
    """Warns if XLA would compute a wrong second derivative."""
    if not model.jit_compile or model.run_eagerly:
        return
    names = sorted(
        layer.name
        for layer in _compat.flatten_layers(model.learner)
        if isinstance(layer, _POOLINGS)
    )
    if names and model.adaptation.differentiates_twice:
        warnings.warn(
            "XLA computes a wrong second derivative of Keras's max pooling if two "
            f"values of a window are close. Received: layers={names}. Use "
            "`kml.layers.MaxPool2D`, strided convolutions, `first_order=True` or "
            "`jit_compile=False`.",
            stacklevel=2,
        )
