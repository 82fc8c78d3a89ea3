"""The optimizer's update, for models that may be frozen."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import keras
import tensorflow as tf

__all__ = ["apply_gradients"]


def apply_gradients(
    optimizer: keras.optimizers.Optimizer,
    pairs: Iterable[tuple[tf.Tensor, keras.Variable]],
) -> None:
    """Updates variables; without any it warns, as Keras does, and goes on."""
    pairs = list(pairs)
    if pairs:
        optimizer.apply_gradients(pairs)
    else:
        warnings.warn("The model does not have any trainable weights.", stacklevel=2)
