"""Outer losses of `MetaModel`: separability, weights and context."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from keras_metaloss.models.meta._outer_loss import is_separable
from tests.helpers.meta_models import (
    conv_model,
    dense_learner,
    image_episodes,
    line_episodes,
    repeated_dataset,
)


def test_sample_weights_scale_the_losses_of_tasks():
    model = conv_model(optimizer=keras.optimizers.SGD(1.0))
    x, y = image_episodes(tasks=3)
    weight = np.array([1.0, 0.0, 0.0], "float32")
    results = model.evaluate(x, y, sample_weight=weight, verbose=0, return_dict=True)
    alone = model.evaluate(
        {k: v[:1] for k, v in x.items()}, y[:1], verbose=0, return_dict=True
    )
    penalty = float(sum(model.losses))
    assert results["loss"] - penalty == pytest.approx(
        (alone["loss"] - penalty) / 3, rel=1e-5
    )


@pytest.mark.parametrize("execution", ["auto", "map"])
def test_outer_loss_receives_the_gradients_of_tasks(execution):
    model = kml.MetaModel(
        dense_learner(), kml.adaptation.MAML(1, 0.1), task_execution=execution
    )
    term = kml.losses.TaskSimilarityLoss("gradient")
    loss = kml.losses.RapidGeneralizationLoss("mse", term, lambda_weight=1.0)
    model.compile(optimizer="sgd", loss=loss)
    x, y = line_episodes()
    gradients = []
    for t in range(len(y)):
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(
                tf.square(model.learner(x["support_x"][t]) - x["support_y"][t])
            )
        flat = tape.gradient(value, model.learner.trainable_variables)
        gradients.append(np.concatenate([np.ravel(g) for g in flat]))
    unit = np.array([g / np.linalg.norm(g) for g in gradients])
    cosines = (unit @ unit.T)[~np.eye(len(unit), dtype=bool)]
    intra = np.mean((model.predict(x, verbose=0) - y) ** 2)
    results = model.evaluate(x, y, verbose=0, return_dict=True)
    assert results["loss"] == pytest.approx(intra + 1 - cosines.mean(), rel=1e-4)
    before = model.learner.get_weights()
    model.fit(x, y, verbose=0)
    assert any(
        np.any(a != b) for a, b in zip(before, model.learner.get_weights(), strict=True)
    )


def test_scheduled_weight_follows_optimizer_iterations():
    ramp = keras.optimizers.schedules.PolynomialDecay(0.0, 4, end_learning_rate=1.0)
    loss = kml.losses.RapidGeneralizationLoss(
        "mse", kml.losses.TaskLossVariance(), lambda_weight=ramp
    )
    model = kml.MetaModel(dense_learner(), kml.adaptation.MAML(1, 0.1))
    model.compile(optimizer="sgd", loss=loss)
    data = repeated_dataset(line_episodes(), batches=2)
    model.fit(data, verbose=0)
    assert int(loss.step) == 2
    model.evaluate(data, verbose=0)
    assert int(loss.step) == 2


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
