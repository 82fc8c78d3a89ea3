"""Metrics of `JointModel` with missing labels."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow_probability as tfp

import keras_metaloss as kml
from tests.helpers.joint_models import CROSS_ENTROPY, data, joint_model

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
