"""Common behavior of all adaptation methods in `tests/helpers/methods.py`.

Most tests run eagerly, because tracing takes longer than a few eager steps.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest

import keras_metaloss as kml
from tests.helpers.meta_models import image_episodes, step_change
from tests.helpers.methods import GRADIENT, METHODS, build, pattern_episodes

every_method = pytest.mark.parametrize("name", sorted(METHODS))


def plain_step(name, episodes, **settings):
    model = build(name, optimizer=keras.optimizers.SGD(1.0), **settings)
    return step_change(model, episodes)


@every_method
def test_config_round_trip(name):
    model = build(name)
    restored = kml.MetaModel.from_config(model.get_config())
    assert restored.get_config() == model.get_config()


@every_method
def test_reloaded_model_continues_training_identically(name, tmp_path):
    model = build(name, run_eagerly=True)
    model.train_on_batch(*image_episodes())
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for a, b in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert len(model.variables) == len(loaded.variables)
    episodes = image_episodes(seed=1)
    assert model.train_on_batch(*episodes) == loaded.train_on_batch(*episodes)
    for a, b in zip(model.variables, loaded.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@every_method
def test_eager_and_xla_steps_match_graph_step(name):
    episodes = image_episodes()
    expected = plain_step(name, episodes)
    eager = plain_step(name, episodes, run_eagerly=True)
    compiled = plain_step(name, episodes, jit_compile=True)
    scale = max(1.0, np.abs(expected).max())
    assert np.abs(eager - expected).max() < 1e-5 * scale
    assert np.abs(compiled - expected).max() < 1e-5 * scale


@every_method
def test_task_order_does_not_matter(name):
    x, y = image_episodes(tasks=4)
    order = np.array([2, 0, 3, 1])
    shuffled = {k: v[order] for k, v in x.items()}, y[order]
    expected = plain_step(name, (x, y), run_eagerly=True)
    actual = plain_step(name, shuffled, run_eagerly=True)
    np.testing.assert_allclose(actual, expected, atol=5e-6)


def padded(episodes, extra=2):
    """Appends masked rows of noise to the episodes."""
    x, y = episodes
    rng = np.random.default_rng(9)
    wide, masks = {}, {}
    for part, keys in (("support", ("x", "y")), ("query", ("x",))):
        for key in keys:
            value = x[f"{part}_{key}"]
            shape = (value.shape[0], extra, *value.shape[2:])
            noise = rng.integers(0, 3, shape).astype(value.dtype)
            wide[f"{part}_{key}"] = np.concatenate([value, noise], axis=1)
        count = value.shape[1]
        masks[f"{part}_mask"] = np.arange(count + extra)[None] < count
    masks = {k: np.repeat(v, len(y), axis=0) for k, v in masks.items()}
    more = np.zeros((len(y), extra), y.dtype)
    return {**wide, **masks}, np.concatenate([y, more], axis=1)


@every_method
def test_padding_does_not_change_predictions_or_steps(name):
    episodes = image_episodes()
    wide = padded(episodes)
    model = build(name, run_eagerly=True)
    count = episodes[1].shape[1]
    np.testing.assert_allclose(model(wide[0])[:, :count], model(episodes[0]), atol=1e-5)
    expected = plain_step(name, episodes, run_eagerly=True)
    actual = plain_step(name, wide, run_eagerly=True)
    np.testing.assert_allclose(actual, expected, atol=1e-5)


@every_method
def test_adapt_matches_call(name, tmp_path):
    model = build(name, run_eagerly=True)
    x, y = image_episodes()
    model.train_on_batch(x, y)
    expected = model(x)[1]
    classifier = model.adapt(x["support_x"][1], x["support_y"][1])
    actual = classifier.predict_on_batch(x["query_x"][1])
    np.testing.assert_allclose(actual, expected, atol=1e-5)
    classifier.save(tmp_path / "classifier.keras")
    loaded = keras.models.load_model(tmp_path / "classifier.keras")
    np.testing.assert_array_equal(loaded.predict_on_batch(x["query_x"][1]), actual)


@every_method
def test_learns_toy_tasks(name):
    model = build(name)
    steps = 150 if name in ("reptile", "relation", "siamese") else 60
    for step in range(steps):
        model.train_on_batch(*pattern_episodes(step))
    x, y = pattern_episodes(10_000, tasks=20)
    accuracy = (model.predict_on_batch(x).argmax(-1) == y).mean()
    assert accuracy > 0.8


LOAD = """
    import sys
    import numpy as np
    import tensorflow as tf
    for name in ("keras", "keras_metaloss"):
        sys.modules[name] = None
    given = np.load(sys.argv[1] + "/episode.npz")
    results = {}
    for name in sys.argv[2:]:
        model = tf.saved_model.load(sys.argv[1] + "/" + name)
        inputs = {k: tf.constant(v) for k, v in given.items()}
        outputs = model.signatures["adapt_and_predict_batch"](**inputs)
        results[name] = outputs["output_0"].numpy()
    np.savez(sys.argv[1] + "/results.npz", **results)
