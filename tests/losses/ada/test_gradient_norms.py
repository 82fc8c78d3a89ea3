"""Tests of closed-form gradient norms against TensorFlow gradients."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_metaloss.losses.ada._gradient_norms import values_and_gradient_norms

MSE = keras.losses.MeanSquaredError
Sparse = keras.losses.SparseCategoricalCrossentropy
rng = np.random.default_rng(0)
REGRESSION = rng.normal(size=(6, 4)), rng.normal(size=(6, 4))
CLASSES = rng.integers(0, 5, (4, 3)), rng.normal(size=(4, 3, 5)) * 3
CASES = {
    "squares": (MSE(), *REGRESSION),
    "squares of one": (MSE(), *rng.normal(size=(2, 6, 1))),
    "squares of images": (MSE(), *rng.normal(size=(2, 2, 5, 5, 3))),
    "classes": (Sparse(from_logits=True), *CLASSES),
    "classes with an axis": (
        Sparse(from_logits=True),
        CLASSES[0][..., np.newaxis],
        CLASSES[1],
    ),
    "many classes": (
        Sparse(from_logits=True),
        rng.integers(0, 50, 6),
        rng.normal(size=(6, 50)),
    ),
}


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_values_and_norms_match_keras_gradients(case, jit_compile):
    loss, y_true, y_pred = CASES[case]

    @tf.function(jit_compile=jit_compile)
    def both(y_true, y_pred):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(y_pred)
            ours, norms = values_and_gradient_norms(loss, y_true, y_pred)
            theirs = loss.call(y_true, y_pred)
        slopes = [tape.gradient(values, y_pred) for values in (ours, theirs)]
        return (ours, norms, slopes[0]), (
            theirs,
            tf.norm(slopes[1], axis=-1),
            slopes[1],
        )

    is_regression = isinstance(loss, MSE)
    y_true = tf.constant(y_true, tf.float64 if is_regression else tf.int32)
    for own, other in zip(*both(y_true, tf.constant(y_pred)), strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_logits_of_any_magnitude(jit_compile):
    logits = np.zeros((5, 3), "float32")
    logits[0] = 1000.0, -1000.0, 0.0
    logits[1] = -1000.0, 1000.0, 0.0
    logits[2] = 0.0, -np.inf, -np.inf
    logits[4] = -np.inf, 0.0, 0.0
    labels = tf.zeros(5, tf.int32)

    @tf.function(jit_compile=jit_compile)
    def run(logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            found = values_and_gradient_norms(Sparse(from_logits=True), labels, logits)
        return *found, tape.gradient(found[0], logits)

    values, norms, slopes = run(tf.constant(logits))
    expected = [0.0, 2000.0, 0.0, np.log(3), np.inf]
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    expected = [0.0, np.sqrt(2), 0.0, np.sqrt(6) / 3, np.sqrt(1.5)]
    np.testing.assert_allclose(norms, expected, rtol=1e-6, atol=1e-7)
    expected = np.zeros((5, 3))
    expected[1] = -1.0, 1.0, 0.0
    expected[3] = -2 / 3, 1 / 3, 1 / 3
    expected[4] = -1.0, 0.5, 0.5
    np.testing.assert_allclose(slopes, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("label", [-1, 3])
def test_out_of_range_labels_give_nan(label):
    @tf.function(jit_compile=True)
    def values(labels):
        loss = Sparse(from_logits=True)
        return values_and_gradient_norms(loss, labels, tf.zeros((2, 3)))[0]

    np.testing.assert_array_equal(np.isnan(values(tf.constant([0, label]))), [0, 1])


@pytest.mark.parametrize(
    ("loss", "true_shape", "pred_shape"),
    [
        (keras.losses.MeanAbsoluteError(), (6, 4), (6, 4)),
        (MSE(), (6, 4), (6, 1)),  # Keras broadcasts one prediction to four targets
        (MSE(), (6, 1), (6,)),
        (MSE(), (6,), (6, 1)),
        (Sparse(), (6,), (6, 4)),
        (Sparse(from_logits=True, ignore_class=0), (6,), (6, 4)),
        (Sparse(from_logits=True, axis=1), (6, 4), (6, 3, 4)),
        (keras.losses.Circle(), (6,), (6, 4)),
    ],
)
def test_losses_without_a_closed_form(loss, true_shape, pred_shape):
    shapes = tf.zeros(true_shape), tf.zeros(pred_shape)
    assert values_and_gradient_norms(loss, *shapes) is None


def test_subclass_has_no_closed_form():
    class Mine(MSE):
        def call(self, y_true, y_pred):
            return 2.0 * super().call(y_true, y_pred)

    assert values_and_gradient_norms(Mine(), *map(tf.constant, REGRESSION)) is None
