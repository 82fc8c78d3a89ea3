"""Operations of Keras with correct second derivatives."""

from __future__ import annotations

import functools
import types
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss import _compat

__all__ = [
    "group_normalization",
    "moments",
    "uses_inexact_operations",
    "with_exact_operations",
]

_INEXACT = frozenset({"add", "layer_normalization", "moments"})


def uses_inexact_operations(function: Any) -> bool:
    """Returns whether `with_exact_operations` changes a function.

    Only the code of the function itself counts, not that of functions it calls.
    """
    return bool(_replaceable_names(function))


@functools.lru_cache(maxsize=256)
def _replaceable_names(function: Any) -> tuple[str, ...]:
    """Returns the global names of `keras.ops`, if `function` uses replaced operations.

    Only plain functions are replaceable, no callable objects.
    """
    if not isinstance(function, types.FunctionType):
        return ()
    if not _INEXACT & set(function.__code__.co_names):
        return ()
    modules = _compat.operation_modules()
    return tuple(
        name
        for name in function.__code__.co_names
        if any(function.__globals__.get(name) is module for module in modules)
    )


def with_exact_operations(function: Any, plain_bias: bool = False) -> Any:
    """Returns a function whose `keras.ops` have correct second derivatives."""
    names = _replaceable_names(function)
    operations = _ExactOperations(plain_bias)
    return _with_globals(function, **dict.fromkeys(names, operations))


def _with_globals(function: Any, **values: Any) -> Any:
    """Returns a copy of a function with other values of its global names."""
    if not values:
        return function
    copy = types.FunctionType(
        function.__code__,
        {**function.__globals__, **values},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


class _ExactOperations:
    """`keras.ops` with operations that have correct second derivatives.

    Args:
        plain_bias: Whether `add` never uses `BiasAdd` for images.
    """

    def __init__(self, plain_bias: bool) -> None:
        if plain_bias:
            self.add = _add_to_images

    def __getattr__(self, name: str) -> Any:
        return getattr(keras.ops, name)

    @staticmethod
    def moments(
        x: tf.Tensor, axes: Any, keepdims: bool = False, synchronized: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return moments(x, axes, keepdims)

    @staticmethod
    def layer_normalization(*args: Any, **kwargs: Any) -> tf.Tensor:
        function, inner = _compat.layer_normalization_functions()
        exact = _with_globals(inner, moments=moments)
        return _with_globals(function, **{inner.__name__: exact})(*args, **kwargs)


def _add_to_images(x1: Any, x2: Any) -> tf.Tensor:
    same_dtype = tf.is_tensor(x1) and tf.is_tensor(x2) and x1.dtype == x2.dtype
    is_image = same_dtype and x1.shape.rank == 4
    return tf.add(x1, x2) if is_image else keras.ops.add(x1, x2)


def moments(
    x: tf.Tensor, axes: Any, keepdims: bool = False
) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes mean and variance like `keras.ops.moments`, with exact derivatives."""
    dtype = x.dtype
    # Sums of squares lose too many digits in half precision.
    x = tf.cast(x, keras.backend.result_type(dtype.name, "float32"))
    mean = tf.reduce_mean(x, axes, keepdims=True)
    variance = tf.reduce_mean(tf.square(x - mean), axes, keepdims=keepdims)
    mean = mean if keepdims else tf.squeeze(mean, axes)
    return tf.cast(mean, dtype), tf.cast(variance, dtype)


def group_normalization(
    layer: keras.layers.GroupNormalization, inputs: tf.Tensor
) -> tf.Tensor:
    """Computes the outputs of the layer with exact moments."""
    return _compat.apply_group_normalization(layer, inputs, with_exact_operations)
