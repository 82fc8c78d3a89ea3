"""Optimizer updates of models that may have no trainable weights."""

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
    """Updates the variables; warns, as Keras does, if there are none."""
    pairs = list(pairs)
    if pairs:
        optimizer.apply_gradients(pairs)
    else:
        warnings.warn("The model does not have any trainable weights.", stacklevel=2)
