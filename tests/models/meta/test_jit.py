"""Warning about max pooling in a training step compiled by XLA."""

from __future__ import annotations

import keras
import pytest

import keras_metaloss as kml

A = kml.adaptation


def pooling_model(pooling, adaptation):
    learner = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Conv2D(2, 3, padding="same"),
            pooling,
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )
    model = kml.MetaModel(learner, adaptation)
    model.compile("sgd", "mse", jit_compile=True)
    return model


def test_keras_max_pooling_warns_under_xla_with_second_order():
    model = pooling_model(keras.layers.MaxPooling2D(name="pool"), A.MAML())
    with pytest.warns(UserWarning, match="pool.*TwiceDifferentiableMaxPool2D"):
        model.make_train_function()


@pytest.mark.parametrize(
    ("pooling", "adaptation"),
    [
        (keras.layers.MaxPooling2D, A.MAML(first_order=True)),
        (keras.layers.MaxPooling2D, A.Reptile()),
        (kml.layers.TwiceDifferentiableMaxPool2D, A.MAML()),
    ],
)
def test_pooling_with_correct_gradients_does_not_warn(pooling, adaptation):
    pooling_model(pooling(), adaptation).make_train_function()
