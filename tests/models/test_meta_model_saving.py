"""Saving, export and interrupted training of `MetaModel`."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.tools import saved_model_cli as cli

import keras_metaloss as kml
from tests.helpers import interrupted_training
from tests.helpers.meta_models import conv_learner, conv_model, image_episodes


def trained_model(**arguments):
    model = conv_model(optimizer=keras.optimizers.Adam(0.01), **arguments)
    x, y = image_episodes()
    model.train_on_batch(x, y)
    return model


@pytest.mark.parametrize("normalization", ["support", "batch", "moving", "per_step"])
def test_training_continues_exactly_after_loading(normalization, tmp_path):
    model = trained_model(normalization=normalization)
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
    model = trained_model()
    model.save_weights(tmp_path / "model.weights.h5")
    other = conv_model(optimizer=keras.optimizers.Adam(0.01))
    other.optimizer.build(other.trainable_variables)
    other.load_weights(tmp_path / "model.weights.h5")
    x, _ = image_episodes()
    np.testing.assert_array_equal(model(x), other(x))
    for a, b in zip(model.optimizer.variables, other.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_config_round_trip():
    model = trained_model(first_order=True, evaluation_steps=4)
    copy = kml.MetaModel.from_config(model.get_config())
    assert copy.get_config() == model.get_config()


LOAD = """
    import sys
    import numpy as np
    import tensorflow as tf
    for name in ("keras", "keras_metaloss"):
        sys.modules[name] = None
    episode = np.load("episode.npz")
    for folder in sys.argv[1:]:
        model = tf.saved_model.load(folder)
        for name, axis in (("adapt_and_predict", 0), ("adapt_and_predict_batch", None)):
            inputs = {k: v if axis is None else v[axis] for k, v in episode.items()}
            inputs = {k: tf.constant(v) for k, v in inputs.items()}
            result = model.signatures[name](**inputs)["output_0"].numpy()
            np.save(folder + "_" + name + ".npy", result)
"""


@pytest.mark.slow
def test_exports_work_without_this_package(tmp_path):
    policies = ["support", "batch", "moving", "per_step"]
    x, _ = image_episodes(tasks=2, support=9, queries=4, seed=3)
    np.savez(tmp_path / "episode.npz", **x)
    expected = {}
    for policy in policies:
        model = trained_model(normalization=policy, run_eagerly=True)
        model.export(str(tmp_path / policy), verbose=False)
        expected[policy] = model(x)
    command = [sys.executable, "-c", textwrap.dedent(LOAD), *policies]
    subprocess.run(command, check=True, cwd=tmp_path)
    for policy in policies:
        one = np.load(tmp_path / f"{policy}_adapt_and_predict.npy")
        both = np.load(tmp_path / f"{policy}_adapt_and_predict_batch.npy")
        np.testing.assert_allclose(one, expected[policy][0], atol=1e-6)
        np.testing.assert_allclose(both, expected[policy], atol=1e-6)


def saved_model_cli(*arguments, monkeypatch, capsys):
    """Returns the output of TensorFlow's `saved_model_cli` command."""
    monkeypatch.setattr(sys, "argv", ["saved_model_cli", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    return capsys.readouterr().out


@pytest.mark.slow
def test_saved_model_cli_shows_and_runs_an_export(tmp_path, monkeypatch, capsys):
    model = trained_model()
    model.export(str(tmp_path / "saved"), verbose=False)
    x, _ = image_episodes(tasks=1)
    np.savez(tmp_path / "episode.npz", **{k: v[0] for k, v in x.items()})
    inputs = ";".join(f"{k}={tmp_path}/episode.npz[{k}]" for k in x)
    show = ["show", "--dir", tmp_path / "saved", "--all"]
    shown = saved_model_cli(*show, monkeypatch=monkeypatch, capsys=capsys)
    for name in ("adapt_and_predict", "serving_default", *x):
        assert f"'{name}'" in shown, name
    arguments = ["--tag_set", "serve", "--signature_def", "serving_default"]
    arguments += ["--inputs", inputs, "--outdir", tmp_path / "out"]
    run = ["run", "--dir", tmp_path / "saved", *arguments]
    saved_model_cli(*run, monkeypatch=monkeypatch, capsys=capsys)
    result = np.load(tmp_path / "out" / "output_0.npy")
    np.testing.assert_allclose(result, model(x)[0], atol=1e-6)


def test_export_supports_structures_of_inputs(tmp_path):
    a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
    joined = keras.layers.Concatenate()([a, b])
    learner = keras.Model({"a": a, "b": b}, keras.layers.Dense(1)(joined))
    model = kml.MetaModel(learner, kml.adaptation.MAML(1, 0.1))
    model.compile(optimizer="sgd", loss="mse")
    rng = np.random.default_rng(0)
    inputs = {
        "a": rng.normal(size=(1, 4, 3)).astype("float32"),
        "b": rng.normal(size=(1, 4, 2)).astype("float32"),
    }
    targets = np.ones((1, 4, 1), "float32")
    episode = {"support_x": inputs, "support_y": targets, "query_x": inputs}
    expected = model(episode)
    model.export(str(tmp_path / "saved"), verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    result = loaded.signatures["adapt_and_predict_batch"](
        support_x_a=inputs["a"],
        support_x_b=inputs["b"],
        support_y=targets,
        query_x_a=inputs["a"],
        query_x_b=inputs["b"],
    )
    np.testing.assert_allclose(result["output_0"], expected, atol=1e-6)


def test_model_checkpoint_saves_a_meta_model(tmp_path):
    model = conv_model()
    x, y = image_episodes()
    path = tmp_path / "best.keras"
    checkpoint = keras.callbacks.ModelCheckpoint(
        path, monitor="val_accuracy", mode="max", save_best_only=True
    )
    model.fit(x, y, validation_data=(x, y), epochs=2, callbacks=[checkpoint], verbose=0)
    assert isinstance(keras.models.load_model(path), kml.MetaModel)


@pytest.mark.slow
def test_export_supports_unrolled_execution(tmp_path):
    model = conv_model("unrolled", run_eagerly=True)
    x, y = image_episodes()
    model.train_on_batch(x, y)
    model.export(str(tmp_path / "saved"), verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    inputs = {k: tf.constant(v) for k, v in x.items()}
    outputs = loaded.signatures["adapt_and_predict_batch"](**inputs)["output_0"]
    np.testing.assert_allclose(outputs, model(x), atol=1e-5)


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
