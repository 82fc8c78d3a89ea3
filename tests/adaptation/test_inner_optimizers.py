"""Compares inner optimizers with the Keras optimizers of the same name."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import optimizers

from keras_metaloss.adaptation import inner_optimizers

schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)

OPTIMIZERS = {
    "sgd": lambda: optimizers.SGD(0.1),
    "sgd_schedule": lambda: optimizers.SGD(schedule),
    "momentum": lambda: optimizers.SGD(0.1, momentum=0.9),
    "nesterov": lambda: optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "sgd_decay": lambda: optimizers.SGD(0.1, weight_decay=0.2),
    "rmsprop": lambda: optimizers.RMSprop(0.1),
    "rmsprop_momentum": lambda: optimizers.RMSprop(0.1, momentum=0.5, epsilon=1e-3),
    "rmsprop_centered": lambda: optimizers.RMSprop(0.1, centered=True),
    "adam": lambda: optimizers.Adam(0.1),
    "adam_reptile": lambda: optimizers.Adam(0.1, beta_1=0.0),
    "adamw": lambda: optimizers.AdamW(0.1, weight_decay=0.1),
    "clipnorm": lambda: optimizers.SGD(0.1, clipnorm=0.5),
    "clipvalue": lambda: optimizers.Adam(0.1, clipvalue=0.3),
    "global_clipnorm": lambda: optimizers.SGD(0.1, global_clipnorm=0.7),
}


def descended(optimizer, start, gradients_of, steps):
    inner = inner_optimizers.from_keras(optimizer)
    weights = [tf.constant(w) for w in start]
    state = inner.init(weights)
    for _ in range(steps):
        updates, state = inner.update(gradients_of(weights), state, weights)
        weights = [w + u for w, u in zip(weights, updates, strict=True)]
    return weights


def curved(weights):
    """Returns the gradients of `sum w^4 / 4 - w`."""
    return [w**3 - 1.0 for w in weights]


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_steps_match_keras(name):
    rng = np.random.default_rng(0)
    start = [rng.normal(size=shape).astype("float32") for shape in ((3, 2), (4,), ())]
    optimizer = OPTIMIZERS[name]()
    variables = [keras.Variable(w) for w in start]
    for _ in range(6):
        gradients = curved([v.value for v in variables])
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
    actual = descended(OPTIMIZERS[name](), start, curved, 6)
    for a, v in zip(actual, variables, strict=True):
        np.testing.assert_allclose(a, v.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_gradient_through_steps_is_finite_at_zero(name):
    start = tf.constant([0.0, 1.0])
    with tf.GradientTape() as tape:
        tape.watch(start)
        (end,) = descended(
            OPTIMIZERS[name](), [start], lambda weights: [3.0 * w for w in weights], 2
        )
        total = tf.reduce_sum(end)
    assert np.isfinite(tape.gradient(total, start)).all()


@pytest.mark.parametrize("name", ["momentum", "rmsprop", "adam", "adamw", "clipnorm"])
def test_gradient_through_steps_matches_finite_differences(name):
    start = np.array([0.7, -1.2, 0.3])

    def end(value):
        (weights,) = descended(OPTIMIZERS[name](), [value], curved, 3)
        return tf.reduce_sum(weights**2)

    x = tf.constant(start)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = end(x)
    actual = tape.gradient(value, x)
    step = 1e-6
    expected = [
        (end(start + step * e) - end(start - step * e)) / (2 * step) for e in np.eye(3)
    ]
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "optimizer",
    [
        optimizers.Adagrad(),
        optimizers.Adam(amsgrad=True),
        optimizers.SGD(use_ema=True),
        optimizers.SGD(gradient_accumulation_steps=2),
        "adam",
    ],
)
def test_unsupported_optimizers_raise_value_error(optimizer):
    with pytest.raises(ValueError, match="`optimizer`"):
        inner_optimizers.from_keras(optimizer)


FUNCTIONS = {
    "sgd": (
        inner_optimizers.sgd(0.1, 0.9, nesterov=True),
        optimizers.SGD(0.1, 0.9, True),
    ),
    "rmsprop": (
        inner_optimizers.rmsprop(0.1, rho=0.8, centered=True),
        optimizers.RMSprop(0.1, rho=0.8, centered=True),
    ),
    "adam": (inner_optimizers.adam(0.1, beta_1=0.5), optimizers.Adam(0.1, beta_1=0.5)),
    "adamw": (
        inner_optimizers.adamw(0.1, weight_decay=0.2),
        optimizers.AdamW(0.1, weight_decay=0.2),
    ),
    "clipped": (
        inner_optimizers.clipped(inner_optimizers.sgd(0.1), clipnorm=0.3),
        optimizers.SGD(0.1, clipnorm=0.3),
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_match_keras(name):
    ours, theirs = FUNCTIONS[name]
    assert isinstance(ours, inner_optimizers.InnerOptimizer)
    start = np.random.default_rng(0).normal(size=(3, 2)).astype("float32")
    weights, variable = [tf.constant(start)], keras.Variable(start)
    state = ours.init(weights)
    for _ in range(5):
        updates, state = ours.update([weights[0] ** 3 - 1], state, weights)
        weights = [w + u for w, u in zip(weights, updates, strict=True)]
        theirs.apply_gradients([(variable.value**3 - 1, variable)])
    np.testing.assert_allclose(weights[0], variable.numpy(), rtol=1e-4, atol=1e-5)
