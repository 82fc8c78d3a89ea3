"""Conv-4: the four-block convolutional network of the few-shot literature."""

from __future__ import annotations

import numbers

import keras

from keras_metaloss._utils.checks import (
    check_boolean,
    check_choice,
    check_positive_integer,
)
from keras_metaloss.layers import TwiceDifferentiableMaxPool2D
from keras_metaloss.learners._checks import check_classes, check_image_shape

__all__ = ["conv4"]


def conv4(
    input_shape: tuple[int, int, int],
    classes: int | None = None,
    *,
    filters: int = 64,
    downsample: str = "stride",
    halvings: int = 4,
    feature_map: bool = False,
    name: str = "conv4",
) -> keras.Sequential:
    """Builds four blocks of 3x3 convolution, batch normalization and ReLU.

    A linear layer follows if `classes` is set. Batch normalization has a momentum of
    0.9, as in the published PyTorch code. With the Keras default of 0.99, the moving
    averages adapt too slowly to a network that learns quickly.

    Args:
        input_shape: `(height, width, channels)` of an image.
        classes: Number of logits. `None` omits the linear layer and returns an
            embedding, for metric-based methods. Defaults to `None`.
        filters: Number of filters of each convolution. Defaults to `64`.
        downsample: `"stride"` uses convolutions with stride 2 and global average
            pooling (as in MAML for Omniglot). `"max_pool"` uses 2x2 max pooling and
            flattens (as in MAML for mini-ImageNet); with 4 halvings, it requires at
            least 16x16 pixels. Defaults to `"stride"`.
        halvings: Number of blocks that halve the resolution, starting with the first.
            Relation networks use 2. Defaults to `4`.
        feature_map: Whether to omit the final pooling or flattening and return
            `[N, height, width, filters]`. Defaults to `False`.
        name: Name of the model. Defaults to `"conv4"`.

    Returns:
        A built `keras.Sequential` that maps `[N, height, width, channels]` to logits
        `[N, classes]` or to an embedding.

    Raises:
        ValueError: If an argument is invalid, if `feature_map` is `True` and
            `classes` is set, or if images are too small for `"max_pool"`.

    Example:

    >>> conv4((28, 28, 1), classes=5).output_shape
    (None, 5)
    >>> conv4((28, 28, 1), downsample="max_pool").output_shape
    (None, 64)

    Reference:
        Vinyals et al., "Matching Networks for One Shot Learning", 2016, section 4.1;
        Finn et al., "Model-Agnostic Meta-Learning", 2017, appendix A.1.
    """
    shape = check_image_shape(input_shape)
    filters = check_positive_integer("filters", filters)
    _check(check_classes(classes), downsample, halvings, feature_map)
    strided = downsample == "stride"
    layers = [keras.Input(shape)]
    for block in range(4):
        halves = block < halvings
        layers += [
            keras.layers.Conv2D(
                filters, 3, strides=2 if strided and halves else 1, padding="same"
            ),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.ReLU(),
        ]
        if halves and not strided:
            layers.append(TwiceDifferentiableMaxPool2D(2))
    if not feature_map:
        layers.append(
            keras.layers.GlobalAveragePooling2D() if strided else keras.layers.Flatten()
        )
    if classes is not None:
        layers.append(keras.layers.Dense(classes))
    return keras.Sequential(layers, name=name)


def _check(
    classes: int | None, downsample: str, halvings: int, feature_map: bool
) -> None:
    check_choice("downsample", downsample, ("stride", "max_pool"))
    check_boolean("feature_map", feature_map)
    is_integer = isinstance(halvings, numbers.Integral)
    if isinstance(halvings, bool) or not is_integer or halvings not in range(5):
        raise ValueError(
            "Invalid value for argument `halvings`. Expected an integer from 0 to 4. "
            f"Received: halvings={halvings!r}"
        )
    if feature_map and classes is not None:
        raise ValueError(
            "Invalid value for argument `feature_map`. Expected False if `classes` is "
            f"set. Received: feature_map={feature_map!r}, classes={classes!r}"
        )
