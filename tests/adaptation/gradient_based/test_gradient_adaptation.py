"""Meta-gradients and arguments of all gradient-based methods."""

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
    dense_learner,
    image_episodes,
    line_episodes,
    mse_model,
    step_change,
)

A = kml.adaptation
# Methods whose meta-gradient is the exact gradient of the outer loss.
EXACT = {
    "anil": (lambda: A.ANIL(2, 0.1), dense_learner),
    "anil_body": (lambda: A.ANIL(2, 0.1, layers=["dense"]), dense_learner),
    "meta_sgd": (lambda: A.MetaSGD(2, 0.1), dense_learner),
    "maml_plus_plus": (
        lambda: A.MAMLPlusPlus(3, 0.1, multi_step_updates=10),
        dense_learner,
    ),
    "cavia": (lambda: A.CAVIA(2, 0.5), context_learner),
    "momentum": (
        lambda: A.MAML(3, optimizer=keras.optimizers.SGD(0.1, momentum=0.9)),
        dense_learner,
    ),
    "adam": (lambda: A.MAML(2, optimizer=keras.optimizers.Adam(0.05)), dense_learner),
    "clipped": (
        lambda: A.MAML(2, optimizer=keras.optimizers.SGD(0.1, global_clipnorm=0.5)),
        dense_learner,
    ),
}


@pytest.mark.parametrize("name", sorted(EXACT))
def test_meta_gradient_matches_finite_differences(name):
    keras.config.set_floatx("float64")
    adaptation, learner = EXACT[name]
    model = mse_model(adaptation(), learner)
    x, y = line_episodes(tasks=2)
    x, y = {k: v.astype("float64") for k, v in x.items()}, y.astype("float64")

    @tf.function
    def loss():
        result = model._run(batch_tensors(x), training=True)
        return model._outer_loss(x, tf.constant(y), result, None)

    rng = np.random.default_rng(0)
    numeric, entries, offset, step = [], [], 0, 1e-5
    for variable in model.trainable_variables:
        value = variable.numpy()
        for index in rng.choice(value.size, min(value.size, 3), replace=False):
            results = []
            for sign in (1, -1):
                moved = value.copy()
                moved.flat[index] += sign * step
                variable.assign(moved)
                results.append(float(loss()))
            variable.assign(value)
            numeric.append((results[0] - results[1]) / (2 * step))
            entries.append(offset + index)
        offset += value.size
    numeric = np.array(numeric)
    actual = -step_change(model, (x, y))[entries]
    assert np.abs(numeric).max() > 1e-3
    assert np.abs(actual - numeric).max() < 1e-6 * np.abs(numeric).max()


def test_second_order_gradient_of_bias_in_graph_mode():
    """On CPUs, TensorFlow fuses bias and kernel gradients, which can create a cycle."""
    learner = kml.learners.conv4((8, 8, 2), 3, filters=3)
    model = kml.MetaModel(learner, A.MetaSGD(1, 0.3))
    model.compile(loss=classification_loss())
    episodes = image_episodes()
    x = {
        k: np.pad(v, ((0, 0),) * 2 + ((1, 1),) * 2 + ((0, 0),)) if v.ndim == 5 else v
        for k, v in episodes[0].items()
    }
    assert np.isfinite(model.train_on_batch(x, episodes[1]))


WRONG = {
    "layers": lambda: mse_model(A.ANIL(layers=["head"]), dense_learner),
    "ContextVector": lambda: mse_model(A.CAVIA(), dense_learner),
    "strength": lambda: A.ImplicitMAML(strength=0.0),
    "batch_size": lambda: A.Reptile(batch_size=0),
    "normalization": lambda: A.Reptile(normalization="per_step"),
    "task_execution": lambda: kml.MetaModel(
        dense_learner(), A.ImplicitMAML(), task_execution="vectorized"
    ),
    "`learning_rate`": lambda: A.MAML(1, 0.1, optimizer=keras.optimizers.SGD()),
    "multi_step_updates": lambda: A.MAMLPlusPlus(multi_step_updates=-1),
}


