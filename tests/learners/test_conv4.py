"""`conv4`: published size, saving and arguments."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_metaloss as kml


def test_conv4_weight_count_matches_the_paper():
    # 640 + 3 * 36928 in convolutions, 4 * 128 in normalization, 325 in the head.
    trainable = 640 + 3 * 36_928 + 4 * 128 + 325
    for downsample in ("stride", "max_pool"):
        learner = kml.learners.conv4((28, 28, 1), 5, downsample=downsample)
        assert sum(np.prod(v.shape) for v in learner.trainable_variables) == trainable
        assert learner(np.zeros((2, 28, 28, 1), "float32")).shape == (2, 5)


def test_learners_can_be_saved_and_loaded(tmp_path):
    learner = kml.learners.conv4((16, 16, 3), 4, filters=8, downsample="max_pool")
    learner.save(tmp_path / "learner.keras")
    loaded = keras.models.load_model(tmp_path / "learner.keras")
    x = np.ones((2, 16, 16, 3), "float32")
    np.testing.assert_array_equal(learner(x), loaded(x))


def test_unknown_downsample_raises_value_error():
    with pytest.raises(ValueError, match="`downsample`.*'average'"):
        kml.learners.conv4((28, 28, 1), 5, downsample="average")