"""


@pytest.mark.slow
def test_exported_models_run_without_this_package(tmp_path):
    x, _ = image_episodes(tasks=2, support=9, queries=4, seed=3)
    np.savez(tmp_path / "episode.npz", **x)
    expected = {}
    for name in METHODS:
        model = build(name, run_eagerly=True)
        model.train_on_batch(*image_episodes())
        model.export(str(tmp_path / name), verbose=False)
        expected[name] = model(x)
    command = [sys.executable, "-c", textwrap.dedent(LOAD), str(tmp_path), *METHODS]
    subprocess.run(command, check=True, cwd=tmp_path)
    results = np.load(tmp_path / "results.npz")
    for name in METHODS:
        np.testing.assert_allclose(results[name], expected[name], atol=1e-5)


GRADIENT_METHODS = sorted(n for n, m in METHODS.items() if m.kind == GRADIENT)


@pytest.mark.parametrize("name", GRADIENT_METHODS)
def test_several_inputs_and_outputs_with_segmentation(name):
    a, b = keras.Input((6, 6, 2), name="a"), keras.Input((3,), name="b")
    image = kml.layers.ContextVector(2)(a) if name == "cavia" else a
    hidden = keras.layers.Conv2D(4, 3, padding="same", activation="tanh")(image)
    pixels = keras.layers.Conv2D(3, 1, name="pixels")(hidden)
    flat = keras.layers.GlobalAveragePooling2D()(hidden)
    number = keras.layers.Concatenate()([flat, b])
    number = keras.layers.Dense(1, name="number")(number)
    learner = keras.Model({"a": a, "b": b}, {"pixels": pixels, "number": number})
    model = kml.MetaModel(learner, METHODS[name].adaptation())
    model.compile(
        optimizer=keras.optimizers.SGD(0.02),
        loss={
            "pixels": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            "number": "mse",
        },
        # Tracing is slow: one graph-mode method per task execution mode.
        run_eagerly=name not in ("maml", "reptile"),
    )
    rng = np.random.default_rng(0)

    def inputs(count):
        return {
            "a": rng.normal(size=(2, count, 6, 6, 2)).astype("float32"),
            "b": rng.normal(size=(2, count, 3)).astype("float32"),
        }

    def targets(count):
        return {
            "pixels": rng.integers(0, 3, (2, count, 6, 6)),
            "number": rng.normal(size=(2, count, 1)).astype("float32"),
        }

    episode = {"support_x": inputs(5), "support_y": targets(5), "query_x": inputs(4)}
    query_y = targets(4)
    first = model.train_on_batch(episode, query_y)
    for _ in range(2):
        last = model.train_on_batch(episode, query_y)
    assert last[0] < first[0]
    outputs = model.predict_on_batch(episode)
    assert outputs["pixels"].shape == (2, 4, 6, 6, 3)
    assert outputs["number"].shape == (2, 4, 1)


POLICIES = ["mixed_bfloat16", "mixed_float16"]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", ["maml", "reptile", "prototypical"])
def test_learns_toy_tasks_in_mixed_precision(name, policy):
    keras.config.set_dtype_policy(policy)
    model = build(name)
    assert model.learner.layers[-1].compute_dtype == policy.removeprefix("mixed_")
    for step in range(150 if name == "reptile" else 60):
        model.train_on_batch(*pattern_episodes(step))
    x, y = pattern_episodes(10_000, tasks=20)
    assert (model.predict_on_batch(x).argmax(-1) == y).mean() > 0.8
    assert all(v.dtype == "float32" for v in model.trainable_variables)
