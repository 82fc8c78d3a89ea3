"""Maximum pooling whose second derivative is right under XLA too."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_metaloss.checks import check_positive_integer

__all__ = ["MaxPool2D"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class MaxPool2D(keras.layers.Layer):
    """Maximum over windows that do not overlap; rows and columns left over are cut.

    `y[n, i, j, c] = max over 0 <= a, b < pool_size of x[n, i p + a, j p + b, c]`

    The same values as `keras.layers.MaxPooling2D(pool_size)`. XLA differentiates that
    one twice with inputs rounded to bfloat16, which takes the wrong entry where two
    are close. Here the highest entries are found first, and the result is their mean:
    linear, so that derivatives of any order are right. Equal entries share the
    gradient.

    Args:
        pool_size: edge of a window, a positive integer.
        **kwargs: arguments of `keras.layers.Layer`.

    Input shape: `[N, H, W, C]`. Output shape: `[N, H // p, W // p, C]`.

    Raises:
        ValueError: if `pool_size` is not a positive integer.

    Example:

    >>> import numpy as np
    >>> x = np.arange(16.0).reshape(1, 4, 4, 1)
    >>> np.array(MaxPool2D()(x))[0, :, :, 0].tolist()
    [[5.0, 7.0], [13.0, 15.0]]
    """

    def __init__(self, pool_size: int = 2, **kwargs) -> None:
        super().__init__(**kwargs)
        self.pool_size = check_positive_integer("pool_size", pool_size)

    def call(self, inputs):
        p = self.pool_size
        _, rows, columns, channels = self.compute_output_shape(inputs.shape)
        x = inputs[:, : rows * p, : columns * p, :]
        fixed = tf.stop_gradient(x)
        highest = tf.nn.max_pool2d(fixed, p, p, "VALID")
        is_highest = tf.reshape(
            tf.reshape(fixed, [-1, rows, p, columns, p, channels])
            == tf.reshape(highest, [-1, rows, 1, columns, 1, channels]),
            tf.shape(x),
        )
        share = tf.nn.avg_pool2d(tf.cast(is_highest, x.dtype), p, p, "VALID")
        chosen = tf.where(is_highest, x, tf.zeros((), x.dtype))
        mean = tf.nn.avg_pool2d(chosen, p, p, "VALID") / share
        # The mean but for rounding, and exactly the maximum.
        return highest + (mean - tf.stop_gradient(mean))

    def compute_output_shape(self, input_shape):
        n, height, width, channels = input_shape
        if min(height or 0, width or 0) < self.pool_size:
            raise ValueError(
                f"Expected images of known size, {self.pool_size} pixels or more each "
                f"way. Received: an input of shape {tuple(input_shape)}"
            )
        return (n, height // self.pool_size, width // self.pool_size, channels)

    def get_config(self):
        return {**super().get_config(), "pool_size": self.pool_size}
