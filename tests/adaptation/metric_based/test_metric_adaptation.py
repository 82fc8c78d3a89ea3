"""Labels, learners and arguments of all metric-based methods."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from scipy.special import log_softmax

import keras_metaloss as kml
from tests.helpers.metric_learners import CLASSES, EPISODE, identity_logits

A = kml.adaptation


def test_one_hot_targets_match_integer_labels():
    one_hot = {**EPISODE, "support_y": np.eye(3, dtype="float32")[CLASSES]}
    model, expected = identity_logits(A.PrototypicalNetwork())
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
    _, actual = identity_logits(make(classes=5))
    assert actual.shape == (5, 5)
    assert (actual.argmax(axis=1) < 3).all()
    assert (log_softmax(actual, axis=1)[:, 3:] < -1e6).all()


def test_xla_requires_the_number_of_classes():
    model, _ = identity_logits(A.PrototypicalNetwork())
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with pytest.raises(ValueError, match="classes"):
        model.compile("adam", loss, jit_compile=True)


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


def test_per_step_normalization_raises_value_error():
    with pytest.raises(ValueError, match="normalization"):
        A.PrototypicalNetwork(normalization="per_step")
