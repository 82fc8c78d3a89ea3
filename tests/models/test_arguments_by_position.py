"""`fit`, `evaluate` and `predict` accept positional arguments in Keras's order."""

from __future__ import annotations

import inspect

import keras
import numpy as np
import pytest

import keras_metaloss as kml
from tests.helpers import joint_models, multi_task_models
from tests.helpers.meta_models import dense_learner, line_episodes


def meta():
    model = kml.MetaModel(dense_learner(), kml.adaptation.MAML(1, 0.1))
    model.compile(optimizer="sgd", loss="mse")
    return model, *line_episodes()


def joint():
    x, y = joint_models.data("value", "vector")
    model = kml.JointModel(joint_models.network(1), joint_models.network(2))
    loss = kml.losses.MutualInformationLoss("mse", "mse", beta=0.0)
    model.compile(optimizer="sgd", loss=loss)
    return model, x, y


def multi_task():
    model = kml.MultiTaskModel(multi_task_models.network())
    model.compile(optimizer="sgd", loss=multi_task_models.losses())
    return model, *multi_task_models.batch()


def adaptive():
    model = kml.AdaptiveLossModel(dense_learner())
    model.compile(optimizer="sgd", loss=kml.losses.AdaptiveRobustLoss())
    return model, *np.random.default_rng(0).normal(size=(2, 8, 1))


MODELS = [meta, joint, multi_task, adaptive]


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_positional_arguments_work_as_in_keras(make):
    model, x, y = make()
    seen = []
    counter = keras.callbacks.LambdaCallback(on_epoch_end=lambda *a: seen.append(a))
    history = model.fit(x, y, 2, 3, 0, [counter])
    assert len(seen) == len(history.history["loss"]) == 3
    assert np.all(np.isfinite(model.evaluate(x, y, 2, 0)))
    predicted = keras.tree.flatten(model.predict(x, 2, 0))[0]
    assert len(predicted) == len(keras.tree.flatten(y)[0])


@pytest.mark.parametrize("name", ["fit", "evaluate", "predict"])
@pytest.mark.parametrize("cls", [kml.MetaModel, kml.JointModel, kml.MultiTaskModel])
def test_names_and_defaults_match_keras(cls, name):
    ours, theirs = (
        inspect.signature(getattr(c, name)).parameters for c in (cls, keras.Model)
    )
    named = [p for p in ours.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    for own, other in zip(named, theirs.values(), strict=False):
        assert (own.name, own.default) == (other.name, other.default)
