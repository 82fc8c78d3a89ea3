"""Small networks and data for tests of `AdaptiveLossModel`."""

from __future__ import annotations

import keras
import numpy as np

import keras_metaloss as kml


def regression_data(count=7, seed=0):
    """Returns inputs `[N, 3]` and targets `[N, 2]`."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, 3)).astype("float32")
    return x, random.normal(size=(count, 2)).astype("float32")


def linear_network(activation=None):
    return keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2, activation=activation)]
    )


def dropout_network(dropout=0.0):
    return keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4, "tanh"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(2, "tanh"),
        ]
    )


def ada_loss_model(inner, **arguments):
    """Builds a compiled `AdaptiveLossModel` with an `AdaLoss` of squared errors."""
    model = kml.AdaptiveLossModel(inner)
    jit_compile = arguments.pop("jit_compile", False)
    model.compile(
        optimizer=keras.optimizers.SGD(0.1),
        loss=kml.losses.AdaLoss(keras.losses.MeanSquaredError(), **arguments),
        jit_compile=jit_compile,
    )
    return model
