"""Images with ignored pixels."""

from __future__ import annotations

import keras
import numpy as np

# Arguments of a loss.
IGNORING = {"from_logits": True, "ignore_class": 255}


def partly_labeled_images(loss):
    """Returns a compiled network, images and labels with ignored pixels (255)."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(3, 4, 4, 2)), random.integers(0, 4, (3, 4, 4))
    y[:, :2] = 255
    y[0, :3] = 255
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4, 4, 2)), keras.layers.Conv2D(4, 1)])
    model.compile(keras.optimizers.SGD(1.0), loss)
    return model, x, y
