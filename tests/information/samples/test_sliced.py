"""Sliced mutual information compared to its integral over directions."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers import truths

info = kml.information


def test_sliced_mutual_information_of_a_gaussian():
    # Directions in the plane have a uniform angle t and correlation rho cos t.
    x, y, _ = truths.gaussian(2, 0.9, size=2000)
    angle = (np.arange(1000) + 0.5) / 1000 * np.pi
    truth = np.mean(-np.log1p(-((0.9 * np.cos(angle)) ** 2)) / 2)
    value = info.sliced_mutual_information(x, y, num_projections=64)
    assert float(value) == pytest.approx(truth, abs=0.06)
    assert float(info.sliced_mutual_information(x, y, num_projections=64)) == float(
        value
    )
    compiled = tf.function(
        lambda: info.sliced_mutual_information(x[:300], y[:300], 2), jit_compile=True
    )
    eager = float(info.sliced_mutual_information(x[:300], y[:300], 2))
    assert np.isfinite(float(compiled())) and np.isfinite(eager)
