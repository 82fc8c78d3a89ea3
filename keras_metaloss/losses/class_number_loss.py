"""Mix-in for losses of integer labels."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss import _compat

__all__ = ["ClassNumbers"]


class ClassNumbers:
    """Mix-in for losses of integer labels, which are not cast to a float dtype.

    Keras casts targets to the dtype of the loss before `call`. bfloat16 represents
    integers exactly only up to 256, so label 999 would become 1000.
    """

    def __call__(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> tf.Tensor:
        mask = _compat.keras_mask(y_pred)
        labels = keras.ops.convert_to_tensor(y_true)
        with tf.name_scope(self.name):
            y_pred = keras.ops.convert_to_tensor(y_pred, dtype=self.dtype)
            labels = labels if labels.dtype.is_integer else tf.cast(labels, tf.int64)
            values = self.call(labels, y_pred)
            _compat.add_keras_mask(values, mask)
            reduce = _Reduction("reduction", self.reduction, self.dtype)
            return reduce(values, values, sample_weight)


class _Reduction(keras.losses.Loss):
    """Applies Keras's reduction, sample weights, mask and replica scaling."""

    def call(self, y_true, y_pred):
        return y_pred
