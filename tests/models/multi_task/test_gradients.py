"""Gradients of shared and of specific parameters."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.multi_task_models import (
    TASKS,
    all_variables,
    batch,
    losses,
    multi_task_model,
    sgd_change,
    task_gradients,
)
from tests.helpers.training import step_logs
from tests.helpers.weightings import RANDOM, WEIGHTINGS


@pytest.mark.parametrize("method", sorted(set(WEIGHTINGS) - RANDOM))
def test_step_is_the_weighted_sum_of_task_gradients(method):
    x, y = batch()
    model = multi_task_model(method, keras.optimizers.SGD(1.0), run_eagerly=True)
    gradients = task_gradients(model, x, y)
    # The trunk and the layer of two tasks are shared; the heads are not.
    shared = [
        i for i, v in enumerate(model.model.trainable_variables) if "head" not in v.path
    ]
    assert len(shared) == 4
    flat = {
        t: np.concatenate(
            [
                np.zeros(model.model.trainable_variables[i].shape).ravel()
                if gradients[t][i] is None
                else gradients[t][i].numpy().ravel()
                for i in shared
            ]
        )
        for t in TASKS
    }
    matrix = np.stack([flat[t] for t in TASKS])
    values = [
        float(np.mean(keras.losses.get(losses()[t])(y[t], model.model(x)[t])))
        for t in TASKS
    ]
    reference = WEIGHTINGS[method](TASKS)
    reference.build_for(TASKS)
    weights = reference.compute_weights(
        tf.constant(values, "float32"), tf.constant(matrix @ matrix.T, "float32")
    )
    change = sgd_change(model, x, y)
    for index, variable in enumerate(model.model.trainable_variables):
        factors = weights.shared if index in shared else weights.specific
        expected = sum(
            float(w) * gradients[t][index].numpy()
            for w, t in zip(factors, TASKS, strict=True)
            if gradients[t][index] is not None
        )
        np.testing.assert_allclose(
            change[index], expected, rtol=2e-3, atol=1e-5, err_msg=variable.path
        )


def test_gradnorm_uses_the_named_shared_layer():
    x, y = batch()
    model = multi_task_model("gradnorm", keras.optimizers.SGD(0.1), shared=["trunk"])
    gradients = task_gradients(model, x, y)
    norms = np.array(
        [np.sqrt(sum((g.numpy() ** 2).sum() for g in gradients[t][:2])) for t in TASKS]
    )
    model.train_on_batch(x, y)
    stepped = 1 - 0.025 * np.sign(norms - norms.mean()) * norms / norms.mean()
    np.testing.assert_allclose(
        model.weighting.task_weights, 3 * stepped / stepped.sum(), rtol=1e-4
    )


@pytest.mark.parametrize("by", ["name", "variable"])
def test_shared_parameters_can_be_named(by, tmp_path):
    x, y = batch()
    model = multi_task_model("mgda-l2", keras.optimizers.SGD(1.0))
    named = ["trunk"] if by == "name" else model.model.get_layer("trunk").variables
    keras.utils.set_random_seed(1)
    model = kml.MultiTaskModel(model.model, WEIGHTINGS["mgda-l2"](TASKS), shared=named)
    model.compile(keras.optimizers.SGD(1.0), losses())
    gradients = task_gradients(model, x, y)
    change = sgd_change(model, x, y)
    # The layer of two tasks is now specific and gets the unweighted sum.
    index = [v.path for v in model.model.trainable_variables].index("both/kernel")
    expected = gradients["kind"][index] + gradients["size"][index]
    np.testing.assert_allclose(change[index], expected, rtol=1e-4, atol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert step_logs(model, x, y) == step_logs(loaded, x, y)
    for a, b in zip(all_variables(model), all_variables(loaded), strict=True):
        np.testing.assert_array_equal(a, b)


def test_frozen_parameters_do_not_change():
    x, y = batch()
    model = multi_task_model("pcgrad")
    model.model.get_layer("both").trainable = False
    model.compile("sgd", losses())
    before = model.model.get_layer("both").get_weights()
    model.train_on_batch(x, y)
    for a, b in zip(before, model.model.get_layer("both").get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


GRADIENT_BASED = ("gradnorm", "imtl", "imtl-g", "pcgrad", "mgda", "mgda-l2", "cagrad")


@pytest.mark.parametrize("method", GRADIENT_BASED)
def test_heads_are_trained_alone_if_the_trunk_is_frozen(method):
    x, y = batch()
    model = multi_task_model(method, run_eagerly=True)
    for name in ("trunk", "both"):
        model.model.get_layer(name).trainable = False
    model.compile(keras.optimizers.SGD(1.0), losses(), run_eagerly=True)
    gradients = task_gradients(model, x, y)
    factor = 1 / 3 if method == "cagrad" else 1.0
    for change, *by_task in zip(
        sgd_change(model, x, y), *gradients.values(), strict=True
    ):
        (expected,) = (g for g in by_task if g is not None)
        np.testing.assert_allclose(change, factor * expected, rtol=1e-4, atol=1e-6)
    assert all(np.isfinite(v).all() for v in all_variables(model))


def test_named_shared_parameters_may_be_frozen():
    x, y = batch()
    model = multi_task_model("gradnorm", shared=["trunk"])
    model.model.get_layer("trunk").trainable = False
    model.compile("sgd", losses())
    before = model.model.get_layer("both").get_weights()
    model.fit(x, y, verbose=0)
    after = model.model.get_layer("both").get_weights()
    assert not np.array_equal(before[0], after[0])
    np.testing.assert_array_equal(model.weighting.task_weights, np.ones(3))


@pytest.mark.parametrize("method", WEIGHTINGS)
def test_missing_labels_do_not_change_the_head(method):
    x, y = batch()
    weight = {task: np.ones(12, "float32") for task in TASKS}
    weight["size"][:] = 0.0
    model = multi_task_model(method, keras.optimizers.SGD(0.1), run_eagerly=True)
    head = model.model.get_layer("size_head").get_weights()
    logs = model.train_on_batch(x, y, sample_weight=weight, return_dict=True)
    assert logs["size_loss"] == 0.0
    for a, b in zip(
        head, model.model.get_layer("size_head").get_weights(), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    assert all(np.isfinite(v).all() for v in all_variables(model))


def test_loss_scaling_does_not_change_the_step():
    x, y = batch()
    changes = []
    for optimizer in (
        keras.optimizers.SGD(0.1),
        keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)),
    ):
        model = multi_task_model("imtl", optimizer, regularizer=True)
        model.train_on_batch(x, y)
        changes.append([np.asarray(v) for v in model.trainable_variables])
    for a, b in zip(*changes, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
