"""Settings of models and adaptation methods cannot change after use."""

from __future__ import annotations

import inspect

import keras
import numpy as np
import pytest

import keras_metaloss as kml
from tests.helpers.meta_models import dense_learner, line_episodes
from tests.helpers.methods import METHODS

A = kml.adaptation


@pytest.mark.parametrize("name", METHODS)
def test_arguments_of_a_used_method_are_read_only(name):
    method = METHODS[name]
    model = kml.MetaModel(method.learner(), method.adaptation())
    adaptation = model.adaptation
    arguments = set(inspect.signature(type(adaptation).__init__).parameters)
    for setting in arguments - {"self", "name"}:
        before = getattr(adaptation, setting)
        with pytest.raises(AttributeError, match=rf"`{setting}`.*kml.MetaModel\("):
            setattr(adaptation, setting, 3)
        if not isinstance(before, keras.optimizers.Optimizer):
            assert getattr(adaptation, setting) is before
    reread = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(adaptation)
    )
    assert reread.get_config() == adaptation.get_config()


@pytest.mark.parametrize("setting", ["learner", "adaptation", "task_execution"])
def test_parts_of_a_meta_model_are_read_only(setting):
    model = kml.MetaModel(dense_learner(), A.MAML())
    with pytest.raises(AttributeError, match=f"`{setting}`.*Received: {setting}='map'"):
        setattr(model, setting, "map")


def test_remedy_of_the_message_works():
    x, y = line_episodes()
    model = kml.MetaModel(dense_learner(), A.MetaSGD(1, 0.1))
    model.compile("sgd", "mse")
    model.fit(x, y, verbose=0)
    with pytest.raises(AttributeError, match=r"MetaSGD\(\.\.\., evaluation_steps=3\)"):
        model.adaptation.evaluation_steps = 3
    new = kml.MetaModel(model.learner, A.MetaSGD(1, 0.1, evaluation_steps=3))
    new.adaptation.set_weights(model.adaptation.get_weights())
    new.compile("sgd", "mse")
    long = kml.MetaModel(model.learner, A.MetaSGD(3, 0.1))
    long.adaptation.set_weights(model.adaptation.get_weights())
    long.compile("sgd", "mse")
    np.testing.assert_allclose(new.predict(x, verbose=0), long(x), atol=1e-6)
    adapted = new.adapt(x["support_x"][0], x["support_y"][0])
    np.testing.assert_allclose(adapted(x["query_x"][0]), long(x)[0], atol=1e-6)


def test_settings_changed_before_use_take_effect():
    x, y = np.ones((1, 1), "float32"), np.zeros((1, 1), "float32")
    learner = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    learner.set_weights([np.ones((1, 1)), np.zeros(1)])
    adaptation = A.MAML(1, 0.1, loss="mse")
    adaptation.learning_rate = 0.25
    model = kml.MetaModel(learner, adaptation)
    np.testing.assert_allclose(model.adapt(x, y)(x), [[0.0]], atol=1e-7)
    assert adaptation.get_config()["learning_rate"] == 0.25


def test_changes_of_the_passed_optimizer_have_no_effect():
    x, y = line_episodes(tasks=1)
    optimizer = keras.optimizers.SGD(0.1)
    model = kml.MetaModel(dense_learner(), A.MAML(optimizer=optimizer))
    model.compile("sgd", "mse")
    optimizer.learning_rate = 0.0
    model.adaptation.optimizer.learning_rate = 0.0
    assert float(model.adaptation.optimizer.learning_rate) == pytest.approx(0.1)
    saved = model.adaptation.get_config()["optimizer"]["config"]["learning_rate"]
    assert saved == pytest.approx(0.1)
    plain = kml.MetaModel(model.learner, A.MAML(1, 0.1))
    plain.compile("sgd", "mse")
    np.testing.assert_allclose(model(x), plain(x), atol=1e-7)


def test_attributes_of_other_packages_remain_writable():
    class Scaled(A.MAML):
        def __init__(self, scale=1.0, **kwargs):
            super().__init__(**kwargs)
            self.scale = scale

    model = kml.MetaModel(dense_learner(), Scaled(2.0))
    model.adaptation.scale = 3.0
    with pytest.raises(AttributeError, match="`steps`"):
        model.adaptation.steps = 3
