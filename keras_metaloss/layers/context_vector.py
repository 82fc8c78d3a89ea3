"""Context vector: task-specific input of the next layer."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss._utils.checks import check_positive_integer

__all__ = ["ContextVector"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class ContextVector(keras.layers.Layer):
    """Appends a trainable vector, shared by all examples, to the last axis.

    `y[n, ..., :] = [x[n, ..., :], context]`, with `context` initialized to zero. The
    next dense or convolutional layer maps the vector to a bias per unit or filter.
    Batch normalization directly after that layer would remove this bias, so use the
    context vector only where an activation follows without batch normalization. Do not
    insert it directly before the last layer of a classifier: there it shifts the logits
    of all examples equally. `kml.adaptation.CAVIA` adapts only this vector.

    Args:
        units: Length of the vector.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `[N, ..., C]`.

    Output shape:
        `[N, ..., C + units]`.

    Raises:
        ValueError: If `units` is not a positive integer.

    Example:

    >>> import numpy as np
    >>> np.array(ContextVector(2)(np.ones((1, 3)))).tolist()
    [[1.0, 1.0, 1.0, 0.0, 0.0]]

    Reference:
        Zintgraf et al., "Fast Context Adaptation via Meta-Learning", 2019, section 3.
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = check_positive_integer("units", units)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.context = self.add_weight(
            name="context", shape=(self.units,), initializer="zeros"
        )

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        context = tf.cast(tf.convert_to_tensor(self.context), inputs.dtype)
        shape = tf.concat([tf.shape(inputs)[:-1], [self.units]], axis=0)
        return tf.concat([inputs, tf.broadcast_to(context, shape)], axis=-1)

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        *leading, channels = input_shape
        return (*leading, None if channels is None else channels + self.units)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}
