"""The meta-gradient against finite differences and between execution modes."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.meta_models import (
    classification_loss,
    conv_model,
    image_episodes,
    step_change,
)

NORMALIZATIONS = ["support", "batch", "moving", "per_step"]


def numeric_gradient(model, episodes, entries, step=1e-5):
    """Returns central differences of the loss for some entries of the weights."""
    x, y = episodes
    x = {name: tf.constant(value) for name, value in x.items()}

    @tf.function
    def loss():
        return model.compute_loss(x, y, model(x, training=True))

    def moved(variable, index, change):
        value = variable.numpy()
        changed = value.copy()
        changed.flat[index] += change
        variable.assign(changed)
        result = float(loss())
        variable.assign(value)
        return result

    return np.array(
        [
            (moved(variable, index, step) - moved(variable, index, -step)) / (2 * step)
            for variable, index in entries
        ]
    )


@pytest.mark.parametrize("loss_kind", ["separable", "across tasks"])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_meta_gradient_matches_central_differences(normalization, loss_kind):
    keras.config.set_floatx("float64")
    episodes = image_episodes(tasks=2, dtype="float64")
    model = conv_model(normalization=normalization)
    if loss_kind == "across tasks":
        model.compile(
            optimizer=keras.optimizers.SGD(1.0),
            loss=kml.losses.RapidGeneralizationLoss(
                classification_loss(), kml.losses.TaskLossVariance()
            ),
        )
    sizes = [int(np.prod(v.shape)) for v in model.trainable_variables]
    starts = np.cumsum([0, *sizes])
    random = np.random.default_rng(0)
    chosen = [
        (number, int(index))
        for number, size in enumerate(sizes)
        for index in random.choice(size, min(size, 3), replace=False)
    ]
    entries = [(model.trainable_variables[number], index) for number, index in chosen]
    expected = numeric_gradient(model, episodes, entries)
    actual = -step_change(model, episodes)
    positions = [starts[number] + index for number, index in chosen]
    difference = np.abs(actual[positions] - expected).max()
    assert difference < 1e-6 * np.abs(expected).max()


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_meta_gradient_is_equal_in_eager_and_xla_modes(normalization):
    episodes = image_episodes()
    expected = step_change(conv_model(normalization=normalization), episodes)
    for compiling in ({"run_eagerly": True}, {"jit_compile": True}):
        model = conv_model(normalization=normalization, **compiling)
        assert np.abs(step_change(model, episodes) - expected).max() < 1e-5


@pytest.mark.parametrize("execution", ["vectorized", "unrolled"])
def test_task_execution_does_not_change_the_result(execution):
    keras.utils.set_random_seed(0)
    episodes = image_episodes()
    expected = step_change(conv_model("map"), episodes)
    actual = step_change(conv_model(execution), episodes)
    assert np.abs(actual - expected).max() < 1e-5


def test_first_order_differs_from_second_order():
    episodes = image_episodes()
    second = step_change(conv_model(), episodes)
    first = step_change(conv_model(first_order=True), episodes)
    assert np.abs(second - first).max() > 1e-2 * np.abs(second).max()


def test_first_order_equals_second_order_at_rate_zero():
    episodes = image_episodes()
    second = step_change(conv_model(learning_rate=0.0), episodes)
    first = step_change(conv_model(learning_rate=0.0, first_order=True), episodes)
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-7)


def test_meta_gradient_does_not_depend_on_task_order():
    x, y = image_episodes(tasks=4)
    order = np.array([2, 0, 3, 1])
    shuffled = {k: v[order] for k, v in x.items()}, y[order]
    expected = step_change(conv_model(), (x, y))
    np.testing.assert_allclose(step_change(conv_model(), shuffled), expected, atol=2e-6)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_predictions_do_not_depend_on_other_tasks(normalization):
    x, _ = image_episodes(tasks=4)
    model = conv_model(normalization=normalization)
    together = model.predict(x, verbose=0)
    alone = model.predict({k: v[2:3] for k, v in x.items()}, verbose=0)
    np.testing.assert_allclose(together[2], alone[0], atol=1e-6)
