"""Embedding losses: degenerate batches, training and arguments."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml

LOSSES = {
    "contrastive": kml.losses.ContrastiveLoss(),
    "all": kml.losses.TripletLoss(mining="all"),
    "hard": kml.losses.TripletLoss(mining="hard"),
    "semi-hard": kml.losses.TripletLoss(mining="semi-hard"),
    "squared": kml.losses.TripletLoss(distance="squared"),
    "n_pair": kml.losses.NPairLoss(),
    "multi_similarity": kml.losses.MultiSimilarityLoss(),
}
BATCHES = {
    "duplicates": (np.array([0, 0, 1, 1]), np.ones((4, 3))),
    "duplicates and another": (np.array([0, 1, 0]), np.eye(3)[[0, 0, 1]]),
    "zeros": (np.array([0, 0, 1, 1]), np.zeros((4, 3))),
    "no positives": (np.arange(4), np.eye(4)),
    "no negatives": (np.zeros(4), np.eye(4)),
    "one example": (np.array([0]), np.ones((1, 3))),
    "large": (np.array([0, 0, 1, 1]), 1e4 * np.eye(4)),
}


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", LOSSES)
def test_value_and_gradient_are_finite(name, batch):
    labels, embeddings = BATCHES[batch]
    embeddings = tf.constant(embeddings, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        value = LOSSES[name](labels, embeddings)
    assert np.isfinite(float(value))
    assert np.isfinite(tape.gradient(value, embeddings)).all()
    if batch == "one example" or (batch == "no positives" and name != "contrastive"):
        assert float(value) == 0.0


@pytest.mark.parametrize("name", LOSSES)
def test_negative_labels_are_ignored(name):
    embeddings = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")
    labels = np.array([0, 0, 1, 1, 0, -1])
    loss = type(LOSSES[name]).from_config(
        {**LOSSES[name].get_config(), "reduction": None}
    )
    values = loss(labels, embeddings)
    np.testing.assert_allclose(values[:5], loss(labels[:5], embeddings[:5]), rtol=1e-5)
    assert float(values[5]) == 0


def test_labels_may_be_any_non_negative_integers():
    embeddings = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")
    labels = np.array([0, 0, 1, 1, 0, 2])
    for loss in LOSSES.values():
        expected = loss(labels, embeddings)
        for far in (labels + 3_000_000_001, labels * 2**32):
            assert float(loss(far, embeddings)) == float(expected)


def test_boolean_targets_and_integer_embeddings():
    pairs = [[[0.0], [0.5]], [[0.0], [0.5]]]
    values = kml.losses.contrastive_loss([True, False], pairs)
    np.testing.assert_allclose(values, [0.125, 0.125])
    values = kml.losses.triplet_loss([0, 0, 1], [[0], [2], [3]], mining="hard")
    np.testing.assert_allclose(values, [0.0, 2.0, 0.0])
    assert values.dtype == "float32"


@pytest.mark.parametrize("name", LOSSES)
def test_training_clusters_the_classes(name):
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 8)
    x = np.eye(4)[labels] + random.normal(size=(32, 4)) * 0.3
    network = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(16, "tanh"),
            keras.layers.Dense(3),
            keras.layers.UnitNormalization(),
        ]
    )
    network.compile(optimizer=keras.optimizers.Adam(0.02), loss=LOSSES[name])
    before = hits(network.predict(x, verbose=0), labels)
    data = tf.data.Dataset.from_tensors((x, labels)).repeat(60)
    network.fit(data, verbose=0, shuffle=False)
    after = hits(network.predict(x, verbose=0), labels)
    assert after > max(before, 0.9)


def hits(embeddings, labels):
    """Computes the fraction of examples with a nearest neighbor of the same class."""
    apart = np.linalg.norm(embeddings[:, None] - embeddings, axis=-1)
    np.fill_diagonal(apart, np.inf)
    return (labels[apart.argmin(axis=1)] == labels).mean()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: kml.losses.TripletLoss(mining="easy"), "`mining`.*'easy'"),
        (lambda: kml.losses.TripletLoss(distance="l1"), "`distance`.*'l1'"),
        (lambda: kml.losses.TripletLoss(margin=-1.0), "`margin`.*-1.0"),
        (lambda: kml.losses.ContrastiveLoss(margin=True), "`margin`.*True"),
        (lambda: kml.losses.MultiSimilarityLoss(beta=0.0), "`beta`.*0.0"),
        (
            lambda: kml.losses.ContrastiveLoss()([1], np.zeros((1, 3, 2))),
            "two embeddings per pair.*\\(1, 3, 2\\)",
        ),
        (
            lambda: kml.losses.ContrastiveLoss()([1, 0], np.zeros((2, 1))),
            "Do not pass distances: the loss computes.*\\(2, 1\\)",
        ),
        (
            lambda: kml.losses.TripletLoss()(np.eye(4), np.zeros((4, 2))),
            "integer labels.*\\(4, 4\\)",
        ),
        (
            lambda: kml.losses.multi_similarity_loss([0, 0], np.eye(2), alpha=0.0),
            "`alpha`.*0.0",
        ),
        (
            lambda: kml.losses.NPairLoss()([1], np.zeros((1, 2, 2))),
            "\\[B, D\\].*\\(1, 2, 2\\)",
        ),
    ],
)
def test_invalid_arguments_raise(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(
    "loss",
    [
        kml.losses.TripletLoss(),
        kml.losses.TripletLoss(mining="hard"),
        kml.losses.TripletLoss(distance="squared"),
        kml.losses.MultiSimilarityLoss(),
        kml.losses.ContrastiveLoss(),
        kml.losses.NPairLoss(),
    ],
    ids=lambda loss: loss.name,
)
def test_embeddings_that_are_not_finite_give_nan(loss, value):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(16, 4)).astype("float32"), np.arange(16) % 4
    expected = float(loss(y, x))
    assert np.isfinite(expected)
    x[3, 2] = value
    assert np.isnan(float(loss(y, x)))
    # The embedding of an ignored example does not count.
    ignored, masked = np.where(np.arange(16) == 3, -1, y), x.copy()
    masked[3] = 0.0
    assert float(loss(ignored, x)) == pytest.approx(float(loss(ignored, masked)))
