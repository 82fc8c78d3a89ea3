"""Training, logs and saving of `MultiTaskModel`."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.graphs import unordered_accesses
from tests.helpers.multi_task_models import (
    TASKS,
    all_variables,
    batch,
    losses,
    multi_task_model,
    network,
)
from tests.helpers.weightings import WEIGHTINGS

SLOW = pytest.mark.slow


def some_slow(*quick):
    """Returns all weightings; those not named are marked as slow."""
    return [m if m in quick else pytest.param(m, marks=SLOW) for m in WEIGHTINGS]


def test_equal_weights_match_keras_training():
    x, y = batch(32)
    model = multi_task_model(None, regularizer=True)
    keras.utils.set_random_seed(1)
    plain = network(keras.regularizers.L2(0.01))
    plain.compile(keras.optimizers.Adam(0.01), losses(), metrics={"kind": ["accuracy"]})
    plain.set_weights(model.model.get_weights())
    ours = model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0).history
    theirs = plain.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0).history
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, rtol=1e-5, err_msg=name)
    for a, b in zip(model.model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    mine = model.evaluate(x, y, verbose=0, return_dict=True)
    for name, value in plain.evaluate(x, y, verbose=0, return_dict=True).items():
        assert mine[name] == pytest.approx(value, rel=1e-5), name


@pytest.mark.parametrize("method", some_slow("uncertainty", "imtl", "gradnorm"))
def test_weights_are_read_before_their_update(method):
    x, y = batch()
    model = multi_task_model(method)
    assert unordered_accesses(lambda: model.train_on_batch(x, y)) == []


def test_logged_loss_has_the_weights_of_the_step():
    x, y = batch()
    model = multi_task_model("uncertainty", keras.optimizers.SGD(0.5))
    for _ in range(2):
        # Kind and sign are classification tasks.
        s = model.weighting.log_variance.numpy()
        model.reset_metrics()
        logs = model.train_on_batch(x, y, return_dict=True)
        weights = np.array([1.0, 1.0, 0.5]) * np.exp(-s)
        np.testing.assert_allclose(
            [logs[f"{task}_weight"] for task in TASKS], weights, rtol=1e-5
        )
        task_losses = [logs[f"{task}_loss"] for task in TASKS]
        expected = np.sum(weights * task_losses + 0.5 * s)
        assert logs["loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("method", WEIGHTINGS)
def test_evaluation_does_not_change_state(method):
    x, y = batch()
    model = multi_task_model(method, run_eagerly=True)
    model.fit(x, y, verbose=0)
    before = all_variables(model)
    results = model.evaluate(x, y, verbose=0, return_dict=True)
    assert set(results) == {
        "loss",
        "kind_accuracy",
        "kind_loss",
        "sign_loss",
        "size_loss",
    }
    model.test_on_batch(x, y)
    model.predict(x, verbose=0)
    for a, b in zip(before, all_variables(model), strict=True):
        np.testing.assert_array_equal(a, b)
    assert results == model.evaluate(x, y, verbose=0, return_dict=True)


@pytest.mark.parametrize("method", some_slow("dwa", "gradnorm", "imtl", "rlw"))
def test_training_after_loading_is_bitwise_equal(method, tmp_path):
    x, y = batch()
    model = multi_task_model(method, run_eagerly=method != "imtl")
    model.fit(x, y, batch_size=6, epochs=2, verbose=0)
    model.train_on_batch(x, y)  # in the middle of an epoch
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for a, b in zip(all_variables(model), all_variables(loaded), strict=True):
        np.testing.assert_array_equal(a, b)
    x, y = batch(seed=1)
    for one in (model, loaded):
        one.fit(x, y, batch_size=6, shuffle=False, verbose=0)
    for a, b in zip(all_variables(model), all_variables(loaded), strict=True):
        np.testing.assert_array_equal(a, b)
    assert loaded.weighting.get_config() == model.weighting.get_config()
    assert loaded.weighting.tasks == model.weighting.tasks == TASKS


@pytest.mark.parametrize("method", some_slow("uncertainty", "imtl", "cagrad"))
def test_eager_graph_and_xla_agree(method):
    x, y = batch()
    results = []
    for compiling in ({"run_eagerly": True}, {}, {"jit_compile": True}):
        model = multi_task_model(method, keras.optimizers.SGD(0.1), **compiling)
        model.train_on_batch(x, y)
        logs = model.train_on_batch(x, y, return_dict=True)
        results.append((logs, [np.asarray(v) for v in model.variables]))
    (logs, variables), *others = results
    for other_logs, other_variables in others:
        for name, value in logs.items():
            assert other_logs[name] == pytest.approx(value, rel=1e-3), name
        for a, b in zip(variables, other_variables, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("method", some_slow("gls", "gradnorm", "mgda-l2"))
def test_every_weighting_reduces_every_loss(method):
    x, y = batch(32)
    model = multi_task_model(method, keras.optimizers.Adam(0.05), run_eagerly=True)
    first = model.test_on_batch(x, y, return_dict=True)
    for _ in range(12):
        logs = model.train_on_batch(x, y, return_dict=True)
        model.weighting.end_epoch()
    last = model.test_on_batch(x, y, return_dict=True)
    for task in TASKS:
        assert last[f"{task}_loss"] < 0.95 * first[f"{task}_loss"], task
        assert np.isfinite(logs[f"{task}_weight"])


def test_dynamic_weight_average_uses_epochs_of_fit():
    x, y = batch(24)
    model = multi_task_model("dwa")
    history = model.fit(x, y, batch_size=8, epochs=4, validation_data=(x, y), verbose=0)
    shown = {k: np.array(v) for k, v in history.history.items()}
    for task in TASKS:
        np.testing.assert_allclose(shown[f"{task}_weight"][:2], 1.0)
        assert f"val_{task}_weight" not in shown
    for epoch in (2, 3):
        ratio = np.array(
            [
                shown[f"{t}_loss"][epoch - 1] / shown[f"{t}_loss"][epoch - 2]
                for t in TASKS
            ]
        )
        expected = 3 * np.exp(ratio / 2) / np.exp(ratio / 2).sum()
        found = [shown[f"{t}_weight"][epoch] for t in TASKS]
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_checkpoint_at_end_of_epoch_resumes_training(tmp_path):
    x, y = batch(24)
    path = str(tmp_path / "{epoch}.keras")
    model = multi_task_model("dwa")
    save = keras.callbacks.ModelCheckpoint(path)
    model.fit(x, y, batch_size=8, epochs=4, shuffle=False, callbacks=save, verbose=0)
    loaded = keras.models.load_model(tmp_path / "3.keras")
    loaded.fit(x, y, batch_size=8, epochs=1, shuffle=False, verbose=0)
    for a, b in zip(all_variables(model), all_variables(loaded), strict=True):
        np.testing.assert_array_equal(a, b)


def test_sample_weights_per_task_and_for_all_tasks():
    x, y = batch()
    rng = np.random.default_rng(0)
    weight = {task: rng.uniform(size=12).astype("float32") for task in TASKS}
    model = multi_task_model("pcgrad")
    found = model.test_on_batch(x, y, sample_weight=weight, return_dict=True)
    y_pred = model.model(x)
    for task in TASKS:
        expected = keras.losses.get(losses()[task])
        if task == "size":
            expected = keras.losses.MeanSquaredError()
        value = float(expected(y[task], y_pred[task], weight[task]))
        assert found[f"{task}_loss"] == pytest.approx(value, rel=1e-5)
    one = {task: weight["kind"] for task in TASKS}
    for_all, per_task = (
        model.evaluate(x, y, sample_weight=weights, verbose=0)
        for weights in (weight["kind"], one)
    )
    assert for_all == pytest.approx(per_task)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("method", ["uncertainty", "gradnorm", "pcgrad", "cagrad"])
def test_mixed_precision_reduces_the_loss(method, policy):
    keras.config.set_dtype_policy(policy)
    x, y = batch()
    model = multi_task_model(method, keras.optimizers.SGD(0.01), run_eagerly=True)
    first = model.train_on_batch(x, y, return_dict=True)["size_loss"]
    for _ in range(10):
        last = model.train_on_batch(x, y, return_dict=True)["size_loss"]
    assert last < first
    assert not any("16" in v.dtype for v in model.weighting.weights)


def test_training_in_float64():
    keras.config.set_floatx("float64")
    x, y = batch()
    model = multi_task_model("cagrad")
    model.train_on_batch(x, y)
    assert model.model.trainable_variables[0].dtype == "float64"


def test_exported_model_matches_predict(tmp_path):
    x, y = batch()
    model = multi_task_model("pcgrad")
    model.train_on_batch(x, y)
    model.export(str(tmp_path / "saved"), verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    served = loaded.serve(x)
    for name, value in model.predict(x, verbose=0).items():
        np.testing.assert_allclose(served[name], value, atol=1e-6)


def test_clone_and_weights_file(tmp_path):
    x, y = batch()
    model = multi_task_model("uncertainty")
    model.train_on_batch(x, y)
    model.save_weights(tmp_path / "model.weights.h5")
    other = multi_task_model("uncertainty")
    other.optimizer.build(other.trainable_variables)
    other.load_weights(tmp_path / "model.weights.h5")
    for a, b in zip(all_variables(model), all_variables(other), strict=True):
        np.testing.assert_array_equal(a, b)
    clone = keras.models.clone_model(model)
    assert clone.weighting.get_config() == model.weighting.get_config()
    assert clone(x)["kind"].shape == (12, 3)


def test_lambda_as_loss():
    model = kml.MultiTaskModel(network(), kml.losses.weighting.PCGrad())
    model.compile("sgd", {**losses(), "size": lambda t, p: tf.abs(t - p)})
    assert np.isfinite(model.train_on_batch(*batch())).all()


# Evaluation uses only the objective of the weighting. These cases cover a sum, an
# objective with parameters and a product.
EVALUATED = ("fixed", "uncertainty", "gls")
# `balance="both"` covers the two other cases of IMTL.
TRAINED = sorted(set(WEIGHTINGS) - {"imtl-g", "imtl-l"})


def trained_variables(method, strategy, run_eagerly):
    """Returns history, evaluation and variables after three epochs of two steps."""
    data = tf.data.Dataset.from_tensor_slices(batch(16)).batch(8, drop_remainder=True)
    with strategy.scope():
        model = multi_task_model(
            method,
            keras.optimizers.SGD(0.1),
            regularizer=True,
            run_eagerly=run_eagerly,
        )
    history = model.fit(data, epochs=3, shuffle=False, verbose=0).history
    evaluation = {}
    if method in EVALUATED:
        evaluation = model.evaluate(data, verbose=0, return_dict=True)
    return history, evaluation, all_variables(model)


@pytest.mark.slow
@pytest.mark.parametrize("method", TRAINED)
def test_two_replicas_match_one_replica(method, mirrored):
    one = trained_variables(method, tf.distribute.get_strategy(), run_eagerly=True)
    two = trained_variables(method, mirrored, run_eagerly=False)
    for a, b in zip(one[:2], two[:2], strict=True):
        assert sorted(a) == sorted(b)
        for name, values in a.items():
            np.testing.assert_allclose(b[name], values, rtol=1e-3, err_msg=name)
    for a, b in zip(one[2], two[2], strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-4)
