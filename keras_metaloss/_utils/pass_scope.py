"""Stateless scope in which layers compute with functions of one pass."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss._utils.exact_operations import (
    group_normalization,
    uses_inexact_operations,
    with_exact_operations,
)

__all__ = ["PassScope"]


class PassScope(keras.StatelessScope):
    """Stateless scope of one pass, in which layers may compute with other functions.

    Keras keeps stateless scopes per thread, so passes in other threads and calls
    outside of the scope are not affected. In the scope, layer and group normalization
    have correct derivatives of any order: `tf.nn.moments`, which Keras uses, treats the
    mean inside the variance as a constant, so that its second derivatives are wrong.

    Args:
        model: Model that is called in the scope.
        mapping: Pairs of variables and values. Defaults to `()`.
        calls: Functions `(layer, inputs, training, mask)` by class of layers, which
            replace `call` of these layers. Defaults to `None`.
        plain_bias: Whether biases are added to images without `BiasAdd`, whose second
            derivative can fail on a CPU ("nodes in a cycle"): TensorFlow fuses the
            gradient of the bias with a gradient of the kernel that may depend on it.
            Defaults to `False`.
        collect_losses: Whether the scope collects the losses that layers add. Defaults
            to `False`.
    """

    def __init__(
        self,
        model: keras.Model,
        mapping: Sequence[tuple[keras.Variable, tf.Tensor]] = (),
        *,
        calls: dict[type, Callable] | None = None,
        plain_bias: bool = False,
        collect_losses: bool = False,
    ) -> None:
        super().__init__(mapping, collect_losses=collect_losses)
        self._calls = calls or {}
        self._plain_bias = plain_bias
        classes = (*self._calls, keras.layers.GroupNormalization)
        for layer in _compat.flatten_layers(model):
            if isinstance(layer, classes) or uses_inexact_operations(type(layer).call):
                _follow_pass_scope(layer)

    def call_of(self, layer: keras.layers.Layer) -> Callable:
        """Returns the function that replaces `type(layer).call`."""
        for cls, call in self._calls.items():
            if isinstance(layer, cls):
                return call
        if type(layer).call is keras.layers.GroupNormalization.call:
            return group_normalization
        return with_exact_operations(type(layer).call, self._plain_bias)


def _follow_pass_scope(layer: keras.layers.Layer) -> None:
    """Makes a layer look up its function in the `PassScope` of the current thread.

    Keras looks up `call` on the instance. Outside of a `PassScope`, the layer computes
    the same as before.
    """
    if "call" in vars(layer):
        return
    original = layer.call

    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        scope = _compat.current_stateless_scope()
        if not isinstance(scope, PassScope):
            return type(layer).call(layer, *args, **kwargs)
        return scope.call_of(layer)(layer, *args, **kwargs)

    vars(layer)["call"] = call
