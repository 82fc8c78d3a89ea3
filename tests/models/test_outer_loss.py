"""Which losses let tasks be taken one by one."""

from __future__ import annotations

import keras
import pytest

import keras_metaloss as kml
from keras_metaloss.models.outer_loss import is_separable

RapidGeneralization = kml.losses.RapidGeneralizationLoss


@pytest.mark.parametrize(
    "loss",
    [
        "mse",
        "sparse_categorical_crossentropy",
        keras.losses.huber,
        keras.losses.LogCosh(),
        RapidGeneralization("mse"),
    ],
)
def test_the_mean_of_the_losses_of_tasks(loss):
    assert is_separable(loss)


@pytest.mark.parametrize(
    "loss",
    [
        "circle",
        "dice",
        keras.losses.dice,
        keras.losses.Dice(),
        keras.losses.MeanSquaredError(reduction="sum"),
        keras.losses.SparseCategoricalCrossentropy(ignore_class=0),
        RapidGeneralization(keras.losses.tversky),
        RapidGeneralization("mse", kml.losses.TaskLossVariance()),
        lambda y_true, y_pred: y_pred,
        ["mse", "mse"],
        None,
    ],
)
def test_losses_across_tasks(loss):
    assert not is_separable(loss)
