"""`AdaptiveLossModel`: training, masks, frozen layers and replicas."""

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
from tests.helpers.joint_models import CROSS_ENTROPY


def sequences(loss, wrap=kml.AdaptiveLossModel):
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((None,)),
            keras.layers.Embedding(20, 4, mask_zero=True),
            keras.layers.Dense(3),
        ]
    )
    model = wrap(network)
    model.compile(keras.optimizers.SGD(0.1), loss)
    return model


@pytest.mark.parametrize(
    ("gradient", "alpha"),
    [
        ("output", "norm"),
        ("output", "standardized"),
        ("output", "cosine"),
        ("last_layer", "standardized"),
        ("last_layer", "cosine"),
        ("parameters", "standardized"),
        ("parameters", "cosine"),
    ],
)
@pytest.mark.parametrize("kind", ["classes", "values"])
def test_padding_does_not_change_the_loss(gradient, alpha, kind):
    random = np.random.default_rng(0)
    x = random.integers(1, 20, (6, 5))
    x[0, 3:] = 0
    if kind == "classes":
        loss, y = CROSS_ENTROPY, random.integers(0, 3, (6, 5))
    else:
        loss, y = keras.losses.MeanSquaredError(), random.normal(size=(6, 5, 3))
    model = sequences(kml.losses.AdaLoss(loss, gradient, alpha))
    values = []
    for length in (0, 7):
        padding = [(0, 0), (0, length)]
        longer = np.pad(y, padding + [(0, 0)] * (y.ndim - 2), constant_values=2)
        values.append(model.evaluate(np.pad(x, padding), longer, verbose=0))
    assert values[1] == pytest.approx(values[0], rel=1e-5)


def test_frozen_network_has_zero_gradients():
    model = sequences(kml.losses.AdaLoss(CROSS_ENTROPY, "parameters"))
    x, y = np.ones((4, 3), int), np.zeros((4, 3), int)
    expected = 0.5 * sequences(CROSS_ENTROPY).evaluate(x, y, verbose=0)
    model.trainable = False
    assert model.evaluate(x, y, verbose=0) == pytest.approx(expected, rel=1e-6)


def test_freezing_the_last_layer_does_not_change_the_loss():
    model = sequences(kml.losses.AdaLoss(CROSS_ENTROPY, "last_layer"))
    x, y = np.ones((4, 3), int), np.zeros((4, 3), int)
    expected = model.evaluate(x, y, verbose=0)
    model.model.layers[-1].trainable = False
    assert model.evaluate(x, y, verbose=0) == pytest.approx(expected, rel=1e-6)


LOSSES = {
    "focal": lambda: kml.losses.SparseCategoricalFocalLoss(from_logits=True),
    "focal_learned": lambda: kml.losses.SparseCategoricalFocalLoss(
        "learned", from_logits=True
    ),
    "robust": lambda: kml.losses.AdaptiveRobustLoss([1.0, 1.0, 1.0]),
    "ada": lambda: kml.losses.AdaLoss("mse"),
    "ada_last_layer": lambda: kml.losses.AdaLoss("mse", gradient="last_layer"),
    "ada_parameters": lambda: kml.losses.AdaLoss("mse", gradient="parameters"),
    "binary_focal": lambda: kml.losses.BinaryFocalLoss(from_logits=True),
    "categorical_focal": lambda: kml.losses.CategoricalFocalLoss(from_logits=True),
    "contrastive": lambda: kml.losses.ContrastiveLoss(),
    "triplet": lambda: kml.losses.TripletLoss(mining="hard"),
    "n_pair": lambda: kml.losses.NPairLoss(),
    "multi_similarity": lambda: kml.losses.MultiSimilarityLoss(),
    "ada_standardized": lambda: kml.losses.AdaLoss("mse", alpha="standardized"),
    "ada_cosine": lambda: kml.losses.AdaLoss("mse", alpha="cosine"),
}
# These losses compare the examples of a replica, so both replicas get equal batches.
WITHIN_A_REPLICA = {
    *("contrastive", "triplet", "n_pair", "multi_similarity"),
    *("ada_standardized", "ada_cosine"),
}


