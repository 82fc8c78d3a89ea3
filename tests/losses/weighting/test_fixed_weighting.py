"""Fixed weights of losses."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.weightings import attached

W = kml.losses.weighting


def test_fixed_weighting():
    weighting = attached(W.FixedWeighting({"b": 2.0, "a": 0.5, "c": 0.0}))
    losses = tf.constant([3.0, 4.0, 5.0])
    np.testing.assert_array_equal(
        weighting.compute_weights(losses).shared, [0.5, 2.0, 0.0]
    )
    assert float(weighting.objective(losses)) == 9.5
