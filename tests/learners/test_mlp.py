"""Sizes of `mlp`."""

from __future__ import annotations

import numpy as np

import keras_metaloss as kml


def test_mlp_sizes_for_sinusoid_and_images():
    assert kml.learners.mlp((1,), 1).count_params() == 40 * 2 + 41 * 40 + 41
    learner = kml.learners.mlp((28, 28, 1), 5, hidden=(256, 128, 64, 64))
    assert learner(np.zeros((2, 28, 28, 1), "float32")).shape == (2, 5)
