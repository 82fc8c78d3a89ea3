"""Training, evaluation and saving of `MetaModel` with several learner types."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers import interrupted_training
from tests.helpers.meta_models import (
    classification_loss,
    conv_learner,
    conv_model,
    dense_learner,
    image_episodes,
    line_episodes,
    line_model,
    trained_conv_model,
)

POLICIES = ["mixed_bfloat16", "mixed_float16"]


@pytest.mark.parametrize("policy", POLICIES)
def test_convolutional_training_is_finite_with_scaled_loss(policy):
    keras.config.set_dtype_policy(policy)
    model = kml.MetaModel(conv_learner(), kml.adaptation.MAML(2, 0.1))
    model.compile(optimizer="adam", loss=classification_loss())
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")
    x, y = image_episodes()
    losses = [float(model.train_on_batch(x, y)) for _ in range(8)]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


def test_training_reduces_the_loss_on_new_lines():
    model = line_model()
    tasks = kml.tasks.FunctionTasks(
        lambda x, slope: slope * x, {"slope": (-2.0, 2.0)}, (-1.0, 1.0), 5, 10
    )
    test = tasks.dataset(50, batches=2, first_batch=10_000)
    before = model.evaluate(test, verbose=0, return_dict=True)["loss"]
    model.fit(tasks.dataset(8), steps_per_epoch=150, epochs=2, verbose=0)
    after = model.evaluate(test, verbose=0, return_dict=True)["loss"]
    assert after < 0.5 * before


def test_epoch_logs_are_means_over_batches():
    model = line_model()
    model.optimizer.learning_rate = 0.0
    first, second = line_episodes(seed=0), line_episodes(seed=1)
    losses = [
        model.evaluate(*e, verbose=0, return_dict=True)["loss"] for e in (first, second)
    ]
    both = tf.data.Dataset.from_tensors(first).concatenate(
        tf.data.Dataset.from_tensors(second)
    )
    history = model.fit(both, verbose=0).history
    np.testing.assert_allclose(history["loss"][0], np.mean(losses), rtol=1e-5)
    assert set(history) == {"loss", "mae"}


def test_dropout_differs_between_tasks_steps_and_batches():
    seen = []

    @keras.saving.register_keras_serializable(package="tests")
    class Spy(keras.layers.Layer):
        def call(self, x):
            seen.append(x)
            return x

    learner = keras.Sequential(
        [keras.Input((64,)), keras.layers.Dropout(0.5), Spy(), keras.layers.Dense(1)]
    )
    model = kml.MetaModel(
        learner, kml.adaptation.MAML(2, 0.1), task_execution="unrolled"
    )
    model.compile(optimizer="sgd", loss="mse", run_eagerly=True)
    x = {
        "support_x": np.ones((2, 1, 64), "float32"),
        "support_y": np.ones((2, 1, 1), "float32"),
        "query_x": np.ones((2, 1, 64), "float32"),
    }
    y = np.ones((2, 1, 1), "float32")
    seen.clear()
    model.train_on_batch(x, y)
    model.train_on_batch(x, y)
    masks = {tuple(np.asarray(value[0] > 0)) for value in seen}
    assert len(seen) == 2 * 2 * 3
    assert len(masks) == len(seen)


@pytest.mark.parametrize("adaptation", ["maml", "prototypical"])
def test_frozen_layers_do_not_change_in_training(adaptation):
    learner = conv_learner()
    learner.layers[0].trainable = False
    method = {
        "maml": kml.adaptation.MAML(1, 0.1),
        "prototypical": kml.adaptation.PrototypicalNetwork(normalization="support"),
    }[adaptation]
    model = kml.MetaModel(learner, method)
    model.compile(optimizer="sgd", loss=classification_loss())
    written = {v.path.split("/")[-1] for v in method.state_variables()}
    assert written == {"moving_mean", "moving_variance"}
    before = [v.numpy() for v in learner.layers[0].variables]
    last = learner.layers[-1].kernel.numpy()
    model.train_on_batch(*image_episodes())
    for a, v in zip(before, learner.layers[0].variables, strict=True):
        np.testing.assert_array_equal(a, v.numpy())
    assert not np.array_equal(last, learner.layers[-1].kernel.numpy())


def test_losses_by_name_for_outputs_in_a_list():
    inputs = keras.Input((1,))
    hidden = keras.layers.Dense(4, "tanh")(inputs)
    second = keras.layers.Dense(1, name="b")(hidden)
    learner = keras.Model(inputs, [second, keras.layers.Dense(1, name="a")(hidden)])
    model = kml.MetaModel(learner, kml.adaptation.MAML(1, 0.1))
    model.compile(optimizer="sgd", loss={"a": "mse", "b": "mae"}, run_eagerly=True)
    x, y = line_episodes()
    x["support_y"] = {"a": 0 * x["support_y"], "b": 5 + x["support_y"]}
    losses = model.train_on_batch(x, {"a": 0 * y, "b": 5 + y}, return_dict=True)
    outputs = model(x)
    assert losses["b_loss"] > 10 * losses["a_loss"]
    assert np.mean(outputs[0]) > np.mean(outputs[1])
    adapted = model.adapt(
        x["support_x"][0], {k: v[0] for k, v in x["support_y"].items()}
    )
    expected = adapted.predict_on_batch(x["query_x"][0])
    np.testing.assert_allclose(outputs[0][0], expected[0], atol=1e-5)


@keras.saving.register_keras_serializable(package="tests")
class SubclassedLearner(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hidden = keras.layers.Dense(4, "tanh")
        self.normalization = keras.layers.BatchNormalization()
        self.head = keras.layers.Dense(1)

    def call(self, x, training=None):
        return self.head(self.normalization(self.hidden(x), training=training))


def test_subclassed_learner(tmp_path):
    x, y = line_episodes()
    learner = SubclassedLearner()
    learner(x["query_x"][0])
    model = kml.MetaModel(learner, kml.adaptation.MAML(1, 0.1))
    model.compile(optimizer="adam", loss="mse")
    model.fit(x, y, verbose=0)
    np.testing.assert_allclose(
        model.adapt(x["support_x"][0], x["support_y"][0])(x["query_x"][0]),
        model(x)[0],
        atol=1e-6,
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(x), model(x), atol=1e-7)


def two_by_two_learner():
    a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
    joined = keras.layers.Concatenate()([a, b])
    hidden = keras.layers.Dense(5, "tanh")(joined)
    outputs = {
        "kind": keras.layers.Dense(4, name="kind")(hidden),
        "value": keras.layers.Dense(1, name="value")(hidden),
    }
    return keras.Model({"a": a, "b": b}, outputs)


def test_multiple_inputs_and_outputs(tmp_path):
    rng = np.random.default_rng(0)

    def inputs(n):
        return {
            "a": rng.normal(size=(2, n, 3)).astype("float32"),
            "b": rng.normal(size=(2, n, 2)).astype("float32"),
        }

    def targets(n):
        return {
            "kind": rng.integers(0, 4, (2, n)),
            "value": rng.normal(size=(2, n, 1)).astype("float32"),
        }

    x = {"support_x": inputs(6), "support_y": targets(6), "query_x": inputs(5)}
    y = targets(5)
    model = kml.MetaModel(two_by_two_learner(), kml.adaptation.MAML(2, 0.1))
    model.compile(
        optimizer="adam",
        loss={"kind": classification_loss(), "value": "mse"},
        loss_weights={"kind": 1.0, "value": 0.5},
        metrics={"kind": ["accuracy"], "value": ["mae"]},
    )
    history = model.fit(x, y, epochs=2, verbose=0).history
    assert {"loss", "kind_loss", "value_loss", "kind_accuracy"} <= set(history)
    results = model.evaluate(x, y, verbose=0, return_dict=True)
    assert {"kind_accuracy_ci95", "value_mae_ci95"} <= set(results)
    adapted = model.adapt(
        *(
            keras.tree.map_structure(lambda v: v[0], x[key])
            for key in ("support_x", "support_y")
        )
    )
    query = keras.tree.map_structure(lambda v: v[0], x["query_x"])
    for name, value in adapted(query).items():
        np.testing.assert_allclose(value, model(x)[name][0], atol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(x)["kind"], model(x)["kind"], atol=1e-7)


def test_mixed_precision_keeps_the_inner_loop_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = kml.MetaModel(dense_learner(), kml.adaptation.MAML(1, 0.1))
    model.compile(optimizer="adam", loss="mse")
    x, y = line_episodes()
    model.fit(x, y, verbose=0)
    task = kml.adaptation.Task(
        x["support_x"][0],
        x["support_y"][0],
        x["query_x"][0],
        None,
        None,
        tf.constant(0),
    )
    adapted = model.adaptation.adapt(task, model._inner_loss(), training=True)
    assert {w.dtype for w in adapted.weights} == {tf.float32}
    assert model(x).dtype == tf.bfloat16


@pytest.mark.slow
def test_two_replicas_match_one_replica(mirrored):
    episodes = image_episodes(tasks=4)
    data = tf.data.Dataset.from_tensor_slices(episodes).batch(4, drop_remainder=True)
    results = []
    for strategy in (tf.distribute.get_strategy(), mirrored):
        with strategy.scope():
            model = conv_model(optimizer=keras.optimizers.SGD(0.1))
        history = model.fit(data, shuffle=False, verbose=0).history
        evaluation = model.evaluate(data, verbose=0, return_dict=True)
        results.append((history, evaluation, model.get_weights()))
    one, two = results
    assert one[0]["loss"] == pytest.approx(two[0]["loss"], abs=1e-5)
    assert one[1] == pytest.approx(two[1], abs=1e-5)
    for a, b in zip(one[2], two[2], strict=True):
        np.testing.assert_allclose(b, a, rtol=0, atol=1e-5)


@pytest.mark.parametrize("normalization", ["support", "batch", "moving", "per_step"])
def test_training_continues_exactly_after_loading(normalization, tmp_path):
    model = trained_conv_model(normalization=normalization)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x, y = image_episodes(seed=1)
    for a, b in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert model.train_on_batch(x, y) == loaded.train_on_batch(x, y)
    for a, b in zip(model.variables, loaded.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_saving_keeps_the_step_of_a_scheduled_loss(tmp_path):
    ramp = keras.optimizers.schedules.PolynomialDecay(0.0, 10, 1.0)
    model = kml.MetaModel(conv_learner(), kml.adaptation.MAML(1, 0.1))
    model.compile(
        optimizer="adam",
        loss=kml.losses.RapidGeneralizationLoss(
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            kml.losses.TaskLossVariance(),
            lambda_weight=ramp,
        ),
    )
    x, y = image_episodes()
    for _ in range(3):
        model.train_on_batch(x, y)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert int(loaded.loss.step) == 3
    assert loaded.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)
    assert loaded.train_on_batch(x, y) == model.train_on_batch(x, y)


def test_weights_file_round_trip(tmp_path):
    model = trained_conv_model()
    model.save_weights(tmp_path / "model.weights.h5")
    other = conv_model(optimizer=keras.optimizers.Adam(0.01))
    other.optimizer.build(other.trainable_variables)
    other.load_weights(tmp_path / "model.weights.h5")
    x, _ = image_episodes()
    np.testing.assert_array_equal(model(x), other(x))
    for a, b in zip(model.optimizer.variables, other.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_config_round_trip():
    model = trained_conv_model(first_order=True, evaluation_steps=4)
    copy = kml.MetaModel.from_config(model.get_config())
    assert copy.get_config() == model.get_config()


def test_model_checkpoint_saves_a_meta_model(tmp_path):
    model = conv_model()
    x, y = image_episodes()
    path = tmp_path / "best.keras"
    checkpoint = keras.callbacks.ModelCheckpoint(
        path, monitor="val_accuracy", mode="max", save_best_only=True
    )
    model.fit(x, y, validation_data=(x, y), epochs=2, callbacks=[checkpoint], verbose=0)
    assert isinstance(keras.models.load_model(path), kml.MetaModel)


def test_killed_training_loses_at_most_one_epoch(tmp_path, pytestconfig):
    command = [sys.executable, "-m", interrupted_training.__name__, tmp_path / "killed"]
    with subprocess.Popen(
        command, cwd=pytestconfig.rootpath, stdout=subprocess.PIPE, text=True
    ) as process:
        epochs = (int(line.split()[1]) for line in process.stdout)
        begun = next(epoch for epoch in epochs if epoch == 3)
        time.sleep(0.2)
        process.send_signal(signal.SIGKILL)
        begun = max([begun, *epochs])

    resumed, weights = interrupted_training.train(tmp_path / "killed", begun + 2)
    assert resumed[0] in (begun, begun + 1)
    whole, expected = interrupted_training.train(tmp_path / "whole", begun + 2)
    assert whole[0] == 0
    np.testing.assert_allclose(weights, expected, rtol=0, atol=1e-6)
