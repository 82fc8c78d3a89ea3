"""Matching networks match attention in NumPy."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import softmax

import keras_metaloss as kml
from tests.helpers.meta_models import image_episodes
from tests.helpers.methods import build
from tests.helpers.metric_learners import (
    CLASSES,
    EPISODE,
    QUERY,
    SUPPORT,
    identity_logits,
)

A = kml.adaptation


def test_matching_network_is_attention_over_support_set():
    distance = A.distances.Cosine(1.0, trainable=False)
    _, actual = identity_logits(A.MatchingNetwork(distance))
    unit = [
        v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (QUERY[0], SUPPORT[0])
    ]
    attention = softmax(unit[0] @ unit[1].T, axis=1)
    expected = attention @ np.eye(3)[CLASSES[0]]
    np.testing.assert_allclose(softmax(actual, axis=1), expected, rtol=1e-5)


def test_full_context_embeddings_depend_on_other_examples():
    adaptation = A.MatchingNetwork(full_context=True)
    model, before = identity_logits(adaptation)
    other = {**EPISODE, "support_x": SUPPORT.copy()}
    other["support_x"][0, 0] += 1.0
    changed = model(other)[0].numpy() - before
    # Logits of classes with unchanged examples change too.
    assert np.abs(changed[:, 1:]).max() > 1e-3
    _, plain = identity_logits(A.MatchingNetwork())
    model, _ = identity_logits(A.MatchingNetwork())
    changed = model(other)[0].numpy() - plain
    assert np.abs(changed[:, 1:]).max() < 1e-6


def test_logit_and_gradient_of_distant_class_are_finite():
    from keras_metaloss.adaptation.metric_based.matching_network import class_logsumexp

    scores = tf.constant([[[0.0, -500.0]]])
    with tf.GradientTape() as tape:
        tape.watch(scores)
        values = class_logsumexp(scores, tf.constant([[[1.0, 0.0], [0.0, 1.0]]]))
    np.testing.assert_array_equal(values, scores)
    np.testing.assert_array_equal(tape.gradient(values, scores), [[[1.0, 1.0]]])
    shared = class_logsumexp(scores, tf.constant([[[1.0, 0.0], [1.0, 0.0]]]))
    np.testing.assert_array_equal(shared[0, 0, 0], 0.0)
    assert shared[0, 0, 1] < -1e8


POLICIES = ["mixed_bfloat16", "mixed_float16"]


@pytest.mark.parametrize("policy", POLICIES)
def test_full_context_embeddings_in_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    model = build("matching_full_context", run_eagerly=True)
    x, y = image_episodes()
    assert np.isfinite(model.train_on_batch(x, y)).all()
    assert model(x).dtype == "float32"
