"""Checks before a training step is compiled by XLA."""

from __future__ import annotations

import warnings
from typing import Any

import keras

from keras_metaloss import _compat
from keras_metaloss.adaptation import Adaptation
from keras_metaloss.models._shared.model_mixin import ModelMixin

__all__ = ["JitChecksMixin"]

_POOLINGS = (
    keras.layers.MaxPooling1D,
    keras.layers.MaxPooling2D,
    keras.layers.MaxPooling3D,
)


class JitChecksMixin(ModelMixin):
    """Mix-in that validates `jit_compile` for a learner and its adaptation."""

    learner: keras.Model
    adaptation: Adaptation

    @property
    def jit_compile(self) -> bool:
        return super().jit_compile

    @jit_compile.setter
    def jit_compile(self, value: bool) -> None:
        if value and not self.adaptation.supports_jit:
            raise ValueError(
                "Invalid value for argument `jit_compile`. Expected `False`, because "
                "XLA requires a known number of classes. To use XLA, pass "
                f"`{type(self.adaptation).__name__}(classes=...)`. Received: "
                "jit_compile=True, classes=None"
            )
        keras.Model.jit_compile.fset(self, value)

    def make_train_function(self, force: bool = False) -> Any:
        """Builds the training step; warns if XLA would compute wrong gradients."""
        if self.jit_compile and not self.run_eagerly:
            _warn_about_max_pooling(self.learner, self.adaptation)
        return super().make_train_function(force)


def _warn_about_max_pooling(learner: keras.Model, adaptation: Adaptation) -> None:
    names = sorted(
        layer.name
        for layer in _compat.flatten_layers(learner)
        if isinstance(layer, _POOLINGS)
    )
    if names and adaptation.differentiates_twice:
        warnings.warn(
            "XLA computes a wrong second derivative of Keras's max pooling if two "
            f"values of a window are close. Received: layers={names}. Use "
            "`kml.layers.TwiceDifferentiableMaxPool2D`, strided convolutions, "
            "`first_order=True` or `jit_compile=False`.",
            stacklevel=3,
        )
