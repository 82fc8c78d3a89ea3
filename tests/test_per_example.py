"""The list of Keras's losses of single examples, against those losses."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_metaloss.as_loss import FunctionLoss, as_loss
from keras_metaloss.per_example import CLASS_OF_FUNCTION, LOSSES_PER_EXAMPLE

rng = np.random.default_rng(0)
PAIRS = CLASS_OF_FUNCTION.items()
IDS = [cls.__name__ for cls in LOSSES_PER_EXAMPLE]


def batch(cls):
    y_pred = tf.nn.softmax(tf.constant(rng.normal(size=(6, 4)), tf.float32))
    labels = rng.integers(0, 4, 6)
    sparse = cls is keras.losses.SparseCategoricalCrossentropy
    return tf.constant(labels) if sparse else tf.one_hot(labels, 4), y_pred


@pytest.mark.parametrize(("function", "cls"), PAIRS, ids=IDS)
def test_the_class_computes_what_the_function_does(function, cls):
    y_true, y_pred = batch(cls)
    found = as_loss("loss", function)
    assert type(found) is cls
    np.testing.assert_allclose(
        found.call(y_true, y_pred), function(y_true, y_pred), rtol=1e-6
    )


@pytest.mark.parametrize("cls", LOSSES_PER_EXAMPLE, ids=IDS)
def test_other_examples_do_not_matter(cls):
    y_true, y_pred = batch(cls)
    together = cls().call(y_true, y_pred)
    one_by_one = [cls().call(y_true[i : i + 1], y_pred[i : i + 1])[0] for i in range(6)]
    np.testing.assert_allclose(together, one_by_one, rtol=1e-6)


@pytest.mark.parametrize("name", ["mse", "log_cosh", "kl_divergence"])
def test_names(name):
    assert type(as_loss("loss", name)) in LOSSES_PER_EXAMPLE


@pytest.mark.parametrize("name", ["circle", "dice", "tversky"])
def test_functions_across_the_batch_stay_functions(name):
    assert type(as_loss("loss", name)) is FunctionLoss
