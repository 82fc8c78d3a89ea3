"""Small models with several outputs for the tests of `MultiTaskModel`."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.weightings import WEIGHTINGS

TASKS = ("kind", "sign", "size")  # sorted


def batch(size=12, seed=0):
    """Returns inputs `[N, 4]` and the targets of three tasks."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(size, 4)).astype("float32")
    y = {
        "kind": rng.integers(0, 3, size).astype("int32"),
        "size": 3 * x.sum(axis=1, keepdims=True) + 1,
        "sign": (x[:, :1] > 0).astype("float32"),
    }
    return x, y


def network(regularizer=None, trunk_name="trunk"):
    """Builds a trunk, a layer shared by two tasks, and three heads."""
    x = keras.Input((4,))
    h = keras.layers.Dense(6, "tanh", name=trunk_name, kernel_regularizer=regularizer)(
        x
    )
    both = keras.layers.Dense(5, "tanh", name="both")(h)
    return keras.Model(
        x,
        {
            "kind": keras.layers.Dense(3, name="kind_head")(both),
            "size": keras.layers.Dense(1, name="size_head")(both),
            "sign": keras.layers.Dense(1, name="sign_head")(h),
        },
    )


def losses():
    return {
        "kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "size": "mse",
        "sign": keras.losses.BinaryCrossentropy(from_logits=True),
    }


def multi_task_model(
    weighting, optimizer=None, jit_compile=False, regularizer=None, **arguments
):
    """Builds a compiled `MultiTaskModel` with a fixed initialization."""
    keras.utils.set_random_seed(1)
    if isinstance(weighting, str):
        weighting = WEIGHTINGS[weighting](TASKS)
    compiling = {k: arguments.pop(k) for k in ("run_eagerly",) if k in arguments}
    model = kml.MultiTaskModel(
        network(keras.regularizers.L2(0.01) if regularizer else None),
        weighting,
        **arguments,
    )
    model.compile(
        optimizer=optimizer or keras.optimizers.Adam(0.01),
        loss=losses(),
        metrics={"kind": ["accuracy"]},
        jit_compile=jit_compile,
        **compiling,
    )
    return model


def all_variables(model):
    """Returns all variables of the model, the weighting and the optimizer."""
    variables = [*model.variables, *model.optimizer.variables]
    return [np.asarray(v) for v in variables]


def task_gradients(model, x, y):
    """Computes each task's gradients of the network's trainable variables."""
    result = {}
    for task in TASKS:
        loss = keras.losses.get(losses()[task])
        with tf.GradientTape() as tape:
            value = loss(y[task], model.model(x)[task])
            if task == "size":
                value = tf.reduce_mean(value)
        variables = model.model.trainable_variables
        result[task] = tape.gradient(value, variables)
    return result


def sgd_change(model, x, y):
    """Returns the negative change of each network variable after one step."""
    before = [v.numpy() for v in model.model.trainable_variables]
    model.train_on_batch(x, y)
    return [
        b - v.numpy()
        for b, v in zip(before, model.model.trainable_variables, strict=True)
    ]


@keras.saving.register_keras_serializable(package="tests")
class TwoHeads(keras.Model):
    """Subclassed model with a dictionary of outputs and no `training` argument."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.trunk = keras.layers.Dense(5, "tanh")
        self.a = keras.layers.Dense(1)
        self.b = keras.layers.Dense(1)

    def call(self, x):
        h = self.trunk(x)
        return {"a": self.a(h), "b": self.b(h)}
