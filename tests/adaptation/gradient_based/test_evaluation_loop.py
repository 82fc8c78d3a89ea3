"""Evaluation takes inner steps in a loop, with the results of copied steps."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from keras_metaloss.models.meta._episodes import batch_tensors
from tests.helpers.meta_models import (
    classification_loss,
    context_learner,
    conv_learner,
    dense_learner,
    image_episodes,
    line_episodes,
)

A = kml.adaptation
STEPS = 7

METHODS = {
    "maml": lambda **k: A.MAML(2, 0.1, **k),
    "momentum": lambda **k: A.MAML(optimizer=keras.optimizers.SGD(0.05, 0.9), **k),
    "adam": lambda **k: A.MAML(optimizer=keras.optimizers.Adam(0.05), **k),
    "anil": lambda **k: A.ANIL(2, 0.1, **k),
    "meta_sgd": lambda **k: A.MetaSGD(2, 0.1, **k),
    "maml_plus_plus": lambda **k: A.MAMLPlusPlus(3, 0.1, **k),
    "maml_plus_plus_annealed": lambda **k: A.MAMLPlusPlus(
        3, 0.1, multi_step_updates=3, first_order_updates=2, **k
    ),
    "cavia": lambda **k: A.CAVIA(2, 0.5, **k),
}


def unrolled(adaptation):
    """Makes an object of a class that copies the operations of each step."""
    base = type(adaptation)

    def update(self, step, *arguments):
        assert isinstance(step, int)
        return base.update(self, step, *arguments)

    return type(base.__name__, (base,), {"update": update}).from_config(
        adaptation.get_config()
    )


def pair(name, learner, loss, **settings):
    """Returns two models with the same weights, with loop and with copies."""
    models = []
    for change in (lambda a: a, unrolled):
        keras.utils.set_random_seed(0)
        adaptation = change(METHODS[name](evaluation_steps=STEPS))
        model = kml.MetaModel(learner(), adaptation, **settings)
        model.compile("sgd", loss())
        models.append(model)
    values = models[0].get_weights()
    # Distinct values per step show errors of the row.
    rng = np.random.default_rng(0)
    values = [
        v + 0.01 * rng.normal(size=v.shape) if v.dtype == np.float32 else v
        for v in values
    ]
    for model in models:
        model.set_weights(values)
    return models


def learner_of(name):
    return context_learner if name == "cavia" else dense_learner


def mse():
    return keras.losses.MeanSquaredError()


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("execution", ["map", "vectorized"])
def test_loop_equals_copied_steps(name, execution):
    x, y = line_episodes()
    looped, copied = pair(name, learner_of(name), mse, task_execution=execution)
    expected = copied.predict(x, verbose=0)
    np.testing.assert_allclose(looped.predict(x, verbose=0), expected, atol=2e-6)
    assert looped.evaluate(x, y, verbose=0) == pytest.approx(
        copied.evaluate(x, y, verbose=0), rel=1e-5
    )
    adapted = looped.adapt(x["support_x"][0], x["support_y"][0])
    np.testing.assert_allclose(adapted(x["query_x"][0]), expected[0], atol=2e-6)


@pytest.mark.parametrize("normalization", ["support", "batch", "moving", "per_step"])
def test_loop_equals_copied_steps_with_batch_normalization(normalization):
    METHODS["normalized"] = lambda **k: A.MAMLPlusPlus(
        3, 0.1, normalization=normalization, **k
    )
    x, _ = image_episodes()
    x["support_mask"] = np.arange(6) < np.array([[6], [4], [5]])
    looped, copied = pair("normalized", conv_learner, classification_loss)
    del METHODS["normalized"]
    expected = copied.predict(x, verbose=0)
    np.testing.assert_allclose(looped.predict(x, verbose=0), expected, atol=1e-5)


def nodes_of_evaluation(name, steps):
    x, _ = line_episodes()
    adaptation = METHODS[name](evaluation_steps=steps)
    model = kml.MetaModel(learner_of(name)(), adaptation, task_execution="map")
    model.compile("sgd", "mse")
    step = tf.function(lambda x: model._run(batch_tensors(x), training=False).y_pred)
    graph = step.get_concrete_function({k: tf.constant(v) for k, v in x.items()}).graph
    definition = graph.as_graph_def()
    return sum(len(f.node_def) for f in definition.library.function)


@pytest.mark.parametrize("name", METHODS)
def test_size_of_the_graph_does_not_grow_with_steps(name):
    assert nodes_of_evaluation(name, 50) == nodes_of_evaluation(name, 3)


@pytest.mark.parametrize("name", ["maml", "maml_plus_plus"])
def test_loop_is_compiled_by_xla(name):
    x, _ = line_episodes()
    model, copied = pair(name, dense_learner, mse)
    step = tf.function(
        lambda x: model._run(batch_tensors(x), training=False).y_pred, jit_compile=True
    )
    tensors = {k: tf.constant(v) for k, v in x.items()}
    np.testing.assert_allclose(step(tensors), copied(x), atol=1e-5)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_gradient_through_an_evaluation_is_exact(jit_compile):
    x, _ = line_episodes()
    tensors = {k: tf.constant(v) for k, v in x.items()}
    gradients = []
    for model in pair("maml", dense_learner, mse, task_execution="map"):

        @tf.function(jit_compile=jit_compile)
        def gradient(model=model):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(tf.square(model(tensors, training=False)))
            return tape.gradient(loss, model.learner.trainable_weights)

        gradients.append(gradient())
    for looped, copied in zip(*gradients, strict=True):
        np.testing.assert_allclose(looped, copied, rtol=1e-4, atol=1e-4)


def test_gradients_of_the_first_step_are_available_in_evaluation():
    x, y = line_episodes()
    loss = kml.losses.RapidGeneralizationLoss(
        "mse", kml.losses.TaskSimilarityLoss(representation="gradient")
    )
    looped, copied = pair("maml", dense_learner, lambda: loss)
    assert looped.evaluate(x, y, verbose=0) == pytest.approx(
        copied.evaluate(x, y, verbose=0), rel=1e-5
    )


def test_overrides_receive_tensors_only_if_their_class_declares_it():
    received = []

    class Recorder(A.MAML):
        def update(self, step, *arguments):
            received.append(step)
            return super().update(step, *arguments)

    class Declared(Recorder):
        loops_evaluation = True

        def update(self, step, *arguments):
            return super().update(step, *arguments)

    class Looping(A.MAML):
        loops_evaluation = True

        def update(self, step, *arguments):
            received.append(step)
            return super().update(step, *arguments)

    x, _ = line_episodes()
    for cls in (Recorder, Declared, Looping):
        received.clear()
        model = kml.MetaModel(dense_learner(), cls(4, 0.1), task_execution="map")
        model.compile("sgd", "mse")
        model.predict(x, verbose=0)
        if cls is Looping:
            assert len(received) < 4 and tf.is_tensor(received[-1])
        else:
            # `Declared` calls the override of a class that declares nothing.
            assert (cls is Declared) == tf.is_tensor(received[-1])


def test_paths_and_training_are_copied():
    x, _ = line_episodes(tasks=1)
    tensors = {k: tf.constant(v[0]) for k, v in x.items()}
    model = kml.MetaModel(dense_learner(), A.MAML(2, 0.1, evaluation_steps=3))
    model.compile("sgd", "mse")
    path = model.adaptation.path(A.Task(**tensors), model._inner_loss(), training=False)
    assert [adapted.steps for adapted in path] == [1, 2, 3]
    adapted = model.adaptation.adapt(
        A.Task(**tensors), model._inner_loss(), training=False
    )
    assert adapted.steps == 3
    for ours, theirs in zip(adapted.weights, path[-1].weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-7)