@pytest.mark.parametrize("message", sorted(WRONG))
def test_invalid_arguments_raise_value_error(message):
    with pytest.raises(ValueError, match=message):
        WRONG[message]()


@pytest.mark.parametrize("adaptation", [A.Reptile(), A.ImplicitMAML()])
def test_gradient_similarity_loss_requires_inner_gradients(adaptation):
    model = kml.MetaModel(dense_learner(), adaptation)
    model.compile(
        "sgd",
        kml.losses.RapidGeneralizationLoss(
            keras.losses.MeanSquaredError(),
            kml.losses.TaskSimilarityLoss(representation="gradient"),
        ),
    )
    with pytest.raises(ValueError, match="gradients"):
        model.train_on_batch(*line_episodes())


def test_small_inner_gradients_do_not_underflow_in_float16():
    """Gradients of 1e-8, below the smallest positive float16, are preserved."""
    keras.config.set_dtype_policy("mixed_float16")
    learner = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    adaptation = kml.adaptation.MAML(
        1, 1.0, loss=lambda y_true, y_pred: 1e-8 * (y_pred - y_true)[..., 0]
    )
    model = kml.MetaModel(learner, adaptation)
    model.compile("sgd", "mse")
    task = kml.adaptation.Task(
        tf.ones([4, 1]), tf.zeros([4, 1]), tf.ones([4, 1]), None, None, tf.constant(0)
    )
    inner_loss = model._inner_loss()
    gradients, _ = adaptation.gradients(
        adaptation.initial(task), task, inner_loss, training=True
    )
    np.testing.assert_allclose(gradients[0], [[1e-8]], rtol=0.05)


SPARSE = {
    "sgd": lambda: kml.adaptation.MAML(1, 0.1),
    "adam": lambda: kml.adaptation.MAML(1, optimizer=keras.optimizers.Adam(0.01)),
    "adamw": lambda: kml.adaptation.MAML(1, optimizer=keras.optimizers.AdamW(0.01)),
    "rmsprop": lambda: kml.adaptation.MAML(
        1, optimizer=keras.optimizers.RMSprop(0.01, centered=True)
    ),
    "implicit": lambda: kml.adaptation.ImplicitMAML(2, 0.1),
}


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
@pytest.mark.parametrize("name", SPARSE)
def test_embeddings_train_with_every_inner_optimizer(name, policy):
    keras.config.set_dtype_policy(policy)
    learner = keras.Sequential(
        [
            keras.Input((2,), dtype="int32"),
            keras.layers.Embedding(4, 5),
            keras.layers.Flatten(),
            keras.layers.Dense(2),
        ]
    )
    model = kml.MetaModel(learner, SPARSE[name]())
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    x, y = np.array([[[1, 2], [2, 2], [3, 1]]]), np.array([[0, 1, 0]])
    episode = {"support_x": x, "support_y": y, "query_x": x}
    history = model.fit(episode, y, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


@pytest.mark.parametrize("clipping", ["clipnorm", "clipvalue"])
def test_clipping_of_embeddings_clips_the_whole_gradient(clipping):
    learner = keras.Sequential(
        [
            keras.Input((4,), dtype="int32"),
            keras.layers.Embedding(2, 1),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(1, use_bias=False),
        ]
    )
    learner.set_weights([np.ones((2, 1)), np.ones((1, 1))])
    optimizer = keras.optimizers.SGD(1.0, **{clipping: 0.1})
    adaptation = kml.adaptation.MAML(1, optimizer=optimizer, loss="mse")
    model = kml.MetaModel(learner, adaptation)
    # The gradient with respect to the row of the repeated word is 2.
    adapted = model.adapt(np.array([[1, 1, 1, 1]]), np.array([[0.0]]))
    step = 1.0 - adapted.get_weights()[0][1, 0]
    assert step == pytest.approx(0.1, abs=1e-6)
