"""Tests meta-gradients and update rules against independent computations."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from keras_metaloss.models.meta._episodes import batch_tensors
from tests.helpers.meta_models import (
    classification_loss,
    conv_learner,
    dense_learner,
    image_episodes,
    line_episodes,
    step_change,
)

A = kml.adaptation


def context_learner():
    return keras.Sequential(
        [
            keras.Input((1,)),
            kml.layers.ContextVector(3),
            keras.layers.Dense(6, "tanh"),
            keras.layers.Dense(1),
        ]
    )


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


def build(adaptation, learner, optimizer=None):
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    model = kml.MetaModel(learner(), adaptation)
    model.compile(optimizer or keras.optimizers.SGD(1.0), loss="mse")
    return model


@pytest.mark.parametrize("name", sorted(EXACT))
def test_meta_gradient_matches_finite_differences(name):
    keras.config.set_floatx("float64")
    adaptation, learner = EXACT[name]
    model = build(adaptation(), learner)
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


def test_anil_does_not_adapt_the_body():
    model = build(A.ANIL(3, 0.1), dense_learner)
    x, _ = line_episodes()
    adapted = model.adapt(x["support_x"][0], x["support_y"][0])
    before, after = model.learner.get_weights(), adapted.get_weights()
    assert [np.array_equal(a, b) for a, b in zip(before, after, strict=True)] == [
        True,
        True,
        False,
        False,
    ]


def test_anil_rejects_duplicate_layer_names():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, name="head")])
    learner = keras.Sequential(
        [keras.Input((4,)), inner, keras.layers.Dense(3, name="head")]
    )
    with pytest.raises(ValueError, match="names must be unique.*not unique: .'head'"):
        kml.MetaModel(learner, A.ANIL(layers=["head"]))


def test_anil_with_all_layers_equals_maml():
    episodes = line_episodes()
    anil = build(A.ANIL(2, 0.1, layers=["dense", "dense_1"]), dense_learner)
    maml = build(A.MAML(2, 0.1), dense_learner)
    expected = step_change(maml, episodes)
    np.testing.assert_allclose(step_change(anil, episodes), expected, atol=1e-7)


def test_meta_sgd_initially_equals_maml_and_trains_rates():
    x, y = line_episodes()
    meta_sgd = build(A.MetaSGD(1, 0.1), dense_learner)
    maml = build(A.MAML(1, 0.1), dense_learner)
    np.testing.assert_allclose(meta_sgd(x), maml(x), atol=1e-7)
    meta_sgd.train_on_batch(x, y)
    assert all(np.ptp(rate.numpy()) > 0 for rate in meta_sgd.adaptation.rates[:3])


def test_maml_plus_plus_equals_maml_after_annealing():
    """With equal rates and only the last step's loss, MAML++ reduces to MAML."""
    episodes = line_episodes()
    keras.backend.clear_session()
    plus = build(
        A.MAMLPlusPlus(2, 0.1, multi_step_updates=5, normalization="support"),
        dense_learner,
    )
    plus.adaptation.set_updates(tf.constant(5))
    np.testing.assert_allclose(plus.adaptation.outer_weights(), [0.0, 1.0])
    maml = build(A.MAML(2, 0.1), dense_learner)
    expected = step_change(maml, episodes)
    actual = step_change(plus, episodes)[: len(expected)]
    np.testing.assert_allclose(actual, expected, atol=1e-6)


def test_multi_step_loss_weights_move_to_the_last_step():
    adaptation = A.MAMLPlusPlus(4, 0.1, multi_step_updates=100)
    build(adaptation, dense_learner)
    np.testing.assert_allclose(adaptation.outer_weights(), [0.25] * 4)
    adaptation.set_updates(tf.constant(50))
    np.testing.assert_allclose(adaptation.outer_weights(), [0.125] * 3 + [0.625])
    adaptation.set_updates(tf.constant(99))
    least = 0.03 / 4
    expected = [least] * 3 + [1 - 3 * least]
    np.testing.assert_allclose(adaptation.outer_weights(), expected, rtol=1e-6)


