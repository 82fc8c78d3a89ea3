"""Every recipe of the examples builds a model that takes a step and predicts."""

from __future__ import annotations

import numpy as np
import pytest
from few_shot_methods import RECIPES

import keras_metaloss as kml


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipe(name):
    recipe = RECIPES[name]
    rng = np.random.default_rng(0)
    x = rng.random((60, 28, 28, 1), dtype=np.float32)
    settings = {"ways": 2, "shots": 1, "queries": 2, **recipe.train}
    settings["shots"] = min(settings["shots"], 3)
    episodes = kml.tasks.EpisodeSampler(x, np.repeat(np.arange(6), 10), **settings)
    model = recipe.build((28, 28, 1), 2, filters=4)
    model.run_eagerly = True
    # Others may rightly stand still: a bias before a normalisation, a context.
    kernels = [v for v in model.learner.trainable_variables if v.name == "kernel"]
    before = [v.numpy() for v in kernels]
    loss, _ = model.train_on_batch(*episodes.batch(0, 2))
    assert np.isfinite(loss)
    for a, v in zip(before, kernels, strict=True):
        assert not np.array_equal(a, v.numpy()), v.path
