"""Every recipe generalizes to new classes."""

from __future__ import annotations

import numpy as np
import pytest
from few_shot_methods import RECIPES

import keras_metaloss as kml


def episodes(classes, seed, **settings):
    """Returns a sampler of noisy random patterns."""
    rng = np.random.default_rng(seed)
    patterns = np.kron(rng.normal(size=(classes, 1, 7, 7)), np.ones((4, 4)))
    x = patterns + 0.5 * rng.normal(size=(classes, 12, 28, 28))
    x = x.reshape(-1, 28, 28, 1).astype("float32")
    labels = np.repeat(np.arange(classes), 12)
    return kml.tasks.EpisodeSampler(x, labels, ways=3, **settings)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipe_classifies_new_classes(name):
    recipe = RECIPES[name]
    settings = {"shots": 1, "queries": 2, **recipe.train}
    settings["shots"] = min(settings["shots"], 3)
    model = recipe.build((28, 28, 1), 3, filters=8)
    # Other variables may stay constant: biases before normalization, contexts.
    kernels = [v for v in model.learner.trainable_variables if v.name == "kernel"]
    before = [v.numpy() for v in kernels]
    train = episodes(30, seed=0, **settings).dataset(4)
    model.fit(train, steps_per_epoch=40, verbose=0)
    for a, v in zip(before, kernels, strict=True):
        assert not np.array_equal(a, v.numpy()), v.path
    test = episodes(20, seed=1, shots=1, queries=4).dataset(20, batches=2)
    results = model.evaluate(test, verbose=0, return_dict=True)
    assert results["accuracy"] > 0.5
