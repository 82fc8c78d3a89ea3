"""ResNet-12: the residual network of the few-shot literature."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from keras_metaloss._utils.checks import check_decay_rate, check_positive_integers
from keras_metaloss.layers import TwiceDifferentiableMaxPool2D
from keras_metaloss.learners._checks import check_classes, check_image_shape

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
    """Builds residual blocks, four by default, and global average pooling.

    A block repeats 3x3 convolution, batch normalization and leaky ReLU three times. A
    1x1 convolution of the block input, with batch normalization, is added before the
    last leaky ReLU. 2x2 max pooling and dropout follow. If `classes` is set, a linear
    layer follows the global average pooling.

    Args:
        input_shape: `(height, width, channels)` of an image, at least 16x16 pixels.
        classes: Number of logits. `None` omits the linear layer and returns an
            embedding, for metric-based methods. Defaults to `None`.
        filters: Number of filters of each block. `(64, 128, 256, 512)` is a common
            smaller version. Defaults to `(64, 160, 320, 640)`.
        dropout: Dropout rate after each block, less than 1. Defaults to `0.1`.
        name: Name of the model. Defaults to `"resnet12"`.

    Returns:
        A built functional model that maps `[N, height, width, channels]` to logits
        `[N, classes]` or to an embedding `[N, filters[-1]]`.

    Raises:
        ValueError: If an argument is invalid, or if images are too small for the
            pooling layers.

    Example:

    >>> resnet12((32, 32, 3), filters=(4, 4, 4, 8)).output_shape
    (None, 8)

    Reference:
        Lee et al., "Meta-Learning with Differentiable Convex Optimization", 2019,
        section 4.1.
    """
    shape, classes = check_image_shape(input_shape), check_classes(classes)
    dropout = check_decay_rate("dropout", dropout)
    filters = check_positive_integers("filters", filters)
    if len(filters) == 0:
        raise ValueError(
            "Invalid value for argument `filters`. Expected the number of filters of "
            f"at least one block. Received: filters={filters!r}"
        )
    inputs = x = keras.Input(shape)
    for count in filters:
        x = _block(x, count)
        if dropout:
            x = keras.layers.Dropout(dropout)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    if classes is not None:
        x = keras.layers.Dense(classes)(x)
    return keras.Model(inputs, x, name=name)


def _block(x: keras.KerasTensor, filters: int) -> keras.KerasTensor:
    shortcut = _normalized(keras.layers.Conv2D(filters, 1, use_bias=False)(x))
    for last in (False, False, True):
        x = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = _normalized(x)
        if last:
            x = keras.layers.Add()([x, shortcut])
        x = keras.layers.LeakyReLU(_SLOPE)(x)
    return TwiceDifferentiableMaxPool2D(2)(x)


def _normalized(x: keras.KerasTensor) -> keras.KerasTensor:
    return keras.layers.BatchNormalization(momentum=0.9)(x)
