"""Gradients per example match a loop over examples."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.adaptive_loss_models import (
    ada_loss_model,
    dropout_network,
    linear_network,
    regression_data,
)

AdaLoss = kml.losses.AdaLoss


def gradients_one_by_one(model, x, y, variables):
    """Computes the flat gradient of each example's squared error in a loop."""
    rows = []
    for i in range(len(x)):
        with tf.GradientTape() as tape:
            error = y[i : i + 1] - model(x[i : i + 1], training=False)
            value = tf.reduce_mean(tf.square(error))
        found = tape.gradient(value, variables)
        rows.append(np.concatenate([np.asarray(g).ravel() for g in found]))
    return np.array(rows)


def expected_loss(model, x, y, rows, alpha="norm", sign=1.0):
    norms = np.linalg.norm(rows, axis=1)
    mean = rows.mean(axis=0)
    alphas = {
        "norm": norms,
        "standardized": (norms - norms.mean()) / norms.std(),
        "cosine": rows @ mean / norms / np.linalg.norm(mean),
    }[alpha]
    losses = ((y - model.predict(x, verbose=0)) ** 2).mean(axis=1)
    return (losses / (1 + np.exp(-sign * alphas))).mean()


@pytest.mark.parametrize("alpha", ["norm", "standardized", "cosine"])
def test_parameter_gradients_of_a_linear_model_in_closed_form(alpha):
    x, y = regression_data()
    model = ada_loss_model(
        linear_network(), gradient="parameters", alpha=alpha, chunk_size=3
    )
    error = model.predict(x, verbose=0) - y  # dL/dz of the mean over two outputs
    rows = (
        np.concatenate([x, np.ones((len(x), 1))], axis=1)[:, :, None] * error[:, None]
    )
    expected = expected_loss(model, x, y, rows.reshape(len(x), -1), alpha)
    assert model.evaluate(x, y, batch_size=7, verbose=0) == pytest.approx(
        expected, rel=1e-5
    )


@pytest.mark.parametrize("alpha", ["standardized", "cosine"])
@pytest.mark.parametrize("chunk_size", [1, 4, 7, 32])
def test_parameter_gradients_of_a_network(alpha, chunk_size):
    x, y = regression_data()
    model = ada_loss_model(
        dropout_network(), gradient="parameters", alpha=alpha, chunk_size=chunk_size
    )
    rows = gradients_one_by_one(model.model, x, y, model.model.trainable_variables)
    expected = expected_loss(model, x, y, rows, alpha)
    assert model.evaluate(x, y, batch_size=7, verbose=0) == pytest.approx(
        expected, rel=1e-5
    )


@pytest.mark.parametrize("alpha", ["norm", "cosine"])
@pytest.mark.parametrize("steps", [False, True])
def test_last_layer_gradients(alpha, steps):
    x, y = regression_data()
    inner = dropout_network()
    if steps:
        random = np.random.default_rng(3)
        x = random.normal(size=(5, 4, 3)).astype("float32")
        y = random.normal(size=(5, 4, 2)).astype("float32")
        inner = keras.Sequential(
            [
                keras.Input((4, 3)),
                keras.layers.Dense(4, "tanh"),
                keras.layers.Dense(2, use_bias=False),
            ]
        )
    model = ada_loss_model(inner, gradient="last_layer", alpha=alpha)
    rows = gradients_one_by_one(inner, x, y, inner.layers[-1].trainable_variables)
    losses = ((y - model.predict(x, verbose=0)) ** 2).reshape(len(x), -1).mean(axis=1)
    norms, mean = np.linalg.norm(rows, axis=1), rows.mean(axis=0)
    cosines = rows @ mean / norms / np.linalg.norm(mean)
    weight = 1 / (1 + np.exp(-(norms if alpha == "norm" else cosines)))
    assert model.evaluate(x, y, batch_size=7, verbose=0) == pytest.approx(
        (weight * losses).mean(), rel=1e-5
    )


@pytest.mark.parametrize("alpha", ["standardized", "cosine"])
def test_parameter_gradients_of_embedded_sequences(alpha):
    """The CPU kernel of some batched matrix products in TensorFlow is defective."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(1, 20, (6, 5)), rng.normal(size=(6, 5, 3))
    network = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            keras.layers.Embedding(20, 4, embeddings_initializer="glorot_uniform"),
            keras.layers.Dense(4, "tanh"),
            keras.layers.Dense(3),
        ]
    )
    model = kml.AdaptiveLossModel(network)
    loss = kml.losses.AdaLoss(keras.losses.MeanSquaredError(), "parameters", alpha)
    model.compile("sgd", loss)
    found = model.evaluate(x, y, verbose=0)
    gradients, values = [], []
    for i in range(6):
        with tf.GradientTape() as tape:
            error = tf.square(network(x[i : i + 1]) - y[i : i + 1].astype("float32"))
            value = tf.reduce_mean(error)
        parts = tape.gradient(value, network.trainable_variables)
        parts = [tf.reshape(tf.convert_to_tensor(g), [-1]) for g in parts]
        gradients.append(np.concatenate(parts))
        values.append(float(value))
    gradients = np.array(gradients)
    norms = np.linalg.norm(gradients, axis=1)
    mean = gradients.mean(axis=0)
    weights = (
        (norms - norms.mean()) / norms.std()
        if alpha == "standardized"
        else gradients @ mean / (norms * np.linalg.norm(mean))
    )
    expected = np.mean(np.array(values) / (1 + np.exp(-weights)))
    assert found == pytest.approx(expected, rel=1e-4)


def test_recurrent_layers_must_be_unrolled():
    x = np.random.default_rng(0).normal(size=(8, 5, 3)).astype("float32")
    for unroll in (False, True):
        network = keras.Sequential(
            [keras.Input((5, 3)), keras.layers.LSTM(4, unroll=unroll)]
        )
        model = kml.AdaptiveLossModel(network)
        model.compile(loss=AdaLoss("mse", gradient="parameters"))
        if unroll:
            history = model.fit(x, x[:, 0, :1], verbose=0).history
            assert np.isfinite(history["loss"]).all()
        else:
            with pytest.raises(ValueError, match="`unroll=True`.*lstm"):
                model.fit(x, x[:, 0, :1], verbose=0)


def test_unsupported_networks_raise():
    inputs = keras.Input((3,))
    heads = [keras.layers.Dense(2)(inputs), keras.layers.Dense(2)(inputs)]
    model = kml.AdaptiveLossModel(keras.Model(inputs, heads))
    model.compile(loss=[AdaLoss("mse", gradient="parameters"), "mse"])
    x, y = regression_data()
    with pytest.raises(ValueError, match="one output.*2 outputs"):
        model.fit(x, [y, y], verbose=0)
    inner = keras.Sequential([linear_network(), keras.layers.BatchNormalization()])
    with pytest.raises(ValueError, match="`Dense` layer as the last"):
        ada_loss_model(inner, gradient="last_layer").fit(x, y, verbose=0)
