"""A copy of a learner, with the same configuration and weights."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss import _compat

__all__ = ["copy_learner"]


def copy_learner(learner: keras.Model, example: Any) -> keras.Model:
    """Returns a copy of `learner`.

    Args:
        learner: Built Keras model.
        example: Inputs, used to build a subclassed model.
    """
    with _compat.trusted_layers():
        copy = type(learner).from_config(learner.get_config())
    if not copy.built:
        copy(keras.tree.map_structure(tf.convert_to_tensor, example))
    # The configuration does not include layers that were frozen later.
    for ours, theirs in zip(
        _compat.flatten_layers(copy), _compat.flatten_layers(learner), strict=True
    ):
        if ours.trainable != theirs.trainable:
            ours.trainable = theirs.trainable
    copy.set_weights(learner.get_weights())
    return copy