def test_multi_step_loss_is_not_computed_after_annealing():
    adaptation = A.MAMLPlusPlus(2, 0.1, multi_step_updates=3)
    model = build(adaptation, dense_learner)
    x, y = line_episodes(tasks=8)
    model.fit(x, y, batch_size=4, epochs=1, verbose=0)
    assert adaptation.outer_weights() is not None
    model.fit(x, y, batch_size=4, epochs=3, initial_epoch=1, verbose=0)
    assert int(adaptation.updates) == 6
    assert adaptation.outer_weights() is None


def test_first_order_updates_precede_second_order():
    episodes = line_episodes()
    settings = {"learning_rate": 0.1, "normalization": "support"}
    annealed = build(
        A.MAMLPlusPlus(2, first_order_updates=1, **settings), dense_learner
    )
    first = build(A.MAML(2, 0.1, first_order=True), dense_learner)
    expected = step_change(first, episodes)
    actual = step_change(annealed, episodes)[: len(expected)]
    np.testing.assert_allclose(actual, expected, atol=1e-6)
    assert int(annealed.adaptation.updates) == 1
    second = build(A.MAMLPlusPlus(2, **settings), dense_learner)
    second.set_weights(annealed.get_weights())
    np.testing.assert_allclose(
        step_change(annealed, episodes), step_change(second, episodes), atol=1e-6
    )


def test_reptile_moves_towards_mean_adapted_weights():
    x, y = line_episodes()
    model = build(A.Reptile(3, 0.1), dense_learner, keras.optimizers.SGD(0.5))
    start = model.learner.get_weights()
    adapted = []
    for index in range(len(y)):
        learner = keras.models.clone_model(model.learner)
        learner.set_weights(start)
        learner.compile(keras.optimizers.SGD(0.1), loss="mse")
        for _ in range(3):
            learner.train_on_batch(x["support_x"][index], x["support_y"][index])
        adapted.append(learner.get_weights())
    model.train_on_batch(x, y)
    for index, (w, new) in enumerate(
        zip(start, model.learner.get_weights(), strict=True)
    ):
        mean = np.mean([a[index] for a in adapted], axis=0)
        np.testing.assert_allclose(new, w + 0.5 * (mean - w), atol=1e-6)


def test_reptile_batches_contain_each_example_once_per_epoch():
    from keras_metaloss.adaptation.gradient_based.reptile import _Batches

    x = tf.range(6.0)[:, tf.newaxis]
    task = A.Task(x, x, x, None, None, tf.constant(3))
    batches = _Batches(task, 2, tf.constant(7))
    rounds = [
        np.concatenate([batches(tf.constant(r * 3 + k)).support_x for k in range(3)])
        for r in range(2)
    ]
    for one in rounds:
        np.testing.assert_array_equal(np.sort(one, axis=0), x)
    assert not np.array_equal(*rounds)
    other = _Batches(task, 2, tf.constant(8))
    assert not all(
        np.array_equal(
            batches(tf.constant(k)).support_x, other(tf.constant(k)).support_x
        )
        for k in range(3)
    )


def test_reptile_batches_exclude_padded_examples():
    from keras_metaloss.adaptation.gradient_based.reptile import _Batches

    x = tf.range(7.0)[:, tf.newaxis]
    mask = tf.constant([True, False, True, False, True, True, False])
    batches = _Batches(A.Task(x, x, x, mask, None, tf.constant(0)), 2, tf.constant(7))
    for r in range(3):
        drawn = [batches(tf.constant(2 * r + k)) for k in range(2)]
        rows = np.concatenate([task.support_x for task in drawn])
        np.testing.assert_array_equal(np.sort(rows[:, 0]), [0, 2, 4, 5])
        assert all(np.all(task.support_mask) for task in drawn)


