"""Max pooling with correct second derivatives, also under XLA."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss._utils.checks import check_positive_integer

__all__ = ["TwiceDifferentiableMaxPool2D"]


# The registered name is part of saved models and must not change.
@keras.saving.register_keras_serializable(package="keras_metaloss", name="MaxPool2D")
class TwiceDifferentiableMaxPool2D(keras.layers.Layer):
    """Max pooling with non-overlapping windows and correct second derivatives.

    `y[n, i, j, c] = max over 0 <= a, b < p of x[n, i p + a, j p + b, c]` with
    `p = pool_size`. Remaining rows and columns are dropped.

    The values equal those of `keras.layers.MaxPooling2D(pool_size)`. Under XLA, the
    second derivative of that layer rounds inputs to bfloat16 and selects the wrong
    entry if two entries are close. This layer finds the maximal entries first and
    returns their mean. The mean is linear, so derivatives of any order are correct.
    Equal maximal entries share the gradient equally.

    Args:
        pool_size: Positive integer, height and width of a window. Defaults to `2`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `[N, H, W, C]` with static H and W.

    Output shape:
        `[N, H // p, W // p, C]`.

    Raises:
        ValueError: If `pool_size` is not a positive integer, or if height or width of
            the input is unknown or less than `pool_size`.

    Example:

    >>> import numpy as np
    >>> x = np.arange(16.0).reshape(1, 4, 4, 1)
    >>> np.array(TwiceDifferentiableMaxPool2D()(x))[0, :, :, 0].tolist()
    [[5.0, 7.0], [13.0, 15.0]]
    """

    def __init__(self, pool_size: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pool_size = check_positive_integer("pool_size", pool_size)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        p = self.pool_size
        (rows, columns), channels = self._count_windows(inputs.shape), inputs.shape[-1]
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
        # The value is exactly the maximum; the gradient is that of the mean.
        return highest + (mean - tf.stop_gradient(mean))

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return (input_shape[0], *self._count_windows(input_shape), input_shape[-1])

    def _count_windows(self, input_shape: tuple[int | None, ...]) -> tuple[int, int]:
        """Returns the number of windows along height and width."""
        _, height, width, _ = input_shape
        if height is None or width is None or min(height, width) < self.pool_size:
            raise ValueError(
                "Invalid input shape. Expected images with static height and width of "
                f"at least {self.pool_size} pixels. Received: "
                f"input_shape={tuple(input_shape)}"
            )
        return height // self.pool_size, width // self.pool_size

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pool_size": self.pool_size}
