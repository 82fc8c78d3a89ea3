"""Task execution of `MetaModel`: report, reductions and dropout."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_metaloss as kml
from tests.helpers.meta_models import (
    classification_loss,
    conv_learner,
    conv_model,
    dense_learner,
    image_episodes,
    line_episodes,
    line_model,
    step_change,
)


@pytest.mark.parametrize("reduction", ["sum", "sum_over_batch_size"])
def test_task_execution_does_not_change_reductions(reduction):
    episodes = line_episodes()
    losses = []
    for execution in ("map", "vectorized"):
        keras.utils.set_random_seed(1)
        model = kml.MetaModel(
            dense_learner(), kml.adaptation.MAML(1, 0.1), task_execution=execution
        )
        model.compile(
            loss=kml.losses.RapidGeneralizationLoss("mse", None, reduction=reduction),
            run_eagerly=True,
        )
        losses.append(float(model.train_on_batch(*episodes)))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_dropout_works_in_every_task_execution():
    x, y = image_episodes()
    for execution in ("map", "unrolled"):
        model = kml.MetaModel(
            conv_learner(dropout=0.5),
            kml.adaptation.MAML(1, 0.1),
            task_execution=execution,
        )
        model.compile(optimizer="sgd", loss=classification_loss())
        assert np.isfinite(model.train_on_batch(x, y))
        np.testing.assert_allclose(model(x), model(x))


def test_task_execution_report_states_the_reason():
    assert "Conv2D" in conv_model().task_execution_report()
    assert "'vectorized'" in line_model().task_execution_report()
    assert (
        "Requested explicitly"
        in line_model(task_execution="map").task_execution_report()
    )


@pytest.mark.parametrize("execution", ["vectorized", "unrolled"])
def test_task_execution_does_not_change_the_result(execution):
    keras.utils.set_random_seed(0)
    episodes = image_episodes()
    expected = step_change(conv_model("map"), episodes)
    actual = step_change(conv_model(execution), episodes)
    assert np.abs(actual - expected).max() < 1e-5


def test_unknown_task_execution_raises():
    with pytest.raises(ValueError, match="`task_execution`.*'fast'"):
        kml.MetaModel(dense_learner(), kml.adaptation.MAML(), task_execution="fast")
