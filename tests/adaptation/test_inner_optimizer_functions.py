"""Inner optimizers called as functions take the steps of Keras's optimizers."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_metaloss.adaptation import inner_optimizers as inner

OPTIMIZERS = {
    "sgd": (inner.sgd(0.1, 0.9, nesterov=True), keras.optimizers.SGD(0.1, 0.9, True)),
    "rmsprop": (
        inner.rmsprop(0.1, rho=0.8, centered=True),
        keras.optimizers.RMSprop(0.1, rho=0.8, centered=True),
    ),
    "adam": (inner.adam(0.1, beta_1=0.5), keras.optimizers.Adam(0.1, beta_1=0.5)),
    "adamw": (
        inner.adamw(0.1, weight_decay=0.2),
        keras.optimizers.AdamW(0.1, weight_decay=0.2),
    ),
    "clipped": (
        inner.clipped(inner.sgd(0.1), clipnorm=0.3),
        keras.optimizers.SGD(0.1, clipnorm=0.3),
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_match_keras(name):
    ours, theirs = OPTIMIZERS[name]
    assert isinstance(ours, inner.InnerOptimizer)
    start = np.random.default_rng(0).normal(size=(3, 2)).astype("float32")
    weights, variable = [tf.constant(start)], keras.Variable(start)
    state = ours.init(weights)
    for _ in range(5):
        updates, state = ours.update([weights[0] ** 3 - 1], state, weights)
        weights = [w + u for w, u in zip(weights, updates, strict=True)]
        theirs.apply_gradients([(variable.value**3 - 1, variable)])
    np.testing.assert_allclose(weights[0], variable.numpy(), rtol=1e-4, atol=1e-5)
