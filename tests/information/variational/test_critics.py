"""Critics: scores of pairs and configuration."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_metaloss as kml

Estimator = kml.information.MutualInformationEstimator


Separable = kml.information.SeparableCritic


Concat = kml.information.ConcatCritic


def critics():
    return {"separable": Separable([16], 4, "tanh"), "concat": Concat([16, 8], "tanh")}


@pytest.mark.parametrize("name", ["separable", "concat"])
def test_score_of_a_pair_does_not_depend_on_other_pairs(name):
    critic = critics()[name]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 2, 2)).astype("float32")
    y = rng.normal(size=(4, 5)).astype("float32")
    scores = critic([x, y])
    assert scores.shape == (3, 4)
    one = critic([x[1:2], y[2:3]])
    assert float(one[0, 0]) == pytest.approx(float(scores[1, 2]), rel=1e-5)
    assert np.std(scores) > 0


def test_concat_critic_equals_a_network_of_concatenated_samples():
    critic = Concat([6], "tanh")
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(3, d)).astype("float32") for d in (2, 4))
    scores = critic([x, y])
    kernel = np.vstack([critic.x_layer.kernel, critic.y_layer.kernel])
    hidden = np.tanh(np.concatenate([x[1], y[2]]) @ kernel + critic.x_layer.bias)
    last = critic.network.layers[-1]
    expected = hidden @ np.asarray(last.kernel) + np.asarray(last.bias)
    assert float(scores[1, 2]) == pytest.approx(expected[0], rel=1e-5)


@pytest.mark.parametrize("name", ["separable", "concat"])
def test_critic_config_round_trip(name):
    critic = critics()[name]
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(critic)
    )
    assert copy.get_config() == critic.get_config()
