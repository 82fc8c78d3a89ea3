"""Policies of batch normalization in adaptation."""

from __future__ import annotations

import numpy as np
import pytest

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
