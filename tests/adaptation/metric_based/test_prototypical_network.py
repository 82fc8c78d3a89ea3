"""Prototypical networks match nearest centroids of scikit-learn."""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import NearestCentroid

import keras_metaloss as kml
from tests.helpers.metric_learners import CLASSES, QUERY, SUPPORT, identity_logits

A = kml.adaptation


def test_prototypes_are_class_means():
    _, actual = identity_logits(A.PrototypicalNetwork())
    centroids = NearestCentroid().fit(SUPPORT[0], CLASSES[0]).centroids_
    expected = -((QUERY[0][:, None] - centroids[None]) ** 2).sum(-1)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_one_model_supports_any_number_of_ways_and_shots():
    model, _ = identity_logits(A.PrototypicalNetwork())
    labels = np.tile(np.arange(10), 2)[None]
    wide = {
        "support_x": np.random.default_rng(0).normal(size=(1, 20, 4)),
        "support_y": labels,
        "query_x": QUERY,
    }
    assert model(wide).shape == (1, 5, 10)
