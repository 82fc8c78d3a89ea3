"""Batch normalization with statistics per inner step."""

from __future__ import annotations

import numpy as np

from tests.helpers.meta_models import conv_model, image_episodes


def test_per_step_normalization_has_parameters_per_step():
    x, _ = image_episodes()
    still = {"steps": 2, "learning_rate": 0.0}
    np.testing.assert_allclose(
        conv_model(normalization="per_step", **still)(x),
        conv_model(normalization="support", **still)(x),
        atol=1e-6,
    )
    model = conv_model(normalization="per_step", steps=2)
    shift = next(v for v in model.adaptation.variables if "beta" in v.path)
    for step in range(3):
        before = model(x)
        shift.assign(shift + (np.arange(3) == step)[:, np.newaxis])
        assert np.abs(model(x) - before).max() > 1e-3
