"""Export of `MetaModel` and exported signatures."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.tools import saved_model_cli as cli

import keras_metaloss as kml
from tests.helpers.meta_models import conv_model, image_episodes, trained_conv_model

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
        model = trained_conv_model(normalization=policy, run_eagerly=True)
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
    model = trained_conv_model()
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
    expected = model.predict(episode, verbose=0)
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


def test_invalid_export_arguments_raise(tmp_path):
    with pytest.raises(ValueError, match="input_signature"):
        conv_model().export(tmp_path / "model")
    with pytest.raises(ValueError, match="format='onnx'"):
        conv_model().export(tmp_path / "model", format="onnx")
