"""`MetaModel.adapt` runs a traced function, with the results of eager operations."""

from __future__ import annotations

import concurrent.futures
import copy
import gc

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.meta_models import (
    conv_model,
    dense_learner,
    image_episodes,
    line_episodes,
    line_model,
)
from tests.helpers.methods import METHODS, build, pattern_episodes

A = kml.adaptation


def count_traces(model):
    """Counts how often the method is called: eagerly or while tracing."""
    calls = []
    original = model.adaptation.adapt

    def adapt(*args, **kwargs):
        calls.append(tf.executing_eagerly())
        return original(*args, **kwargs)

    model.adaptation.adapt = adapt
    return calls


@pytest.mark.parametrize("name", METHODS)
def test_traced_adaptation_equals_the_first_one(name):
    model = build(name)
    x, _ = pattern_episodes(0)
    for task in range(3):
        eager = model.adaptation.adapt(
            A.Task(
                *(tf.constant(x[k][task]) for k in ("support_x", "support_y")), None
            ),
            model._inner_loss(),
            training=False,
        )
        adapted = model.adapt(x["support_x"][task], x["support_y"][task])
        expected = model.predict(x, verbose=0)[task]
        np.testing.assert_allclose(adapted(x["query_x"][task]), expected, atol=2e-5)
        pairs = zip(adapted.trainable_variables, eager.weights, strict=False)
        for variable, weight in pairs:
            np.testing.assert_allclose(variable, weight, atol=1e-6)


def test_many_shapes_are_traced_a_few_times():
    model = line_model(steps=3)
    calls = count_traces(model)
    rng = np.random.default_rng(0)
    for shots in [5, 5, *range(1, 30)]:
        x = rng.normal(size=(shots, 1)).astype("float32")
        mask = None if shots % 2 else np.arange(shots) < shots - 1
        adapted = model.adapt(x, 2 * x, support_mask=mask)
        episode = {"support_x": x[None], "support_y": 2 * x[None], "query_x": x[None]}
        if mask is not None:
            episode["support_mask"] = mask[None]
        np.testing.assert_allclose(adapted(x), model(episode)[0], atol=1e-6)
    del calls[:]
    for shots in range(30, 40):
        x = rng.normal(size=(shots, 1)).astype("float32")
        model.adapt(x, 2 * x)
    assert not calls


def test_changes_of_weights_need_no_trace_and_others_do():
    x, y = line_episodes(tasks=1)
    support = x["support_x"][0], x["support_y"][0]
    model = line_model(steps=2)

    def matches():
        adapted = model.adapt(*support)
        np.testing.assert_allclose(adapted(x["query_x"][0]), model(x)[0], atol=1e-6)

    calls = count_traces(model)
    matches()
    matches()
    del calls[:]
    model.fit(x, y, epochs=2, verbose=0)
    count = len(calls)
    adapted = model.adapt(*support)
    assert len(calls) == count
    np.testing.assert_allclose(adapted(x["query_x"][0]), model(x)[0], atol=1e-6)
    for change in (
        lambda: model.compile("sgd", "mae"),
        lambda: model.compile(model.optimizer, "mae", loss_weights=3.0),
        lambda: setattr(model.learner.layers[0], "trainable", False),
        lambda: setattr(model.learner.layers[0], "trainable", True),
    ):
        matches()
        matches()
        change()
        matches()
        matches()


def test_checks_are_the_same_in_every_call():
    x, _ = line_episodes(tasks=1)
    model = line_model()
    for _ in range(3):
        model.adapt(x["support_x"][0], x["support_y"][0])
        with pytest.raises(ValueError, match="support_x"):
            model.adapt(np.full((5, 1), np.nan, "float32"), x["support_y"][0])
        with pytest.raises(ValueError, match="support_y"):
            model.adapt(x["support_x"][0], x["support_y"][0][:2])


def test_eager_models_are_not_traced():
    x, _ = line_episodes(tasks=1)
    model = line_model()
    model.compile("sgd", "mse", run_eagerly=True)
    calls = count_traces(model)
    for _ in range(3):
        model.adapt(x["support_x"][0], x["support_y"][0])
    assert calls == [True] * 3


def test_threads_adapt_alike():
    x, _ = image_episodes(tasks=8)
    model = conv_model()
    expected = model.predict(x, verbose=0)

    def adapted(task):
        adapted = model.adapt(x["support_x"][task], x["support_y"][task])
        return np.array(adapted(x["query_x"][task]))

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(adapted, list(range(8)) * 2))
    np.testing.assert_allclose(results[:8], expected, atol=1e-5)
    np.testing.assert_allclose(results[8:], expected, atol=1e-5)


def test_repeated_adaptation_creates_no_lasting_objects():
    x, _ = line_episodes(tasks=1)
    support = x["support_x"][0], x["support_y"][0]
    model = kml.MetaModel(dense_learner(), A.MAML(2, 0.1, loss="mse"))
    counts = []
    for _ in range(3):
        for _ in range(20):
            model.adapt(*support)
        gc.collect()
        counts.append(len(gc.get_objects()))
    assert counts[2] - counts[1] < 20


def test_models_with_a_traced_function_can_be_copied_and_saved(tmp_path):
    x, y = line_episodes(tasks=1)
    model = line_model()
    model.fit(x, y, verbose=0)
    for _ in range(2):
        model.adapt(x["support_x"][0], x["support_y"][0])
    model.save(tmp_path / "model.keras")
    for other in (
        copy.deepcopy(model),
        keras.models.load_model(tmp_path / "model.keras"),
    ):
        adapted = other.adapt(x["support_x"][0], x["support_y"][0])
        np.testing.assert_allclose(adapted(x["query_x"][0]), model(x)[0], atol=1e-6)
