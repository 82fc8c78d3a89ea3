"""Siamese networks predict the class of the nearest example."""

from __future__ import annotations

import keras
import numpy as np

import keras_metaloss as kml
from tests.helpers.metric_learners import CLASSES, QUERY, SUPPORT, identity_logits

A = kml.adaptation


def test_siamese_network_predicts_class_of_nearest_example():
    model, actual = identity_logits(A.SiameseNetwork())
    gaps = np.abs(QUERY[0][:, None] - SUPPORT[0][None])
    scores = -gaps @ np.full(4, 0.5)
    expected = np.stack(
        [scores[:, CLASSES[0] == k].max(axis=1) for k in range(3)], axis=1
    )
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    nearest = CLASSES[0][gaps.sum(-1).argmin(axis=1)]
    np.testing.assert_array_equal(actual.argmax(axis=1), nearest)


def test_contrastive_loss_generalizes_to_new_classes():
    random = np.random.default_rng(0)

    def classes(count):
        # Only 3 of 12 dimensions distinguish the classes.
        labels = np.repeat(np.arange(count), 20)
        x = 2.0 * random.normal(size=(len(labels), 12))
        x[:, :3] = 3.0 * random.normal(size=(count, 3))[labels]
        x[:, :3] += 0.5 * random.normal(size=(len(labels), 3))
        return x.astype("float32"), labels

    embedding = keras.Sequential([keras.Input((12,)), keras.layers.Dense(3)])
    model = kml.MetaModel(embedding, A.SiameseNetwork("squared_euclidean"))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    new = kml.tasks.EpisodeSampler(*classes(20), ways=5, shots=1, queries=5)

    def accuracy():
        data = new.dataset(10, batches=20)
        return model.evaluate(data, verbose=0, return_dict=True)["accuracy"]

    before = accuracy()
    embedding.compile(
        keras.optimizers.Adam(0.01), kml.losses.ContrastiveLoss(margin=2.0)
    )
    embedding.fit(*classes(40), batch_size=100, epochs=30, verbose=0)
    assert accuracy() > max(0.85, before + 0.15)
