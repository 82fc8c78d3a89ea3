"""The four-block convolutional network of the few-shot literature."""

from __future__ import annotations

import keras

from keras_metaloss.layers import MaxPool2D

__all__ = ["conv4"]


def conv4(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    filters: int = 64,
    downsample: str = "stride",
    name: str = "conv4",
) -> keras.Sequential:
    """Four blocks of 3x3 convolution, batch normalisation, ReLU, then a linear layer.

    Args:
        input_shape: `(height, width, channels)` of an image.
        classes: number of logits.
        filters: channels of each block.
        downsample: `"stride"` halves each block by a stride of 2 and averages over
            space at the end (as MAML does on Omniglot), `"max_pool"` halves by 2x2
            maximum pooling and flattens (as on mini-ImageNet; 16 pixels or more).
        name: name of the model.

    Returns:
        A built `keras.Sequential` from `[N, height, width, channels]` to logits
        `[N, classes]`.

    Raises:
        ValueError: if `downsample` is unknown.

    Example:

    >>> conv4((28, 28, 1), classes=5).output_shape
    (None, 5)

    Reference:
        Vinyals et al., "Matching Networks for One Shot Learning", 2016, section 4.1;
        Finn et al., "Model-Agnostic Meta-Learning", 2017, appendix A.1.
    """
    if downsample not in ("stride", "max_pool"):
        raise ValueError(
            'Invalid value for argument `downsample`. Expected "stride" or "max_pool". '
            f"Received: downsample={downsample!r}"
        )
    strided = downsample == "stride"
    blocks = []
    for _ in range(4):
        blocks += [
            keras.layers.Conv2D(
                filters, 3, strides=2 if strided else 1, padding="same"
            ),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
        ]
        if not strided:
            blocks.append(MaxPool2D(2))
    end = keras.layers.GlobalAveragePooling2D() if strided else keras.layers.Flatten()
    layers = [keras.Input(input_shape), *blocks, end, keras.layers.Dense(classes)]
    return keras.Sequential(layers, name=name)
