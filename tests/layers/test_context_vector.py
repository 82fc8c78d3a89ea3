"""`ContextVector`: appended values, shapes and arguments."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_metaloss.layers import ContextVector


@pytest.mark.parametrize("shape", [(5, 3), (2, 6, 4, 3)])
def test_vector_is_appended_to_the_last_axis(shape):
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    layer = ContextVector(2)
    np.testing.assert_array_equal(layer(x)[..., 3:], np.zeros((*shape[:-1], 2)))
    layer.context.assign([1.5, -2.0])
    np.testing.assert_array_equal(layer(x)[..., :3], x)
    expected = np.broadcast_to([1.5, -2.0], (*shape[:-1], 2))
    np.testing.assert_array_equal(layer(x)[..., 3:], expected)
    assert layer.compute_output_shape(shape) == (*shape[:-1], 5)


def test_vector_is_saved_and_loaded(tmp_path):
    model = keras.Sequential([keras.Input((3,)), ContextVector(2)])
    model.layers[0].context.assign([1.0, 2.0])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = np.ones((4, 3), "float32")
    np.testing.assert_array_equal(loaded(x), model(x))


@pytest.mark.parametrize("units", [0, True, 1.5])
def test_invalid_units_raise(units):
    with pytest.raises(ValueError, match="`units`.*positive integer"):
        ContextVector(units)
