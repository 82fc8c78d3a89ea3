"""Data and a plain Keras model for losses across tasks."""

from __future__ import annotations

import keras
import numpy as np

Y_TRUE = np.zeros((2, 2, 1), "float32")
Y_PRED = np.array([[[1.0], [1.0]], [[1.0], [3.0]]], "float32")  # task losses 1 and 5


def random_batch(tasks=4, seed=0, dtype="float32"):
    """Returns targets and predictions of five examples per task."""
    rng = np.random.default_rng(seed)
    shape = (tasks, 5, 3)
    return rng.normal(size=shape).astype(dtype), rng.normal(size=shape).astype(dtype)


def plain_model(loss, jit_compile=False):
    """Builds a compiled `keras.Sequential` for `random_batch`."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((5, 3)), keras.layers.Dense(3)])
    model.compile(
        optimizer=keras.optimizers.Adam(0.01), loss=loss, jit_compile=jit_compile
    )
    return model
