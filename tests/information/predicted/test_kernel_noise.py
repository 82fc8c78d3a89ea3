"""Noise that is added to deterministic and normal distributions."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import keras_metaloss as kml
from tests.helpers.information import predictions

tfd = tfp.distributions


mutual_information = kml.information.mutual_information


def test_gradient_is_zero_along_scaling_of_values():
    probs, loc, _ = predictions(rows=12)
    x = tf.Variable(loc)
    with tf.GradientTape() as tape:
        value = mutual_information(tfd.Categorical(probs=probs), tfd.Deterministic(x))
    gradient = tape.gradient(value, x)
    assert np.abs(gradient).max() > 1e-3
    assert float(tf.tensordot(gradient, x, 1)) == pytest.approx(0, abs=1e-7)


def test_constant_values_have_zero_information():
    probs, *_ = predictions(rows=6)
    x = tf.Variable(np.full(6, 3.0, "float32"))
    with tf.GradientTape() as tape:
        a = tfd.Categorical(probs=probs.astype("float32"))
        value = mutual_information(a, tfd.Deterministic(x))
    assert float(value) == pytest.approx(0, abs=1e-6)
    assert np.isfinite(tape.gradient(value, x)).all()


def test_deterministic_values_use_silverman_bandwidth():
    probs, loc, _ = predictions(rows=20)
    loc = loc.astype("float32")
    a = tfd.Categorical(probs=probs.astype("float32"))
    width = 1.06 * loc.std() * 20**-0.2
    value = float(mutual_information(a, tfd.Deterministic(loc)))
    expected = float(mutual_information(a, tfd.Normal(loc, width)))
    assert value == pytest.approx(expected, abs=1e-6)
    column = tfd.VectorDeterministic(loc[:, np.newaxis])
    assert float(mutual_information(a, column)) == pytest.approx(expected, abs=1e-6)
    wider = float(mutual_information(a, tfd.Normal(loc, 0.3), bandwidth=0.4))
    assert wider == pytest.approx(
        float(mutual_information(a, tfd.Normal(loc, 0.5))), abs=1e-6
    )