def test_reptile_predictions_do_not_depend_on_task_position():
    model = kml.MetaModel(conv_learner(), A.Reptile(3, 0.1, batch_size=2))
    model.compile(loss=classification_loss(), run_eagerly=True)
    x, _ = image_episodes(tasks=3)
    turned = {k: v[::-1] for k, v in x.items()}
    np.testing.assert_allclose(model(turned)[::-1], model(x), atol=1e-6)


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


def test_implicit_gradient_matches_closed_form_of_quadratic():
    """Linear regression has a closed-form inner solution and derivative."""
    keras.config.set_floatx("float64")
    rng = np.random.default_rng(0)
    size, strength = 3, 0.7
    support_x, query_x = rng.normal(size=(2, 1, 8, size))
    support_y, query_y = rng.normal(size=(2, 1, 8, 1))

    def learner():
        layer = keras.layers.Dense(1, use_bias=False)
        return keras.Sequential([keras.Input((size,)), layer])

    adaptation = A.ImplicitMAML(400, 0.1, strength=strength, solver_steps=size + 1)
    model = build(adaptation, learner)
    theta = model.learner.get_weights()[0]
    episode = {"support_x": support_x, "support_y": support_y, "query_x": query_x}
    change = step_change(model, (episode, query_y))

    hessian = 2 * support_x[0].T @ support_x[0] / 8
    system = hessian + strength * np.eye(size)
    right = 2 * support_x[0].T @ support_y[0] / 8 + strength * theta
    phi = np.linalg.solve(system, right)
    slope = 2 * query_x[0].T @ (query_x[0] @ phi - query_y[0]) / 8
    expected = -strength * np.linalg.solve(system, slope)
    np.testing.assert_allclose(change, expected.ravel(), rtol=1e-8)


def test_conjugate_gradients_converge_and_then_stay_constant():
    from keras_metaloss.adaptation.gradient_based.implicit_maml import (
        conjugate_gradients,
    )

    rng = np.random.default_rng(0)
    factor = rng.normal(size=(5, 5))
    matrix = tf.constant(factor @ factor.T + np.eye(5))
    target = tf.constant(rng.normal(size=5))
    (x,) = conjugate_gradients(lambda v: [tf.linalg.matvec(matrix, v[0])], [target], 12)
    np.testing.assert_allclose(x, np.linalg.solve(matrix, target), rtol=1e-8)


def test_outer_loop_does_not_train_the_context():
    model = build(A.CAVIA(2, 0.5), context_learner)
    x, y = line_episodes()
    for _ in range(3):
        model.train_on_batch(x, y)
    context = model.learner.layers[0].context.numpy()
    np.testing.assert_array_equal(context, np.zeros(3))
    adapted = model.adapt(x["support_x"][0], x["support_y"][0])
    before, after = model.learner.get_weights(), adapted.get_weights()
    assert not np.array_equal(before[0], after[0])
    for a, b in zip(before[1:], after[1:], strict=True):
        np.testing.assert_array_equal(a, b)


WRONG = {
    "layers": lambda: build(A.ANIL(layers=["head"]), dense_learner),
    "ContextVector": lambda: build(A.CAVIA(), dense_learner),
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


def pooling_model(pooling, adaptation):
    learner = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Conv2D(2, 3, padding="same"),
            pooling,
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )
    model = kml.MetaModel(learner, adaptation)
    model.compile("sgd", "mse", jit_compile=True)
    return model


def test_keras_max_pooling_warns_under_xla_with_second_order():
    model = pooling_model(keras.layers.MaxPooling2D(name="pool"), A.MAML())
    with pytest.warns(UserWarning, match="pool.*TwiceDifferentiableMaxPool2D"):
        model.make_train_function()


@pytest.mark.parametrize(
    ("pooling", "adaptation"),
    [
        (keras.layers.MaxPooling2D, A.MAML(first_order=True)),
        (keras.layers.MaxPooling2D, A.Reptile()),
        (kml.layers.TwiceDifferentiableMaxPool2D, A.MAML()),
    ],
)
def test_pooling_with_correct_gradients_does_not_warn(pooling, adaptation):
    pooling_model(pooling(), adaptation).make_train_function()
