"""MAML: inner steps, order of derivatives and arguments."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_metaloss as kml
from tests.helpers.meta_models import (
    conv_model,
    dense_learner,
    image_episodes,
    line_episodes,
    line_model,
    step_change,
)


def test_call_matches_manual_adaptation():
    rate = 0.1
    model = line_model(steps=2, rate=rate)
    x, _ = line_episodes(tasks=1)
    learner = keras.models.clone_model(model.learner)
    learner.set_weights(model.learner.get_weights())
    learner.compile(optimizer=keras.optimizers.SGD(rate), loss="mse")
    for _ in range(2):
        learner.train_on_batch(x["support_x"][0], x["support_y"][0])
    expected = learner.predict(x["query_x"][0], verbose=0)
    np.testing.assert_allclose(model.predict(x, verbose=0)[0], expected, atol=1e-6)


def test_evaluation_steps_apply_only_to_evaluation():
    x, _ = line_episodes()
    short = kml.MetaModel(
        dense_learner(), kml.adaptation.MAML(1, 0.1, evaluation_steps=3)
    )
    long = kml.MetaModel(dense_learner(), kml.adaptation.MAML(3, 0.1))
    long.learner.set_weights(short.learner.get_weights())
    for model in (short, long):
        model.compile(optimizer="sgd", loss="mse")
    np.testing.assert_allclose(short(x), long(x), atol=1e-6)
    assert np.abs(short(x, training=True) - long(x, training=True)).max() > 1e-4


def test_first_order_differs_from_second_order():
    episodes = image_episodes()
    second = step_change(conv_model(), episodes)
    first = step_change(conv_model(first_order=True), episodes)
    assert np.abs(second - first).max() > 1e-2 * np.abs(second).max()


def test_first_order_equals_second_order_at_rate_zero():
    episodes = image_episodes()
    second = step_change(conv_model(learning_rate=0.0), episodes)
    first = step_change(conv_model(learning_rate=0.0, first_order=True), episodes)
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "`steps`.*positive integer.*steps=0"),
        ({"steps": True}, "`steps`.*steps=True"),
        ({"learning_rate": -0.1}, "`learning_rate`.*learning_rate=-0.1"),
        ({"learning_rate": float("nan")}, "`learning_rate`.*nan"),
        ({"evaluation_steps": -1}, "`evaluation_steps`"),
        ({"normalization": "none"}, "`normalization`.*normalization='none'"),
    ],
)
def test_invalid_arguments_of_maml_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        kml.adaptation.MAML(**arguments)


def test_negative_learning_rate_of_an_optimizer_raises():
    with pytest.raises(ValueError, match="learning_rate`.*-0.1"):
        kml.adaptation.MAML(1, optimizer=keras.optimizers.SGD(-0.1))
