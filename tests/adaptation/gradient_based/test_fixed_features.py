"""Layers that the inner loop does not change are run once per task."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from keras_metaloss.adaptation.gradient_based import gradient_adaptation
from tests.helpers.meta_models import classification_loss, image_episodes

A = kml.adaptation
L = keras.layers


def body(frozen, normalized=True, dropout=0.0, regularizer=None):
    inputs = keras.Input((6, 6, 2))
    x = L.Conv2D(4, 3, padding="same", kernel_regularizer=regularizer)(inputs)
    x = L.BatchNormalization()(x) if normalized else x
    x = L.Activation("tanh")(x)
    x = L.Add()([x, L.Conv2D(4, 1)(inputs)])
    x = L.Dropout(dropout)(x) if dropout else x
    model = keras.Model(inputs, L.GlobalAveragePooling2D()(x), name="body")
    model.trainable = not frozen
    return model


def sequential(frozen=True, **settings):
    return keras.Sequential(
        [keras.Input((6, 6, 2)), body(frozen, **settings), L.Dense(3, name="head")]
    )


def flat(frozen=True, **settings):
    """Builds a model in which a frozen tensor is used by two later layers."""
    trunk = body(frozen, **settings)
    head = L.Dense(5, "tanh", kernel_regularizer="l2")(trunk.output)
    joined = L.Concatenate()([head, trunk.output])
    model = keras.Model(trunk.input, L.Dense(3)(joined))
    return model


def two_inputs(frozen=True):
    images, codes = keras.Input((6, 6, 2), name="images"), keras.Input((2,), name="b")
    joined = L.Concatenate()([body(frozen)(images), codes])
    return keras.Model({"images": images, "b": codes}, L.Dense(3)(joined))


LEARNERS = {
    "sequential": sequential,
    "flat": flat,
    "regularized": lambda: sequential(regularizer="l2"),
    "two_inputs": two_inputs,
}
METHODS = {
    "maml": lambda: A.MAML(3, 0.1),
    "fomaml": lambda: A.MAML(3, 0.1, first_order=True),
    "moving": lambda: A.MAML(3, 0.1, normalization="moving"),
    "batch": lambda: A.MAML(3, 0.1, normalization="batch"),
    "meta_sgd": lambda: A.MetaSGD(3, 0.1),
    "maml_plus_plus": lambda: A.MAMLPlusPlus(
        3, 0.1, multi_step_updates=10, normalization="support"
    ),
    "reptile": lambda: A.Reptile(3, 0.1),
    "implicit_maml": lambda: A.ImplicitMAML(3, 0.1),
}


@pytest.fixture
def without_split(monkeypatch):
    def switch():
        monkeypatch.setattr(
            gradient_adaptation, "with_features", lambda self, task, *a, **k: task
        )

    return switch


def episodes(learner):
    x, y = image_episodes()
    x["support_mask"] = np.arange(6) < np.array([[6], [4], [5]])
    if len(getattr(learner, "inputs", None) or [0]) == 2:
        for part in ("support_x", "query_x"):
            codes = x[part].mean(axis=(-3, -2))
            x[part] = {"images": x[part], "b": codes}
    return x, y


def results(learner, method, **settings):
    """Returns predictions, loss, adapted weights and weights after training."""
    keras.utils.set_random_seed(0)
    learner = learner()
    model = kml.MetaModel(learner, method(), **settings)
    model.compile("sgd", classification_loss())
    x, y = episodes(learner)
    values = [model.predict(x, verbose=0), model.evaluate(x, y, verbose=0)]
    support = keras.tree.map_structure(lambda v: v[0], x["support_x"])
    values += model.adapt(support, x["support_y"][0]).get_weights()
    model.fit(x, y, epochs=2, verbose=0)
    return values + model.get_weights() + [model.predict(x, verbose=0)]


def features_used(learner, method, training):
    """Returns whether the inner steps run only a part of the learner."""
    model = kml.MetaModel(learner, method)
    model.compile("sgd", classification_loss())
    used = []
    original = method.support_pass

    def support_pass(task, *args, **kwargs):
        used.append(task.features is not None)
        return original(task, *args, **kwargs)

    method.support_pass = support_pass
    x, _ = episodes(learner)
    tensors = keras.tree.map_structure(lambda v: tf.constant(v[0]), x)
    method.adapt(A.Task(**tensors), model._inner_loss(), training=training)
    return any(used)


@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize("method", ["maml", "moving", "reptile"])
def test_frozen_features_change_no_bit(learner, method, without_split):
    learner, method = LEARNERS[learner], METHODS[method]
    for training in (False, True):
        assert features_used(learner(), method(), training)
    split = results(learner, method)
    without_split()
    for ours, theirs in zip(split, results(learner, method), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("method", sorted(set(METHODS) - {"maml", "moving", "reptile"}))
def test_frozen_features_are_equal_for_all_methods(method, without_split):
    split = results(sequential, METHODS[method])
    without_split()
    for ours, theirs in zip(split, results(sequential, METHODS[method]), strict=True):
        # The outer gradient may be summed in another order.
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("execution", "normalization", "first_order"),
    [
        ("map", "support", False),
        ("map", "moving", True),
        ("vectorized", "support", False),
        ("unrolled", "batch", False),
    ],
)
def test_body_of_anil_is_run_once(execution, normalization, first_order, without_split):
    """Weights and moving averages after training are those of separate passes."""

    def method():
        return A.ANIL(3, 0.1, normalization=normalization, first_order=first_order)

    def learner():
        return sequential(frozen=False, regularizer="l2")

    for training in (False, True):
        assert features_used(learner(), method(), training)
    split = results(learner, method, task_execution=execution)
    without_split()
    copied = results(learner, method, task_execution=execution)
    for ours, theirs in zip(split, copied, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


class Custom(keras.layers.Layer):
    """A layer that draws random numbers without a seed of Keras."""

    def build(self, shape):
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones")

    def call(self, inputs):
        return inputs + tf.random.normal(tf.shape(inputs)) * self.scale


def with_layer(layer):
    learner = keras.Sequential([keras.Input((6, 6, 2)), layer, *sequential().layers])
    layer.trainable = False
    return learner


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.body, self.head = body(True), L.Dense(3)

    def call(self, inputs, training=None):
        return self.head(self.body(inputs, training=training))


def subclassed():
    learner = Subclassed()
    learner(np.zeros((1, 6, 6, 2), "float32"))
    return learner


# Learner, method, and whether the body is run once in evaluation and in training.
CASES = {
    "all_adapted": (lambda: sequential(False), lambda: A.MAML(3), False, False),
    "one_step": (sequential, lambda: A.MAML(1), False, False),
    "dropout": (lambda: sequential(dropout=0.5), lambda: A.MAML(3), True, False),
    "subclassed": (subclassed, lambda: A.MAML(3), False, False),
    "custom_layer": (lambda: with_layer(Custom()), lambda: A.MAML(3), False, False),
    "lambda": (
        lambda: with_layer(L.Lambda(lambda x: 2 * x)),
        lambda: A.MAML(3),
        False,
        False,
    ),
    "first_layers_adapted": (
        lambda: with_layer(L.Dense(2)),
        lambda: A.ANIL(3, layers=["head"]),
        True,
        True,
    ),
    "per_step": (
        lambda: sequential(False),
        lambda: A.ANIL(3, normalization="per_step"),
        False,
        False,
    ),
    "minibatches": (sequential, lambda: A.Reptile(3, batch_size=2), False, False),
}


@pytest.mark.parametrize("name", CASES)
def test_only_layers_that_compute_the_same_are_run_once(name):
    learner, method, *expected = CASES[name]
    actual = [
        features_used(learner(), method(), training) for training in (False, True)
    ]
    assert actual == expected


def test_methods_that_override_steps_receive_the_whole_learner():
    class Augmented(A.MAML):
        def gradients(self, adapted, task, inner_loss, *, training):
            task = task._replace(support_x=task.support_x + 1.0)
            return super().gradients(adapted, task, inner_loss, training=training)

    class Scaled(A.MAML):
        def update(self, step, gradients, optimizer_state, weights):
            halves = [g / 2 for g in gradients]
            return super().update(step, halves, optimizer_state, weights)

    assert not features_used(sequential(), Augmented(3), False)
    assert features_used(sequential(), Scaled(3), False)


def test_dropout_masks_do_not_change(without_split):
    def learner():
        return sequential(dropout=0.5)

    split = results(learner, METHODS["maml"])
    without_split()
    for ours, theirs in zip(split, results(learner, METHODS["maml"]), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_is_the_same(policy, without_split):
    keras.config.set_dtype_policy(policy)
    split = results(sequential, METHODS["maml"])
    without_split()
    for ours, theirs in zip(split, results(sequential, METHODS["maml"]), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_masks_of_the_body_reach_the_tail(without_split):
    tokens = np.array([[1, 2, 0, 0], [2, 1, 1, 0], [1, 1, 2, 2]])
    y = np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 1]])

    def adapted():
        keras.utils.set_random_seed(0)
        embedding = L.Embedding(3, 4, mask_zero=True, trainable=False)
        learner = keras.Sequential(
            [
                keras.Input((4,), dtype="int32"),
                embedding,
                L.LSTM(3, return_sequences=True),
            ]
        )
        learner.add(L.Dense(2))
        model = kml.MetaModel(learner, A.MAML(3, 1.0, loss=classification_loss()))
        return model.adapt(tokens, y).get_weights()

    split = adapted()
    without_split()
    for ours, theirs in zip(split, adapted(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_learner_does_not_change():
    learner = flat()
    config, nodes = learner.get_config(), len(learner.layers[1]._inbound_nodes)
    model = kml.MetaModel(learner, A.MAML(3, 0.1))
    model.compile("sgd", classification_loss())
    x, y = image_episodes()
    model.fit(x, y, verbose=0)
    assert learner.get_config() == config
    assert len(learner.layers[1]._inbound_nodes) == nodes
    assert learner.layers[1].output is not None
