"""The four-block convolutional network of the few-shot literature."""

from __future__ import annotations

import keras

from keras_metaloss.layers import MaxPool2D

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
    """Four blocks of 3x3 convolution, batch normalisation, ReLU, then a linear layer.

    Args:
        input_shape: `(height, width, channels)` of an image.
        classes: number of logits; `None` leaves the linear layer out: an embedding for
            the metric-based methods.
        filters: channels of each block.
        downsample: `"stride"` halves a block by a stride of 2 and averages over space
            at the end (as MAML does on Omniglot), `"max_pool"` halves by 2x2 maximum
            pooling and flattens (as on mini-ImageNet; 16 pixels or more).
        halvings: how many of the blocks halve, the first ones; relation networks have
            2, to keep a map.
        feature_map: `True` leaves the averaging or flattening out too, and gives
            `[N, height, width, filters]`.
        name: name of the model.

    Moving averages of the batch normalisation have momentum 0.9, as in the published
    PyTorch code: with Keras's 0.99 they lag behind a network that learns fast.

    Returns:
        A built `keras.Sequential` from `[N, height, width, channels]` to logits
        `[N, classes]`, or to an embedding.

    Raises:
        ValueError: if `downsample` is unknown, `halvings` out of range, or a feature
            map is asked for together with classes.

    Example:

    >>> conv4((28, 28, 1), classes=5).output_shape
    (None, 5)
    >>> conv4((28, 28, 1), downsample="max_pool").output_shape
    (None, 64)

    Reference:
        Vinyals et al., "Matching Networks for One Shot Learning", 2016, section 4.1;
        Finn et al., "Model-Agnostic Meta-Learning", 2017, appendix A.1.
    """
    _check(classes, downsample, halvings, feature_map)
    strided = downsample == "stride"
    layers = [keras.Input(input_shape)]
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
            layers.append(MaxPool2D(2))
    if not feature_map:
        layers.append(
            keras.layers.GlobalAveragePooling2D() if strided else keras.layers.Flatten()
        )
    if classes is not None:
        layers.append(keras.layers.Dense(classes))
    return keras.Sequential(layers, name=name)


def _check(classes, downsample, halvings, feature_map):
    if downsample not in ("stride", "max_pool"):
        raise ValueError(
            'Invalid value for argument `downsample`. Expected "stride" or "max_pool". '
            f"Received: downsample={downsample!r}"
        )
    if halvings not in range(5):
        raise ValueError(
            "Invalid value for argument `halvings`. Expected an integer from 0 to 4. "
            f"Received: halvings={halvings!r}"
        )
    if feature_map and classes is not None:
        raise ValueError(
            "Invalid value for argument `feature_map`. Expected False beside "
            f"`classes`. Received: feature_map={feature_map!r}, classes={classes!r}"
        )
