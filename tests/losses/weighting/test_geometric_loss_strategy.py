"""The geometric mean of losses and its weights."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.weightings import attached

W = kml.losses.weighting


def test_weights_are_the_derivative_of_the_geometric_mean():
    losses = np.array([0.3, 2.0, 11.0])
    weighting = attached(W.GeometricLossStrategy())
    mean = np.prod(losses) ** (1 / 3)
    assert float(weighting.objective(tf.constant(losses))) == pytest.approx(mean)
    weights = weighting.compute_weights(tf.constant(losses)).shared
    # LibMTL's GLS minimizes the same mean but reports a different weight.
    np.testing.assert_allclose(weights, mean / (3 * losses), rtol=1e-12)
    scaled = weighting.compute_weights(tf.constant(losses * [1, 100, 1e-3]))
    step = scaled.shared * losses * [1, 100, 1e-3]
    np.testing.assert_allclose(step / tf.reduce_sum(step), np.full(3, 1 / 3))


def test_geometric_mean_of_negative_loss_is_nan():
    weighting = attached(W.GeometricLossStrategy())
    assert np.isnan(weighting.objective(tf.constant([1.0, -1.0, 2.0])))
    assert np.isnan(
        weighting.compute_weights(tf.constant([1.0, -1.0, 2.0])).shared
    ).any()
