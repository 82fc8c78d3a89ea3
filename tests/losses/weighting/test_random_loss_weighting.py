"""Random loss weighting draws softmax weights."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.weightings import attached

W = kml.losses.weighting


def test_random_weights_are_softmax_of_normal_samples():
    weighting = attached(W.RandomLossWeighting(seed=3))
    draws = []
    step = tf.function(weighting.compute_weights)
    for _ in range(300):
        draws.append(step(tf.ones(3)).shared.numpy())
        weighting.update(tf.ones(3))
    draws = np.array(draws)
    np.testing.assert_allclose(draws.sum(axis=1), np.ones(300), rtol=1e-5)
    # log w_a - log w_b is a difference of standard normal numbers (variance 2).
    difference = np.log(draws[:, 0]) - np.log(draws[:, 1])
    assert abs(difference.mean()) < 0.3
    assert difference.var() == pytest.approx(2.0, rel=0.3)
