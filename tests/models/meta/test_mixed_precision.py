"""Tests that all uses of a `MetaModel` adapt alike under every dtype policy."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.methods import METHODS, build, pattern_episodes

POLICIES = ["mixed_float16", "mixed_bfloat16", "float64"]
# Rounding of one activation, relative to the largest logit.
TOLERANCE = {"mixed_float16": 5e-3, "mixed_bfloat16": 4e-2, "float64": 1e-5}


@pytest.fixture(params=POLICIES)
def policy(request):
    if request.param == "float64":
        keras.config.set_floatx("float64")
    keras.config.set_dtype_policy(request.param)
    return request.param


def loss_of(model, logits, y):
    """Computes the compiled loss of predictions in float64."""
    loss = model.loss.from_config(model.loss.get_config())
    return float(loss(y, np.asarray(logits, "float64")))


def served(model, x, folder):
    """Exports the model and returns the predictions of the SavedModel."""
    model.export(folder, verbose=False)
    serve = tf.saved_model.load(folder).signatures["adapt_and_predict_batch"]
    tensors = {key: tf.constant(value) for key, value in x.items()}
    for key in ("support_x", "query_x"):
        tensors[key] = tf.cast(tensors[key], keras.config.floatx())
    return next(iter(serve(**tensors).values()))


@pytest.mark.parametrize("name", METHODS)
def test_all_uses_adapt_alike(name, policy, tmp_path):
    model = build(name)
    x, y = pattern_episodes(0, tasks=2, shots=2, queries=2)
    adapted = [
        model.adapt(x["support_x"][t], x["support_y"][t]).predict(
            x["query_x"][t], verbose=0
        )
        for t in range(2)
    ]
    expected = np.stack(adapted).astype("float64")
    results = {
        "predict": model.predict(x, verbose=0),
        "call": model(x),
        "export": served(model, x, tmp_path / "served"),
    }
    limit = TOLERANCE[policy] * max(1.0, np.abs(expected).max())
    for use, logits in results.items():
        difference = np.abs(np.asarray(logits, "float64") - expected).max()
        assert difference < limit, use
    evaluated = model.evaluate(x, y, verbose=0, return_dict=True)["loss"]
    assert evaluated == pytest.approx(loss_of(model, expected, y), abs=limit)
    if model.adaptation.normalization == "support":
        trained = model.train_on_batch(x, y, return_dict=True)["loss"]
        if model.adaptation.outer_weights() is None:
            assert float(trained) == pytest.approx(evaluated, abs=limit)
    weights = [v for v in model.weights if v.dtype.startswith("float")]
    assert all(np.isfinite(v).all() for v in weights)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"], indirect=True)
def test_meta_parameters_are_read_in_full_precision(policy):
    learner = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(4),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(1),
        ]
    )
    seen = []

    class Recorder(kml.adaptation.MetaSGD):
        def update(self, step, gradients, optimizer_state, weights):
            seen.extend(w.dtype for w in weights)
            return super().update(step, gradients, optimizer_state, weights)

    model = kml.MetaModel(learner, Recorder(2, 1e-4, loss="mse"))
    x = np.ones((1, 3, 2), "float32")
    model({"support_x": x, "support_y": x[..., :1], "query_x": x})
    assert seen and set(seen) == {tf.float32}