def weights_after_training(name, strategy, run_eagerly):
    with strategy.scope():
        keras.utils.set_random_seed(0)
        network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
        model = kml.AdaptiveLossModel(network)
        model.compile(
            optimizer=keras.optimizers.SGD(0.1),
            loss=LOSSES[name](),
            run_eagerly=run_eagerly,
        )
    random = np.random.default_rng(0)
    x = random.normal(size=(8, 3)).astype("float32")
    y = np.array([0, 1, 2, 0, 1, 0, 2, 1])
    if name == "robust" or name.startswith("ada"):
        y = random.normal(size=(8, 3)).astype("float32")
    elif name in ("binary_focal", "categorical_focal"):
        y = np.eye(3, dtype="float32")[y]
    if name in WITHIN_A_REPLICA:
        halves = strategy.num_replicas_in_sync
        x, y = (np.concatenate([values[:4]] * halves) for values in (x, y))
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
    history = model.fit(data, epochs=2, shuffle=False, verbose=0).history["loss"]
    return [np.array(history), *model.get_weights()]


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_two_replicas_match_one(name, mirrored):
    one = weights_after_training(name, tf.distribute.get_strategy(), run_eagerly=True)
    two = weights_after_training(name, mirrored, run_eagerly=False)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(b, a, rtol=0, atol=1e-5)


def test_loss_created_outside_of_the_scope_raises(mirrored):
    loss = kml.losses.AdaptiveRobustLoss()
    with mirrored.scope():
        network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
        model = kml.AdaptiveLossModel(network)
        model.compile(optimizer="sgd", loss=loss)
    data = tf.data.Dataset.from_tensors((np.ones((8, 3)), np.ones((8, 3))))
    with pytest.raises(ValueError, match=r"`loss`.*`strategy.scope\(\)`"):
        model.fit(data, shuffle=False, verbose=0)


AdaLoss = kml.losses.AdaLoss


@pytest.mark.parametrize("gradient", ["output", "last_layer", "parameters"])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_weights_are_constants_in_the_gradient(gradient, jit_compile):
    x, y = regression_data()
    model = ada_loss_model(linear_network(), gradient=gradient, jit_compile=jit_compile)
    before = [w.copy() for w in model.get_weights()]
    error = model.predict(x, verbose=0) - y
    if gradient == "output":
        norms = np.linalg.norm(error, axis=1)
    else:
        norms = np.linalg.norm(error, axis=1) * np.sqrt((x**2).sum(axis=1) + 1)
    weighted = error / (1 + np.exp(-norms))[:, None] / len(x)
    model.train_on_batch(x, y)
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(before[0] - kernel, 0.1 * x.T @ weighted, rtol=2e-4)
    np.testing.assert_allclose(before[1] - bias, 0.1 * weighted.sum(axis=0), rtol=2e-4)


@pytest.mark.parametrize("gradient", ["last_layer", "parameters"])
def test_model_trains_and_reloads(gradient, tmp_path):
    x, y = regression_data(32)
    model = ada_loss_model(
        dropout_network(dropout=0.3),
        gradient=gradient,
        alpha="standardized",
        direction="easy",
    )
    losses = model.fit(x, y, batch_size=8, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)


def test_parameters_of_the_wrapped_loss_are_trained():
    x, y = regression_data(32)
    model = kml.AdaptiveLossModel(linear_network())
    loss = AdaLoss(kml.losses.AdaptiveRobustLoss(), gradient="parameters")
    model.compile(optimizer=keras.optimizers.Adam(0.05), loss=loss)
    model.fit(x, y, verbose=0)
    assert loss.loss.scale != pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("gradient", ["output", "last_layer", "parameters"])
@pytest.mark.parametrize("run_eagerly", [False, True])
def test_added_losses_of_layers_are_included(gradient, run_eagerly):
    class Penalty(keras.layers.Layer):
        def call(self, x):
            self.add_loss(100.0 + 0.0 * tf.reduce_mean(x))
            return x

    plain = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    added = keras.Sequential([keras.Input((3,)), Penalty(), *plain.layers])
    losses = []
    for layers in (plain, added):
        model = kml.AdaptiveLossModel(layers)
        loss = AdaLoss("mse", gradient=gradient)
        model.compile(keras.optimizers.SGD(0.0), loss, run_eagerly=run_eagerly)
        x, y = np.ones((4, 3)), np.ones((4, 2))
        losses.append([model.train_on_batch(x, y), model.test_on_batch(x, y)])
    np.testing.assert_allclose(np.array(losses[0]) + 100.0, losses[1], rtol=1e-5)
