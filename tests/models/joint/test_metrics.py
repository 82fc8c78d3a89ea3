"""Metrics of `JointModel` with missing labels."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow_probability as tfp

import keras_metaloss as kml
from tests.helpers.joint_models import CROSS_ENTROPY, data, joint_model, network

Loss = kml.losses.MutualInformationLoss


def test_missing_labels_in_fit_and_metrics():
    x, y = data("logits", "value")
    y["a"][::2] = -1
    y["b"][5:15] = np.nan
    model = joint_model(metrics={"a": ["accuracy"], "b": ["mae"]}, beta=0)
    logs = model.evaluate(x, y, batch_size=7, verbose=0, return_dict=True)
    outputs = model.predict(x, verbose=0)
    known = y["a"] >= 0
    assert logs["a_accuracy"] == pytest.approx(
        np.mean(outputs["a"].argmax(axis=1)[known] == y["a"][known]), abs=1e-6
    )
    error = (outputs["b"][:, 0] - y["b"])[~np.isnan(y["b"])]
    assert logs["b_mae"] == pytest.approx(np.abs(error).mean(), abs=1e-5)
    assert logs["loss_b"] == pytest.approx(np.square(error).mean(), abs=1e-5)
    history = model.fit(x, y, epochs=2, verbose=0).history
    assert np.isfinite(list(history.values())).all()


def test_metrics_of_partly_missing_labels():
    """A vector with a missing entry is ignored; pixels are ignored separately."""
    images = np.random.default_rng(0).normal(size=(6, 4, 4, 1)).astype("float32")
    pixels, vectors = keras.Input((4, 4, 1)), keras.Input((4, 4, 1))
    classes = keras.layers.Conv2D(3, 1)(pixels)
    box = keras.layers.Dense(2)(keras.layers.Flatten()(vectors))
    model = kml.JointModel(
        {"a": keras.Model(pixels, classes), "b": keras.Model(vectors, box)}
    )
    kinds = {"a": lambda z: tfp.distributions.Categorical(logits=z[:, 0, 0])}
    losses = {"a": CROSS_ENTROPY, "b": "mse"}
    model.compile(
        loss=Loss(losses, beta=0, output_kinds=kinds),
        metrics={"a": ["accuracy"], "b": ["mae"]},
        weighted_metrics={"a": ["accuracy"]},
    )
    y = {
        "a": np.random.default_rng(1).integers(0, 3, (6, 4, 4)),
        "b": np.random.default_rng(2).normal(size=(6, 2)),
    }
    y["a"][:, :2, 1:] = -1
    y["b"][1, 0] = y["b"][2] = np.nan
    weights = np.arange(6.0)
    logs = model.evaluate(
        images, y, sample_weight=weights, batch_size=6, verbose=0, return_dict=True
    )
    outputs = model.predict(images, verbose=0)
    known = y["a"] >= 0
    hits = outputs["a"].argmax(axis=-1) == y["a"]
    assert logs["a_accuracy"] == pytest.approx(hits[known].mean(), abs=1e-6)
    shares = known * weights[:, np.newaxis, np.newaxis]
    assert logs["a_weighted_accuracy"] == pytest.approx(
        (hits * shares).sum() / shares.sum(), abs=1e-6
    )
    model.make_test_function(force=True)
    columns = model.evaluate(
        images,
        y,
        sample_weight=weights[:, np.newaxis],
        batch_size=6,
        verbose=0,
        return_dict=True,
    )
    assert columns == pytest.approx(logs)
    errors = np.abs(outputs["b"] - y["b"]).mean(axis=1)
    assert logs["b_mae"] == pytest.approx(np.nanmean(errors), abs=1e-5)


def padded_sequences():
    """Returns a joint model of padded sequences with 1000 as the padded targets."""
    rng = np.random.default_rng(0)
    steps = np.arange(5) < np.arange(8)[:, None] % 3 + 2
    x = rng.normal(size=(8, 5, 3)).astype("float32") * steps[..., None]

    def network(units):
        inputs = keras.Input((5, 3))
        kernel = keras.initializers.GlorotUniform(units)
        layer = keras.layers.Dense(units, kernel_initializer=kernel)
        return keras.Model(inputs, layer(keras.layers.Masking()(inputs)))

    y = {
        "a": np.where(steps, rng.integers(0, 3, (8, 5)), 0),
        "b": np.where(steps, rng.normal(size=(8, 5)), 1000.0)[..., None],
        "c": np.where(steps, rng.random((8, 5)) < 0.5, 1.0)[..., None],
    }
    networks = {"a": network(3), "b": network(1), "c": network(1)}
    return kml.JointModel(networks), x, y, steps


def test_masked_steps_do_not_count_in_any_metric():
    model, x, y, steps = padded_sequences()
    losses = {
        "a": CROSS_ENTROPY,
        "b": "mse",
        "c": keras.losses.BinaryCrossentropy(from_logits=True),
    }
    metrics = {
        "a": ["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2, name="top")],
        "b": ["mae", keras.metrics.RootMeanSquaredError(name="rmse"), "r2_score"],
        "c": [
            keras.metrics.Precision(0, name="precision"),
            keras.metrics.AUC(from_logits=True, name="auc"),
            keras.metrics.BinaryIoU(threshold=0.0, name="iou"),
        ],
    }
    weighted = {"b": ["mae"], "c": [keras.metrics.Recall(0, name="recall")]}
    model.compile(loss=Loss(losses), metrics=metrics, weighted_metrics=weighted)
    weights = np.arange(8.0)
    logs = model.evaluate(
        x, y, batch_size=3, sample_weight=weights, verbose=0, return_dict=True
    )
    outputs = model.predict(x, verbose=0)
    a, b, c = (outputs[name][steps] for name in "abc")
    y = {name: value[steps] for name, value in y.items()}
    error = (b - y["b"])[:, 0]
    positive, true = c[:, 0] > 0, y["c"][:, 0] > 0
    step_weights = np.broadcast_to(weights[:, None], steps.shape)[steps]
    auc = keras.metrics.AUC(from_logits=True)
    auc.update_state(y["c"], c)
    iou = [
        np.mean((positive & true).sum() / (positive | true).sum()),
        (~positive & ~true).sum() / (~positive | ~true).sum(),
    ]
    expected = {
        "loss_b": np.sum(step_weights * error**2) / len(error),
        "a_accuracy": np.mean(a.argmax(-1) == y["a"]),
        "b_mae": np.abs(error).mean(),
        "b_weighted_mae": np.average(np.abs(error), weights=step_weights),
        "b_rmse": np.sqrt(np.mean(error**2)),
        "b_r2_score": 1 - np.sum(error**2) / np.sum((y["b"] - y["b"].mean()) ** 2),
        "c_precision": np.mean(true[positive]),
        "c_recall": step_weights[positive & true].sum() / step_weights[true].sum(),
        "c_auc": float(auc.result()),
        "c_iou": np.mean(iou),
    }
    for name, value in expected.items():
        assert logs[name] == pytest.approx(value, rel=1e-4), name


def test_ignored_classes_do_not_count_in_metrics():
    x, y = data("logits", "value")
    y["a"][::3] = 255
    model = kml.JointModel(network(3), network(1))
    loss = keras.losses.SparseCategoricalCrossentropy(True, ignore_class=255)
    iou = keras.metrics.MeanIoU(3, sparse_y_pred=False, name="iou")
    model.compile(loss=Loss(loss, "mse"), metrics={"a": ["accuracy", iou]})
    logs = model.evaluate(x, y, batch_size=7, verbose=0, return_dict=True)
    known = y["a"] != 255
    classes = model.predict(x, verbose=0)["a"].argmax(axis=-1)[known]
    assert logs["a_accuracy"] == pytest.approx(np.mean(classes == y["a"][known]))
    pairs = [(classes == k, y["a"][known] == k) for k in range(3)]
    ious = [(p & q).sum() / (p | q).sum() for p, q in pairs]
    assert logs["a_iou"] == pytest.approx(np.mean(ious), abs=1e-5)


def test_evaluation_does_not_depend_on_the_batch_size():
    x, y = data("logits", "value")
    y["a"][4:] = np.where(np.arange(20) % 2, -1, y["a"][4:])
    y["b"][5:] = np.nan
    model = joint_model(metrics={"b": ["mae"]}, beta=0)
    names = ("loss", "loss_a", "loss_b", "b_mae")
    results = []
    for size in (24, 5, 2):
        logs = model.evaluate(x, y, batch_size=size, verbose=0, return_dict=True)
        results.append([logs[name] for name in names])
        assert logs["loss"] == pytest.approx(logs["loss_a"] + logs["loss_b"], rel=1e-5)
        assert "sum_of_losses" not in logs
    np.testing.assert_allclose(results, results[:1] * 3, rtol=1e-5)
    validated = model.fit(x, y, validation_data=(x, y), batch_size=5, verbose=0).history
    logs = model.evaluate(x, y, verbose=0, return_dict=True)
    for name in names:
        assert validated[f"val_{name}"][0] == pytest.approx(logs[name], rel=1e-5)


def test_terms_that_an_override_does_not_compute_are_not_logged():
    class Sum(kml.JointModel):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
            return keras.ops.mean(y_pred["a"]) + keras.ops.mean(y_pred["b"])

    x, y = data("logits", "value")
    model = Sum(network(3), network(1))
    model.compile(loss=Loss(CROSS_ENTROPY, "mse"), metrics={"b": ["mae"]})
    assert set(model.fit(x, y, verbose=0).history) == {"loss", "b_mae"}
    logs = model.evaluate(x, y, verbose=0, return_dict=True)
    outputs = model.predict(x, verbose=0)
    expected = outputs["a"].mean() + outputs["b"].mean()
    assert logs["loss"] == pytest.approx(expected, abs=1e-5)
