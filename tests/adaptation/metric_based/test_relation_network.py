"""Relation networks compare queries with class means."""

from __future__ import annotations

import numpy as np

import keras_metaloss as kml
from tests.helpers.metric_learners import CLASSES, QUERY, SUPPORT, identity_logits

A = kml.adaptation


def test_relation_network_compares_queries_with_class_means():
    model, actual = identity_logits(A.RelationNetwork(filters=5))
    means = np.stack([SUPPORT[0][CLASSES[0] == k].mean(axis=0) for k in range(3)])
    head = model.adaptation.head
    for k in range(3):
        pairs = np.concatenate([np.tile(means[k], (5, 1)), QUERY[0]], axis=1)
        np.testing.assert_allclose(actual[:, k], head(pairs)[:, 0], atol=1e-5)
