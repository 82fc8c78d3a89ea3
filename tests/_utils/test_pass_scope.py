"""Tests of scopes in which layers compute with other functions."""

from __future__ import annotations

import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_metaloss._utils.pass_scope import PassScope


def doubled(layer, inputs, training=None, mask=None):
    """Function that replaces the `call` of a layer."""
    return 2.0 * inputs


@pytest.fixture
def model():
    return keras.Sequential([keras.Input((2,)), keras.layers.BatchNormalization()])


def scope_of(model):
    return PassScope(model, calls={keras.layers.BatchNormalization: doubled})


def test_call_is_replaced_in_the_scope_only(model):
    x = np.ones((1, 2), "float32")
    before = model(x).numpy()
    with scope_of(model):
        np.testing.assert_array_equal(model(x), 2.0 * x)
    np.testing.assert_array_equal(model(x), before)


def test_other_threads_do_not_see_the_scope(model):
    x, results = np.ones((1, 2), "float32"), []
    expected = model(x).numpy()
    with scope_of(model):
        thread = threading.Thread(target=lambda: results.append(model(x).numpy()))
        thread.start()
        thread.join()
        np.testing.assert_array_equal(model(x), 2.0 * x)
    np.testing.assert_array_equal(results[0], expected)


def test_scope_of_another_call_is_restored_after_an_error(model):
    x = np.ones((1, 2), "float32")
    expected = model(x).numpy()
    with pytest.raises(RuntimeError), scope_of(model):
        raise RuntimeError
    np.testing.assert_array_equal(model(x), expected)


def test_modules_of_keras_are_not_changed():
    model = keras.Sequential(
        [
            keras.Input((4, 4, 2)),
            keras.layers.Conv2D(2, 3),
            keras.layers.LayerNormalization(),
            keras.layers.GroupNormalization(1),
        ]
    )
    backend = keras.src.backend
    before = (backend.numpy.add, backend.nn.moments, keras.src.ops.nn.moments)
    with PassScope(model, plain_bias=True):
        model(tf.ones([1, 4, 4, 2]))
        inside = (backend.numpy.add, backend.nn.moments, keras.src.ops.nn.moments)
    assert inside == before


def test_model_can_be_saved_after_a_pass(model, tmp_path):
    x = np.ones((1, 2), "float32")
    with scope_of(model):
        model(x)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x), model(x))
    copy = keras.models.clone_model(model)
    with scope_of(copy):
        np.testing.assert_array_equal(copy(x), 2.0 * x)
