"""Small models with several outputs for the tests of `MultiTaskModel`."""

from __future__ import annotations

import keras
import numpy as np

import keras_metaloss as kml

W = kml.losses.weighting

WEIGHTINGS = {
    "fixed": lambda: W.FixedWeighting({"kind": 1.0, "size": 2.0, "sign": 0.5}),
    "uncertainty": lambda: W.UncertaintyWeighting(["kind", "sign"]),
    "dwa": W.DynamicWeightAverage,
    "gradnorm": W.GradNorm,
    "gls": W.GeometricLossStrategy,
    "imtl": W.IMTL,
    "imtl-l": lambda: W.IMTL("loss"),
    "imtl-g": lambda: W.IMTL("gradient"),
    "pcgrad": W.PCGrad,
    "mgda": lambda: W.MGDA("l2"),
    "cagrad": W.CAGrad,
    "rlw": W.RandomLossWeighting,
}


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
        weighting = WEIGHTINGS[weighting]()
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
