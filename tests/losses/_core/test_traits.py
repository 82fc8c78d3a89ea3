"""Tests of the table of per-example Keras losses."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_metaloss.losses._core.standardize import FunctionLoss, standardize_loss
from keras_metaloss.losses._core.traits import KERAS_LOSSES, keras_function, traits_of

rng = np.random.default_rng(0)
CLASSES = {function: entry.cls for function, entry in KERAS_LOSSES.items()}
IDS = [cls.__name__ for cls in CLASSES.values()]


def batch(cls):
    y_pred = tf.nn.softmax(tf.constant(rng.normal(size=(6, 4)), tf.float32))
    labels = rng.integers(0, 4, 6)
    sparse = cls is keras.losses.SparseCategoricalCrossentropy
    return tf.constant(labels) if sparse else tf.one_hot(labels, 4), y_pred


@pytest.mark.parametrize(("function", "cls"), CLASSES.items(), ids=IDS)
def test_class_and_function_match(function, cls):
    y_true, y_pred = batch(cls)
    np.testing.assert_allclose(
        cls().call(y_true, y_pred), function(y_true, y_pred), rtol=1e-6
    )
    assert keras_function(standardize_loss("loss", function)) is function
    assert keras_function(cls()) is function


@pytest.mark.parametrize("cls", CLASSES.values(), ids=IDS)
def test_values_do_not_depend_on_other_examples(cls):
    y_true, y_pred = batch(cls)
    together = cls().call(y_true, y_pred)
    one_by_one = [cls().call(y_true[i : i + 1], y_pred[i : i + 1])[0] for i in range(6)]
    np.testing.assert_allclose(together, one_by_one, rtol=1e-6)


@pytest.mark.parametrize("loss", ["mse", "log_cosh", keras.losses.Huber()])
def test_per_example_losses_are_recognized(loss):
    assert traits_of(standardize_loss("loss", loss)).per_example


@pytest.mark.parametrize("loss", ["circle", "dice", keras.losses.Tversky(), max])
def test_other_losses_are_not_per_example(loss):
    assert not traits_of(standardize_loss("loss", loss)).per_example


def test_unhashable_callable_is_a_function_loss():
    class Mine:
        __hash__ = None

        def __call__(self, y_true, y_pred):
            return keras.ops.square(y_true - y_pred)

    loss = standardize_loss("loss", Mine())
    assert isinstance(loss, FunctionLoss)
    assert keras_function(loss) is None
