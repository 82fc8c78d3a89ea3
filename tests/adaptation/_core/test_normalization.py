"""Policies of batch normalization in adaptation."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_metaloss as kml
from tests.helpers.meta_models import conv_model, image_episodes


def test_only_batch_normalization_policy_is_transductive():
    x, _ = image_episodes()
    fewer = {**x, "query_x": x["query_x"][:, :4]}
    for normalization in ("support", "moving", "per_step"):
        model = conv_model(normalization=normalization)
        np.testing.assert_allclose(model(x)[:, :4], model(fewer), atol=1e-6)
    model = conv_model(normalization="batch")
    assert np.abs(model(x)[:, :4] - model(fewer)).max() > 1e-3


def test_moving_statistics_are_updated_with_the_mean_over_tasks():
    model = conv_model(normalization="moving", steps=1, learning_rate=0.0)
    x, y = image_episodes()
    layer = model.learner.layers[1]
    features = model.learner.layers[0]
    means = [
        [features(task).numpy().mean(axis=(0, 1, 2)) for task in x[key]]
        for key in ("support_x", "query_x")
    ]
    expected = np.mean(
        0.01 * 0.99 * np.array(means[0]) + 0.01 * np.array(means[1]), axis=0
    )
    model.train_on_batch(x, y)
    np.testing.assert_allclose(
        layer.moving_mean.numpy(), expected, rtol=1e-4, atol=1e-7
    )


NORMALIZATIONS = ["support", "batch", "moving", "per_step"]


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_predictions_do_not_depend_on_other_tasks(normalization):
    x, _ = image_episodes(tasks=4)
    model = conv_model(normalization=normalization)
    together = model.predict(x, verbose=0)
    alone = model.predict({k: v[2:3] for k, v in x.items()}, verbose=0)
    np.testing.assert_allclose(together[2], alone[0], atol=1e-6)


@pytest.mark.parametrize("support_mask", [None, [True, True, True, False]])
def test_statistics_exclude_masked_steps(support_mask):
    x = np.ones((4, 6, 1), "float32")
    x[:, 3:] = 0.0  # three steps with value 1, then three masked steps
    x[3, :3] = 9.0 if support_mask else 1.0
    learner = keras.Sequential(
        [
            keras.Input((6, 1)),
            keras.layers.Masking(),
            keras.layers.BatchNormalization(momentum=0.0),
            keras.layers.LSTM(2),
            keras.layers.Dense(1),
        ]
    )
    model = kml.MetaModel(learner, kml.adaptation.MAML(1, 0.0, loss="mse"))
    adapted = model.adapt(x, np.ones((4, 1)), support_mask=support_mask)
    np.testing.assert_allclose(adapted.layers[1].moving_mean, [1.0], atol=1e-6)
    np.testing.assert_allclose(adapted.layers[1].moving_variance, [0.0], atol=1e-6)


def test_renormalization_raises():
    try:
        layer = keras.layers.BatchNormalization(renorm=True)
    except (TypeError, ValueError):
        pytest.skip("requires batch renormalization in Keras")
    learner = keras.Sequential([keras.Input((2,)), layer, keras.layers.Dense(1)])
    model = kml.MetaModel(learner, kml.adaptation.MAML(1, 0.1, loss="mse"))
    with pytest.raises(ValueError, match="`learner`.*renorm=False"):
        model.adapt(np.ones((3, 2)), np.ones((3, 1)))
