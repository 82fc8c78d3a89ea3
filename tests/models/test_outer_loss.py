"""Classification of outer losses as separable over tasks."""

from __future__ import annotations

import keras
import pytest

import keras_metaloss as kml
from keras_metaloss.models.meta._outer_loss import is_separable

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
def test_means_of_task_losses_are_separable(loss):
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
def test_losses_across_tasks_are_not_separable(loss):
    assert not is_separable(loss)
