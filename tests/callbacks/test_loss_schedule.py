"""`LossSchedule` in a plain Keras model."""

from __future__ import annotations

import keras

import keras_metaloss as kml
from tests.helpers.cross_task import plain_model, random_batch

Loss = kml.losses.RapidGeneralizationLoss
Variance = kml.losses.TaskLossVariance


def test_schedule_in_a_keras_model(tmp_path):
    schedule = keras.optimizers.schedules.PolynomialDecay(0.0, 10, 1.0)
    model = plain_model(Loss("mse", Variance(), schedule))
    x, y = random_batch(tasks=8)
    model.fit(x, y, batch_size=2, verbose=0, callbacks=[kml.callbacks.LossSchedule()])
    assert int(model.loss.step) == 4
    model.evaluate(x, y, verbose=0)
    assert int(model.loss.step) == 4
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert int(loaded.loss.step) == 4
    assert loaded.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)
