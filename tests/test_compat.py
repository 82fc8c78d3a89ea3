"""Tests of the replacements of private Keras functions."""

from __future__ import annotations

import subprocess
import sys

import keras
import pytest
import tensorflow as tf

from keras_metaloss import _compat


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize(
    ("activation", "expected"),
    [("softmax", True), ("sigmoid", True), ("relu", False), ("linear", False)],
)
def test_is_made_of_logits_detects_activations(activation, expected, traced):
    eager, found = tf.ones([3, 2]), []
    layer = keras.layers.Dense(2, activation)
    layer.build(eager.shape)

    def look():
        found.append(_compat.is_made_of_logits(layer(eager)))
        # Captured eager tensors have no operation in the graph.
        found.append(_compat.is_made_of_logits(eager))

    tf.function(look)() if traced else look()
    assert found == [expected, False]


def test_unsupported_backend_raises():
    code = """if True:
        import keras
        keras.backend.backend = lambda: "jax"
        try:
            import keras_metaloss
        except ImportError as error:
            assert isinstance(error, ValueError)
            raise
    """
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert result.returncode != 0
    assert "BackendError" in result.stderr and "KERAS_BACKEND" in result.stderr
    assert "Received: keras.backend.backend()='jax'" in result.stderr
