"""The residual network of the few-shot literature."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from keras_metaloss.layers import MaxPool2D

__all__ = ["resnet12"]

_SLOPE = 0.1


def resnet12(
    input_shape: tuple[int, int, int],
    classes: int | None = None,
    *,
    filters: Sequence[int] = (64, 160, 320, 640),
    dropout: float = 0.1,
    name: str = "resnet12",
) -> keras.Model:
    """Four residual blocks of three 3x3 convolutions, then the mean over space.

    A block is three times convolution, batch normalisation and leaky ReLU, with a 1x1
    convolution of its input added before the last ReLU, then 2x2 maximum pooling and
    dropout.

    Args:
        input_shape: `(height, width, channels)` of an image, 16 pixels or more.
        classes: number of logits; `None` leaves the linear layer out: an embedding for
            the metric-based methods.
        filters: channels of the four blocks; `(64, 128, 256, 512)` is the smaller one
            in use.
        dropout: rate after each block.
        name: name of the model.

    Returns:
        A built functional model from `[N, height, width, channels]` to logits
        `[N, classes]`, or to an embedding `[N, filters[-1]]`.

    Example:

    >>> resnet12((32, 32, 3), filters=(4, 4, 4, 8)).output_shape
    (None, 8)

    Reference:
        Lee et al., "Meta-Learning with Differentiable Convex Optimization", 2019,
        section 4.1.
    """
    inputs = x = keras.Input(input_shape)
    for count in filters:
        x = _block(x, count)
        if dropout:
            x = keras.layers.Dropout(dropout)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    if classes is not None:
        x = keras.layers.Dense(classes)(x)
    return keras.Model(inputs, x, name=name)


def _block(x, filters):
    shortcut = _normalized(keras.layers.Conv2D(filters, 1, use_bias=False)(x))
    for last in (False, False, True):
        x = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = _normalized(x)
        if last:
            x = keras.layers.Add()([x, shortcut])
        x = keras.layers.LeakyReLU(_SLOPE)(x)
    return MaxPool2D(2)(x)


def _normalized(x):
    return keras.layers.BatchNormalization(momentum=0.9)(x)
