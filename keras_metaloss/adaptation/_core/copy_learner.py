"""Copies of a learner, with the same configuration and weights."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss import _compat

__all__ = ["copy_learner"]


def copy_learner(learner: keras.Model, example: Any) -> keras.Model:
    """Returns a copy of `learner` with the same weights.

    Args:
        learner: Built Keras model.
        example: Inputs, used to build a subclassed model.
    """
    with _compat.trusted_layers():
        copy = type(learner).from_config(learner.get_config())
    if not copy.built:
        copy(keras.tree.map_structure(tf.convert_to_tensor, example))
    # The configuration does not record which layers were frozen after construction.
    for copied, original in zip(
        _compat.flatten_layers(copy), _compat.flatten_layers(learner), strict=True
    ):
        if copied.trainable != original.trainable:
            copied.trainable = original.trainable
    copy.set_weights(learner.get_weights())
    return copy
