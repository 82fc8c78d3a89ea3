"""Missing labels and the first examples of models with a trained loss."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from keras_metaloss.models._shared.first_rows import first_rows
from tests.helpers.adaptive_loss_models import linear_network, regression_data

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def evaluated(network, loss, x, y, metrics=None):
    model = kml.AdaptiveLossModel(network)
    model.compile("sgd", loss, metrics=metrics)
    return model.evaluate(x, y, verbose=0, return_dict=True)


def with_gaps(count=9):
    x, y = regression_data(count)
    known = np.arange(count) % 3 != 1
    return x, np.where(known[:, None], y, np.nan).astype("float32"), known


LOSSES = {
    "mse": lambda: "mse",
    "function": lambda: lambda y, p: keras.ops.mean(keras.ops.abs(y - p), axis=-1),
    "robust": kml.losses.AdaptiveRobustLoss,
    **{
        f"{gradient}_{alpha}": lambda g=gradient, a=alpha: kml.losses.AdaLoss(
            "mse", g, a
        )
        for gradient in ("output", "last_layer", "parameters")
        for alpha in ("standardized", "cosine")
    },
}


@pytest.mark.parametrize("name", LOSSES)
def test_missing_targets_do_not_count(name):
    x, y, known = with_gaps()
    metrics = ["mae", keras.metrics.RootMeanSquaredError(name="rmse")]
    network = linear_network()
    some = evaluated(network, LOSSES[name](), x, y, metrics)
    metrics = ["mae", keras.metrics.RootMeanSquaredError(name="rmse")]
    only = evaluated(network, LOSSES[name](), x[known], y[known], metrics)
    assert some == pytest.approx(only, rel=1e-5)


def test_missing_labels_do_not_count():
    x, _ = regression_data(9)
    y = np.array([0, 1, -1, 1, 1, -1, 0, 0, -1])
    network = linear_network()
    focal = kml.losses.SparseCategoricalFocalLoss("learned", from_logits=True)
    for loss in (CROSS_ENTROPY, focal):
        some = evaluated(network, loss, x, y, ["accuracy"])
        floats = np.where(y < 0, np.nan, y).astype("float32")
        assert evaluated(network, loss, x, floats, ["accuracy"]) == some
        only = evaluated(network, loss, x[y >= 0], y[y >= 0], ["accuracy"])
        assert some == pytest.approx(only, rel=1e-5)


def test_missing_labels_of_several_outputs():
    x, y, known = with_gaps()
    inputs = keras.Input((3,))
    dense = keras.layers.Dense(2)(inputs)
    network = keras.Model(inputs, {"a": dense, "b": 2 * dense})
    metrics = {"a": ["mae"], "b": ["mae"]}
    targets = {"a": y, "b": np.nan_to_num(y)}
    logs = evaluated(network, {"a": "mse", "b": "mse"}, x, targets, metrics)
    outputs = network.predict(x, verbose=0)
    errors = {name: outputs[name] - target for name, target in targets.items()}
    assert logs["a_mae"] == pytest.approx(np.abs(errors["a"][known]).mean(), rel=1e-5)
    assert logs["b_mae"] == pytest.approx(np.abs(errors["b"]).mean(), rel=1e-5)
    expected = np.mean(errors["a"][known] ** 2) + np.mean(errors["b"] ** 2)
    assert logs["loss"] == pytest.approx(expected, rel=1e-5)


def test_training_with_missing_targets_stays_finite():
    x, y, _ = with_gaps()
    model = kml.AdaptiveLossModel(linear_network())
    loss = kml.losses.AdaptiveRobustLoss()
    model.compile(keras.optimizers.Adam(0.05), loss, metrics=["mae"])
    history = model.fit(x, y, epochs=5, verbose=0).history
    assert np.isfinite(list(history.values())).all()
    assert history["loss"][-1] < history["loss"][0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.nan}, "`x`.*finite"),
        ({"y": np.full((7, 2), np.inf)}, "`y`.*NaN if missing"),
        ({"y": np.full(7, 2), "loss": CROSS_ENTROPY}, "`y`.*less than 2"),
        ({"y": np.full(7, 0.5), "loss": CROSS_ENTROPY}, "`y`.*integer labels"),
        ({"y": np.zeros((7, 3))}, r"`y`.*\(7, 3\).*\(7, 2\)"),
    ],
)
def test_fit_validates_the_first_examples(change, message):
    x, y = regression_data()
    x[2] = change.get("x", x[2])
    y = change.get("y", y)
    loss = change.get("loss", "mse")
    model = kml.AdaptiveLossModel(linear_network())
    model.compile("sgd", loss)
    with pytest.raises(ValueError, match=message):
        model.fit(x, y, verbose=0)


def test_checks_do_not_change_the_state_of_layers():
    results = []
    for wrap in (lambda network: network, kml.AdaptiveLossModel):
        inputs = keras.Input((3,))
        network = keras.Model(inputs, keras.layers.Dense(2)(_Noise()(inputs)))
        network.layers[-1].kernel.assign(np.ones((3, 2)))
        model = wrap(network)
        model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
        model.fit(*regression_data(), verbose=0)
        results.append([v.numpy() for v in network.variables])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


class _Noise(keras.layers.Layer):
    """Adds noise in training and inference."""

    def __init__(self):
        super().__init__()
        self.generator = keras.random.SeedGenerator(3)

    def call(self, inputs):
        shape = keras.ops.shape(inputs)
        return inputs + keras.random.normal(shape, seed=self.generator)


def test_models_without_targets_and_with_other_structures():
    x, y = regression_data()
    inputs = keras.Input((3,))
    dense = keras.layers.Dense(2, activity_regularizer="l2", name="first")(inputs)
    model = kml.AdaptiveLossModel(keras.Model(inputs, dense))
    model.compile("sgd")
    assert np.isfinite(model.fit(x, verbose=0).history["loss"]).all()
    second = keras.layers.Dense(2, name="second")(inputs)
    model = kml.AdaptiveLossModel(keras.Model(inputs, [dense, second]))
    model.compile("sgd", ["mse", "mse"], metrics=[["mae"], ["mae"]])
    assert np.isfinite(list(model.fit(x, [y, y], verbose=0).history.values())).all()


def test_ragged_inputs_are_not_validated():
    ragged = tf.ragged.constant([[1.0, 2.0], [3.0]] * 4)
    data = tf.data.Dataset.from_tensor_slices((ragged, np.ones((8, 1)))).batch(4)
    assert first_rows(data, None) is None
    assert first_rows(data.take(0), None) is None


def test_wrapper_has_inputs_and_outputs_of_the_model():
    network = linear_network()
    model = kml.AdaptiveLossModel(network)
    assert [tuple(entry.shape) for entry in model.inputs] == [(None, 3)]
    assert [tuple(output.shape) for output in model.outputs] == [(None, 2)]
