"""Gradients of the learned `gamma` of focal losses."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.losses import TRAINS

Binary = kml.losses.BinaryFocalLoss
Categorical = kml.losses.CategoricalFocalLoss
Sparse = kml.losses.SparseCategoricalFocalLoss


@pytest.mark.parametrize("scale", [0.3, 4.0])
def test_learned_gamma_follows_overconfidence(scale):
    """Targets are drawn from softmax(z); predictions are softmax(scale * z)."""
    random = np.random.default_rng(0)
    logits = random.normal(size=(4000, 3)) * 1.5
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (random.random((4000, 1)) > p.cumsum(axis=1)).sum(axis=1)
    loss = Sparse("learned", from_logits=True)
    assert loss.gamma == pytest.approx(2.0, rel=1e-6)
    with tf.GradientTape() as tape:
        value = loss(labels, scale * logits, context=TRAINS)
    slope = tape.gradient(value, loss.trainable_variables)[0]
    fixed = Sparse(2.0, from_logits=True)(labels, scale * logits)
    assert float(value) == pytest.approx(float(fixed), rel=1e-6)
    if scale < 1:  # underconfident predictions: gamma should decrease
        assert float(slope) > 0
    else:
        assert float(slope) < 0


def test_gradient_of_gamma_matches_numpy_likelihood():
    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(20, 4)) * 2, random.integers(0, 4, 20)
    hot = np.eye(4)[labels]
    raw0 = np.log(np.expm1(2.0))

    def categorical(raw):
        gamma = np.log1p(np.exp(raw))
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        weight = p ** ((1 - p) ** gamma)
        q = weight / weight.sum(axis=1, keepdims=True)
        return -np.log(q[np.arange(20), labels]).mean()

    def binary(raw):
        gamma = np.log1p(np.exp(raw))
        p = 1 / (1 + np.exp(-logits))
        yes, no = p ** ((1 - p) ** gamma), (1 - p) ** (p**gamma)
        q = yes / (yes + no)
        return -(hot * np.log(q) + (1 - hot) * np.log(1 - q)).mean()

    shared = {"gamma": "learned", "from_logits": True, "dtype": "float64"}
    for loss, targets, exact in (
        (Sparse(**shared), labels, categorical),
        (Categorical(**shared), hot, categorical),
        (Binary(**shared), hot, binary),
    ):
        with tf.GradientTape() as tape:
            value = loss(targets, tf.constant(logits), context=TRAINS)
        slope = float(tape.gradient(value, loss.trainable_variables)[0])
        numeric = (exact(raw0 + 1e-5) - exact(raw0 - 1e-5)) / 2e-5
        assert slope == pytest.approx(numeric, rel=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize(("dtype", "error"), [("float32", 1e-4), ("bfloat16", 0.05)])
def test_gamma_gradient_of_a_large_uniform_batch(dtype, error, jit_compile):
    """With identical examples, every subsample has the gradient of the batch."""
    random = np.random.default_rng(0)
    few, label = random.normal(size=(1, 1, 7)), random.integers(0, 7, (1, 1))
    many, labels = np.tile(few, (8, 2000, 1)), np.tile(label, (8, 2000))
    loss = Sparse("learned", from_logits=True, dtype=dtype)

    @tf.function(jit_compile=jit_compile)
    def slope(labels, logits, weight):
        with tf.GradientTape() as tape:
            value = loss(labels, logits, sample_weight=weight, context=TRAINS)
        return tape.gradient(value, [v.value for v in loss.trainable_variables])[0]

    weight = np.full(label.shape, 0.5), np.full(labels.shape, 0.5)
    exact = float(slope(label, few, weight[0]))
    assert float(slope(labels, many, weight[1])) == pytest.approx(exact, rel=error)


@pytest.mark.parametrize("place", [0, 300, 511])
def test_gamma_gradient_uses_sample_weights(place):
    """One position per sequence has a nonzero weight."""
    random = np.random.default_rng(0)
    logits = tf.constant(random.normal(size=(16, 512, 50)) * 3)
    labels = random.integers(0, 50, (16, 512))
    weight = np.zeros((16, 512))
    weight[:, place] = random.uniform(1.0, 2.0, 16)
    slopes = []
    for where in (slice(None), slice(place, place + 1)):
        loss = Sparse("learned", from_logits=True, reduction="sum", dtype="float64")
        with tf.GradientTape() as tape:
            value = loss(
                labels[:, where], logits[:, where], weight[:, where], context=TRAINS
            )
        slopes.append(float(tape.gradient(value, loss.trainable_variables)[0]))
    assert slopes[0] == pytest.approx(slopes[1], rel=1e-6)


@pytest.mark.parametrize("cls", [Sparse, Categorical, Binary])
def test_subsample_represents_the_batch(cls):
    """Confidence increases along the batch; the subsample must cover all of it."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, (64, 64, 8))
    sure = np.linspace(0.0, 6.0, 64)[:, np.newaxis, np.newaxis, np.newaxis]
    hot = np.eye(4)[labels]
    logits = sure * hot + random.normal(size=hot.shape)
    targets = labels if cls is Sparse else hot
    loss = cls("learned", from_logits=True, reduction="mean")
    slopes = []
    for batch in ((targets, logits), *zip(targets, logits, strict=True)):
        with tf.GradientTape() as tape:
            value = loss(*batch, context=TRAINS)
        slopes.append(float(tape.gradient(value, loss.trainable_variables)[0]))
    whole, *parts = slopes  # the parts are too small for subsampling
    assert whole == pytest.approx(np.mean(parts), rel=0.1)


def test_learned_gamma_accepts_lists():
    for cls in (kml.losses.BinaryFocalLoss, kml.losses.CategoricalFocalLoss):
        fixed, learned = cls(2.0), cls("learned")
        assert float(learned([[1.0, 0.0]], [[0.3, 0.7]])) == pytest.approx(
            float(fixed([[1.0, 0.0]], [[0.3, 0.7]])), rel=1e-6
        )
