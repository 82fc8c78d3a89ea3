"""`resnet12` has the published size."""

from __future__ import annotations

import numpy as np
import pytest

import keras_metaloss as kml


def test_resnet12_weight_count_matches_the_paper():
    learner = kml.learners.resnet12((84, 84, 3))
    sizes = [int(np.prod(v.shape)) for v in learner.trainable_variables]
    assert sum(sizes) == 12_424_320
    small = kml.learners.resnet12((16, 16, 3), 5, filters=(2, 2, 4, 4))
    assert np.isfinite(small(np.ones((2, 16, 16, 3), "float32"))).all()
    with pytest.raises(ValueError, match="at least 2 pixels"):
        kml.learners.resnet12((8, 8, 3), 5, filters=(2, 2, 4, 4))
