"""Selection and equivalence of the outer steps."""

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
