"""Outer steps: selection, equivalence and meta-gradients."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from keras_metaloss.models.meta._outer_step import (
    JointStep,
    PerTaskStep,
    WeightDifferenceStep,
    outer_step_for,
)
from keras_metaloss.models.meta._task_execution import TaskExecution
from tests.helpers.meta_models import (
    classification_loss,
    conv_model,
    image_episodes,
    step_change,
)

MAP = TaskExecution("map", "")
VECTORIZED = TaskExecution("vectorized", "")
Rapid = kml.losses.RapidGeneralizationLoss


class PerExample(kml.losses.MetaLoss):
    per_example = True

    def values(self, y_true, y_pred, context):
        return tf.reduce_mean(tf.abs(y_true - y_pred) ** 3, axis=-1)


class Comparing(PerExample):
    """The same values from a loss that does not promise independent examples."""

    per_example = False


SPARSE_FOCAL = kml.losses.SparseCategoricalFocalLoss(from_logits=True)


@pytest.mark.parametrize(
    "loss",
    [
        PerExample(),
        SPARSE_FOCAL,
        kml.losses.BinaryFocalLoss(),
        kml.losses.AdaptiveRobustLoss(learned=False),
        kml.losses.OneVsRest("mse"),
        kml.losses.AdaLoss(SPARSE_FOCAL),
        Rapid(PerExample()),
        "mse",
    ],
)
def test_losses_of_single_examples_are_computed_task_by_task(loss):
    assert outer_step_for(kml.adaptation.MAML(), MAP, loss) is PerTaskStep


@pytest.mark.parametrize(
    "loss",
    [
        Comparing(),
        kml.losses.TripletLoss(),
        kml.losses.BinaryFocalLoss(axis=0),
        kml.losses.AdaLoss(SPARSE_FOCAL, alpha="standardized"),
        kml.losses.OneVsRest(keras.losses.Dice()),
        Rapid("mse", kml.losses.TaskLossVariance()),
        PerExample(reduction="sum"),
    ],
)
def test_losses_that_compare_examples_take_all_tasks_at_once(loss):
    assert outer_step_for(kml.adaptation.MAML(), MAP, loss) is JointStep


def test_execution_and_adaptation_decide_too():
    select = outer_step_for
    assert select(kml.adaptation.MAML(), VECTORIZED, "mse") is JointStep
    assert select(kml.adaptation.PrototypicalNetwork(), MAP, "mse") is JointStep
    assert select(kml.adaptation.Reptile(), MAP, "mse") is WeightDifferenceStep


@pytest.mark.parametrize("adaptation", ["MAML", "ANIL", "MAMLPlusPlus"])
def test_joint_and_per_task_steps_are_the_same_step(adaptation):
    weights = []
    random = np.random.default_rng(0)
    x = {
        "support_x": random.normal(size=(4, 5, 2)).astype("float32"),
        "support_y": random.normal(size=(4, 5, 1)).astype("float32"),
        "query_x": random.normal(size=(4, 6, 2)).astype("float32"),
    }
    y = random.normal(size=(4, 6, 1)).astype("float32")
    for loss in (PerExample(), Comparing()):
        keras.utils.set_random_seed(0)
        learner = kml.learners.mlp((2,), 1)
        model = kml.MetaModel(
            learner,
            getattr(kml.adaptation, adaptation)(2, 0.05, loss="mse"),
            task_execution="map",
        )
        model.compile(keras.optimizers.SGD(0.1), loss)
        model.fit(x, y, epochs=2, verbose=0)
        weights.append(model.get_weights())
    for ours, theirs in zip(*weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


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


def test_meta_gradient_does_not_depend_on_task_order():
    x, y = image_episodes(tasks=4)
    order = np.array([2, 0, 3, 1])
    shuffled = {k: v[order] for k, v in x.items()}, y[order]
    expected = step_change(conv_model(), (x, y))
    np.testing.assert_allclose(step_change(conv_model(), shuffled), expected, atol=2e-6)
