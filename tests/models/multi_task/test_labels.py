"""Missing labels, masks and sample weights of `MultiTaskModel`."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_metaloss as kml
from tests.helpers.multi_task_models import TASKS, batch, losses, network
from tests.helpers.weightings import WEIGHTINGS

WEIGHTED_MEAN = "mean_with_sample_weight"


def evaluated(model, x, y, size=12, **arguments):
    return model.evaluate(
        x, y, batch_size=size, verbose=0, return_dict=True, **arguments
    )


def model_of(loss, weighting=None, **metrics):
    keras.utils.set_random_seed(1)
    model = kml.MultiTaskModel(network(), weighting)
    model.compile(keras.optimizers.SGD(0.1), loss, **metrics)
    return model


def partly_labeled(size=40):
    """Returns a batch with labels of `kind` and `size` that are missing unevenly."""
    x, y = batch(size)
    y["kind"][5:] = np.where(np.arange(size - 5) % 3, -1, y["kind"][5:])
    y["size"][7:20] = np.nan
    return x, y


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", WEIGHTED_MEAN])
def test_missing_labels_do_not_count(reduction):
    x, y = partly_labeled()
    mse = keras.losses.MeanSquaredError(reduction=reduction)
    metrics = {"kind": ["accuracy"], "size": ["mae", "r2_score"]}
    model = model_of({**losses(), "size": mse}, metrics=metrics)
    logs = evaluated(model, x, y, 40)
    outputs = model.predict(x, verbose=0)
    known = y["kind"] >= 0
    kind = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    assert logs["kind_loss"] == pytest.approx(
        float(kind(y["kind"][known], outputs["kind"][known])), rel=1e-5
    )
    hits = outputs["kind"].argmax(axis=1) == y["kind"]
    assert logs["kind_accuracy"] == pytest.approx(hits[known].mean())
    true = y["size"][~np.isnan(y["size"])]
    error = (outputs["size"] - y["size"])[~np.isnan(y["size"])]
    assert logs["size_loss"] == pytest.approx(np.mean(error**2), rel=1e-5)
    assert logs["size_mae"] == pytest.approx(np.abs(error).mean(), rel=1e-5)
    assert logs["size_r2_score"] == pytest.approx(
        1 - np.sum(error**2) / np.sum((true - true.mean()) ** 2), rel=1e-4
    )


def test_missing_labels_have_no_gradient():
    x, y = partly_labeled()
    known = ~np.isnan(y["size"])[:, 0] & (y["kind"] >= 0)
    y["kind"][~known], y["size"][~known], y["sign"][~known] = -1, np.nan, np.nan
    some, only = model_of(losses()), model_of(losses())
    for _ in range(2):
        some.train_on_batch(x, y)
        only.train_on_batch(x[known], {name: v[known] for name, v in y.items()})
    for a, b in zip(some.get_weights(), only.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("method", ["equal", "uncertainty", "gls", "pcgrad"])
def test_evaluation_does_not_depend_on_the_batch_size(method):
    x, y = partly_labeled()
    y["sign"][:] = np.where(np.arange(40)[:, None] < 36, y["sign"], np.nan)
    model = model_of(losses(), WEIGHTINGS[method](TASKS), metrics={"size": ["mae"]})
    expected = evaluated(model, x, y, 40)
    for size in (16, 3):
        assert evaluated(model, x, y, size) == pytest.approx(expected, rel=1e-4)
    history = model.fit(x, y, batch_size=16, validation_data=(x, y), verbose=0).history
    expected = evaluated(model, x, y, 40)
    for name, value in expected.items():
        assert history[f"val_{name}"][0] == pytest.approx(value, rel=1e-4), name


def test_weighted_means_do_not_depend_on_the_batch_size():
    x, y = batch(40)
    weights = {task: np.ones(40) for task in TASKS}
    weights["size"] = (np.arange(40) < 9) * np.arange(1.0, 41)
    mse = keras.losses.MeanSquaredError(reduction=WEIGHTED_MEAN)
    model = model_of({**losses(), "size": mse})
    errors = ((model.predict(x, verbose=0)["size"] - y["size"]) ** 2)[:, 0]
    for size in (40, 16):
        logs = evaluated(model, x, y, size, sample_weight=weights)
        expected = np.average(errors, weights=weights["size"])
        assert logs["size_loss"] == pytest.approx(expected, rel=1e-5)
        parts = [logs[f"{task}_loss"] for task in TASKS]
        assert logs["loss"] == pytest.approx(sum(parts), rel=1e-5)


def test_weights_of_vector_entries_raise():
    """Keras would broadcast weights `[N, D]` silently if N equals D."""
    x, y = batch(1)
    model = model_of({"size": "mse", "sign": "mse"})
    weights = {"size": np.ones((1, 2)), "sign": np.ones(1), "kind": np.ones(1)}
    with pytest.raises(ValueError, match="`sample_weight`.*per value of the loss"):
        model.evaluate(x, y, sample_weight=weights, verbose=0)


def test_independent_labels_with_gaps():
    """Entries of a vector are missing one by one if they are labels of their own."""
    rng = np.random.default_rng(0)
    x, known = rng.normal(size=(16, 4)), rng.random((16, 30)) < 0.6
    targets = np.where(known, rng.random((16, 30)) < 0.5, np.nan)
    inputs = keras.Input((4,))
    logits = keras.layers.Dense(30)(inputs)
    columns = keras.layers.Reshape((30, 1))(logits)
    model = kml.MultiTaskModel(keras.Model(inputs, {"each": columns, "all": logits}))
    binary = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile("sgd", {"each": binary, "all": binary})
    logs = evaluated(model, x, {"each": targets[..., None], "all": targets}, 5)
    z = model.predict(x, verbose=0)["all"]
    losses = np.logaddexp(0, z) - np.nan_to_num(targets) * z
    assert logs["each_loss"] == pytest.approx(losses[known].mean(), rel=1e-5)
    # Each of the vectors has a missing entry.
    assert logs["all_loss"] == 0.0


def test_padded_time_steps_do_not_count():
    rng = np.random.default_rng(0)
    steps = np.arange(5) < np.arange(8)[:, None] % 3 + 2
    x = rng.normal(size=(8, 5, 3)).astype("float32") * steps[..., None]
    inputs = keras.Input((5, 3))
    hidden = keras.layers.Masking()(inputs)
    net = keras.Model(
        inputs, {"a": keras.layers.Dense(1)(hidden), "b": keras.layers.Dense(1)(hidden)}
    )
    y = {
        "a": np.where(steps, rng.normal(size=(8, 5)), 1000.0)[..., None],
        "b": np.where(steps, rng.random((8, 5)) < 0.5, 1.0)[..., None],
    }
    y["a"][0, 0] = np.nan
    model = kml.MultiTaskModel(net)
    binary = keras.losses.BinaryCrossentropy(from_logits=True)
    precision = keras.metrics.Precision(0, name="precision")
    model.compile("sgd", {"a": "mse", "b": binary}, metrics={"b": [precision]})
    weights = np.arange(8.0)
    outputs = model.predict(x, verbose=0)
    known = steps & ~np.isnan(y["a"][..., 0])
    squares = (outputs["a"] - y["a"])[..., 0] ** 2 * weights[:, None]
    positive, true = outputs["b"][steps] > 0, y["b"][steps] > 0
    for size in (8, 3):
        logs = evaluated(model, x, y, size, sample_weight=weights)
        assert logs["a_loss"] == pytest.approx(squares[known].sum() / known.sum())
        assert logs["b_precision"] == pytest.approx(np.mean(true[positive]))


def test_masks_of_an_output_used_twice_are_separate():
    x = np.ones((4, 1), "float32")
    inputs = keras.Input((1,))
    output = keras.layers.Dense(1, kernel_initializer="ones")(inputs)
    model = kml.MultiTaskModel(keras.Model(inputs, {"a": output, "b": output}))
    model.compile("sgd", {"a": "mse", "b": "mae"})
    y = {
        "a": np.array([[3.0], [np.nan], [np.nan], [np.nan]]),
        "b": np.array([[np.nan], [2.0], [4.0], [np.nan]]),
    }
    logs = evaluated(model, x, y)
    assert logs["a_loss"] == pytest.approx(4.0)
    assert logs["b_loss"] == pytest.approx(2.0)


def test_probabilities_keep_their_logits():
    """Keras computes cross-entropies of saturated sigmoids from the logits."""
    inputs = keras.Input((1,))
    ones = {"kernel_initializer": "ones"}
    sign = keras.layers.Dense(1, "sigmoid", **ones)(inputs)
    net = keras.Model(inputs, {"a": sign, "b": keras.layers.Dense(1, **ones)(inputs)})
    model = kml.MultiTaskModel(net)
    model.compile("sgd", {"a": "binary_crossentropy", "b": "mse"})
    x = np.full((2, 1), 40.0, "float32")
    logs = evaluated(model, x, {"a": np.zeros((2, 1)), "b": x})
    assert logs["a_loss"] == pytest.approx(40.0)
