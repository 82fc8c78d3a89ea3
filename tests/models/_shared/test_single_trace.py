"""Training and evaluation steps of each model are traced once."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_metaloss as kml

X = np.random.default_rng(0).normal(size=(8, 4, 3)).astype("float32")
Y = X[..., :1] + X[..., 1:2]


def network(units=1):
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(units)])


def meta_model(cls):
    model = cls(network(), kml.adaptation.MAML())
    model.compile("adam", "mse", metrics=["mae"])
    return model, ({"support_x": X, "support_y": Y, "query_x": X}, Y)


def joint_model(cls):
    model = cls(network(), network())
    model.compile("adam", {"a": "mse", "b": "mse"}, metrics={"b": ["mae"]})
    return model, (X[0], {"a": Y[0], "b": Y[0]})


def multi_task_model(cls):
    x = keras.Input((3,))
    outputs = {name: keras.layers.Dense(1)(x) for name in "ab"}
    weighting = kml.losses.weighting.UncertaintyWeighting()
    model = cls(keras.Model(x, outputs), weighting)
    model.compile("adam", {"a": "mse", "b": "mse"}, metrics={"b": ["mae"]})
    return model, (X[0], {"a": Y[0], "b": Y[0]})


def adaptive_loss_model(cls):
    model = cls(network())
    loss = kml.losses.AdaptiveRobustLoss(learned=True)
    model.compile("adam", loss, metrics=["mae"])
    return model, (X[0], Y[0])


@pytest.mark.parametrize(
    "made, cls",
    [
        (meta_model, kml.MetaModel),
        (joint_model, kml.JointModel),
        (multi_task_model, kml.MultiTaskModel),
        (adaptive_loss_model, kml.AdaptiveLossModel),
    ],
)
def test_each_step_is_traced_once(made, cls):
    calls = []

    class Counting(cls):
        def train_step(self, data):
            calls.append("train")
            return super().train_step(data)

        def test_step(self, data):
            calls.append("test")
            return super().test_step(data)

    model, data = made(Counting)
    model.jit_compile = False
    model.fit(*data, batch_size=4, verbose=0)
    model.evaluate(*data, batch_size=4, verbose=0)
    assert calls == ["train", "test"]
