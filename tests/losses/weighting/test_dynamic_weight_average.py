"""Dynamic weight average matches the formula of the paper."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.weightings import attached

W = kml.losses.weighting


def test_dynamic_weight_average_matches_formula():
    weighting = attached(W.DynamicWeightAverage(temperature=2.0))
    epochs = [
        [[1.0, 2.0, 8.0], [3.0, 2.0, 0.0]],  # means 2, 2, 8; zero means no label
        [[1.0, 2.0, 4.0], [1.0, 4.0, 4.0]],  # means 1, 3, 4
        [[0.5, 3.0, 5.0]],
    ]
    expected = [
        np.ones(3),
        np.ones(3),
        3 * np.exp([0.25, 0.75, 0.25]) / np.exp([0.25, 0.75, 0.25]).sum(),
        3
        * np.exp([0.25, 0.5, 0.625])
        / np.exp([0.25, 0.5, 0.625]).sum(),  # 0.5/1, 3/3, 5/4
    ]
    for weights, steps in zip(expected, [*epochs, []], strict=True):
        found = weighting.compute_weights(tf.constant([1.0, 1.0, 1.0]))
        np.testing.assert_allclose(found.shared, weights, rtol=1e-6)
        np.testing.assert_allclose(found.specific, weights, rtol=1e-6)
        for losses in steps:
            weighting.update(tf.constant(losses))
        weighting.end_epoch()


def test_dynamic_weight_average_ignores_epochs_without_labels():
    weighting = attached(W.DynamicWeightAverage(), 2)
    for losses in ([1.0, 4.0], [0.5, 4.0], [0.25, 0.0]):
        weighting.update(tf.constant(losses))
        weighting.end_epoch()
    weights = weighting.compute_weights(tf.constant([1.0, 1.0])).shared
    expected = 2 * np.exp([0.25, 0.5]) / np.exp([0.25, 0.5]).sum()
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
