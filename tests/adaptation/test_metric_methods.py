"""Tests metric-based methods against NumPy and scikit-learn."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax, softmax
from sklearn.linear_model import Ridge
from sklearn.neighbors import NearestCentroid

import keras_metaloss as kml

A = kml.adaptation
rng = np.random.default_rng(0)
SUPPORT = rng.normal(size=(1, 6, 4)).astype("float32")
CLASSES = np.array([[0, 1, 2, 2, 1, 2]])
QUERY = rng.normal(size=(1, 5, 4)).astype("float32")
EPISODE = {"support_x": SUPPORT, "support_y": CLASSES, "query_x": QUERY}


def logits(adaptation, episode=EPISODE):
    """Returns the model and its logits for a learner that is the identity."""
    identity = keras.layers.Dense(4, use_bias=False, kernel_initializer="identity")
    learner = keras.Sequential([keras.Input((4,)), identity])
    model = kml.MetaModel(learner, adaptation)
    return model, model(episode)[0].numpy()


def test_prototypes_are_class_means():
    _, actual = logits(A.PrototypicalNetwork())
    centroids = NearestCentroid().fit(SUPPORT[0], CLASSES[0]).centroids_
    expected = -((QUERY[0][:, None] - centroids[None]) ** 2).sum(-1)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_matching_network_is_attention_over_support_set():
    distance = A.distances.Cosine(1.0, trainable=False)
    _, actual = logits(A.MatchingNetwork(distance))
    unit = [
        v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (QUERY[0], SUPPORT[0])
    ]
    attention = softmax(unit[0] @ unit[1].T, axis=1)
    expected = attention @ np.eye(3)[CLASSES[0]]
    np.testing.assert_allclose(softmax(actual, axis=1), expected, rtol=1e-5)


def test_full_context_embeddings_depend_on_other_examples():
    adaptation = A.MatchingNetwork(full_context=True)
    model, before = logits(adaptation)
    other = {**EPISODE, "support_x": SUPPORT.copy()}
    other["support_x"][0, 0] += 1.0
    changed = model(other)[0].numpy() - before
    # Logits of classes with unchanged examples change too.
    assert np.abs(changed[:, 1:]).max() > 1e-3
    _, plain = logits(A.MatchingNetwork())
    model, _ = logits(A.MatchingNetwork())
    changed = model(other)[0].numpy() - plain
    assert np.abs(changed[:, 1:]).max() < 1e-6


def test_siamese_network_predicts_class_of_nearest_example():
    model, actual = logits(A.SiameseNetwork())
    gaps = np.abs(QUERY[0][:, None] - SUPPORT[0][None])
    scores = -gaps @ np.full(4, 0.5)
    expected = np.stack(
        [scores[:, CLASSES[0] == k].max(axis=1) for k in range(3)], axis=1
    )
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    nearest = CLASSES[0][gaps.sum(-1).argmin(axis=1)]
    np.testing.assert_array_equal(actual.argmax(axis=1), nearest)


def test_ridge_head_matches_scikit_learn():
    _, actual = logits(A.MetaOptNet(strength=2.0, scale=3.0))
    ridge = Ridge(alpha=2.0, fit_intercept=False)
    ridge.fit(SUPPORT[0], np.eye(3)[CLASSES[0]])
    np.testing.assert_allclose(actual, 3.0 * ridge.predict(QUERY[0]), rtol=1e-4)


def test_relation_network_compares_queries_with_class_means():
    model, actual = logits(A.RelationNetwork(filters=5))
    means = np.stack([SUPPORT[0][CLASSES[0] == k].mean(axis=0) for k in range(3)])
    head = model.adaptation.head
    for k in range(3):
        pairs = np.concatenate([np.tile(means[k], (5, 1)), QUERY[0]], axis=1)
        np.testing.assert_allclose(actual[:, k], head(pairs)[:, 0], atol=1e-5)


def test_one_hot_targets_match_integer_labels():
    one_hot = {**EPISODE, "support_y": np.eye(3, dtype="float32")[CLASSES]}
    model, expected = logits(A.PrototypicalNetwork())
    np.testing.assert_array_equal(model(one_hot)[0], expected)


@pytest.mark.parametrize(
    "make",
    [
        A.PrototypicalNetwork,
        A.MatchingNetwork,
        A.RelationNetwork,
        A.SiameseNetwork,
        A.MetaOptNet,
    ],
)
def test_class_without_examples_is_never_predicted(make):
    _, actual = logits(make(classes=5))
    assert actual.shape == (5, 5)
    assert (actual.argmax(axis=1) < 3).all()
    assert (log_softmax(actual, axis=1)[:, 3:] < -1e6).all()


def test_one_model_supports_any_number_of_ways_and_shots():
    model, _ = logits(A.PrototypicalNetwork())
    labels = np.tile(np.arange(10), 2)[None]
    wide = {
        "support_x": rng.normal(size=(1, 20, 4)),
        "support_y": labels,
        "query_x": QUERY,
    }
    assert model(wide).shape == (1, 5, 10)


def test_xla_requires_the_number_of_classes():
    model, _ = logits(A.PrototypicalNetwork())
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with pytest.raises(ValueError, match="classes"):
        model.compile("adam", loss, jit_compile=True)


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


def test_invalid_support_labels_raise_value_error():
    learner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model = kml.MetaModel(learner, A.PrototypicalNetwork(classes=3))
    x = np.zeros((3, 4), "float32")
    for labels in ([1, 2, 3], [-1, 0, 1]):
        with pytest.raises(ValueError, match="`support_y`.*0 to 2.*values from"):
            model.adapt(x, np.array(labels))
    with pytest.raises(ValueError, match="classes=3.*support_y.shape"):
        model.adapt(x, np.eye(4, dtype="float32")[:3])


def test_learner_of_unknown_output_shape_raises_value_error():
    class Body(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(2)

        def call(self, x):
            return self.dense(x)

    body = Body()
    body(np.zeros((1, 4), "float32"))
    with pytest.raises(ValueError, match="known output shape.*keras.Sequential"):
        kml.MetaModel(body, A.PrototypicalNetwork())
    kml.MetaModel(keras.Sequential([keras.Input((4,)), body]), A.PrototypicalNetwork())


def test_learner_with_two_outputs_raises_value_error():
    inputs = keras.Input((4,))
    outputs = [keras.layers.Dense(2)(inputs), keras.layers.Dense(3)(inputs)]
    with pytest.raises(ValueError, match="one output"):
        kml.MetaModel(keras.Model(inputs, outputs), A.PrototypicalNetwork())


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


def test_per_step_normalization_raises_value_error():
    with pytest.raises(ValueError, match="normalization"):
        A.PrototypicalNetwork(normalization="per_step")
