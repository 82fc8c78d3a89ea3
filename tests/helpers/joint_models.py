"""Small joint models and their data for tests."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow_probability as tfp

import keras_metaloss as kml


@keras.saving.register_keras_serializable(package="tests")
def normal(outputs):
    scale = 0.1 + keras.ops.softplus(outputs[:, 1])
    return tfp.distributions.Normal(outputs[:, 0], scale)


CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
KINDS = {
    "logits": (3, CROSS_ENTROPY, None),
    "probabilities": (3, "sparse_categorical_crossentropy", "softmax"),
    "one-hot": (3, "categorical_crossentropy", "softmax"),
    "binary": (1, keras.losses.BinaryCrossentropy(from_logits=True), None),
    "value": (1, "mse", None),
    "vector": (2, keras.losses.Huber(), None),
    "normal": (2, kml.losses.NegativeLogLikelihood(normal), None),
}


def network(units, activation=None, seed=0):
    return keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(
                8, "tanh", kernel_initializer=keras.initializers.GlorotUniform(seed)
            ),
            keras.layers.Dense(
                units,
                activation,
                kernel_initializer=keras.initializers.GlorotUniform(seed + 1),
            ),
        ]
    )


def data(*kinds, rows=24, seed=0):
    """Returns inputs `[N, 4]`, and targets by name that depend on the first input."""
    x = np.random.default_rng(seed).normal(size=(rows, 4)).astype("float32")
    classes = np.digitize(x[:, 0], [-0.5, 0.5])
    targets = {
        "logits": classes,
        "probabilities": classes,
        "one-hot": np.eye(3, dtype="float32")[classes],
        "binary": (x[:, :1] > 0).astype("float32"),
        "value": x[:, 0] + 0.1 * x[:, 1],
        "vector": x[:, :2] + 0.1,
        "normal": x[:, 0] - 0.1 * x[:, 1],
    }
    names = "abcdefg"
    return x, {name: targets[kind] for name, kind in zip(names, kinds, strict=False)}


def joint_model(
    *kinds,
    optimizer="adam",
    metrics=None,
    jit_compile=False,
    run_eagerly=False,
    warmup_epochs=0,
    **loss,
):
    names = "abcdefg"
    kinds = dict(zip(names, kinds or ("logits", "value"), strict=False))
    model = kml.JointModel(
        {
            name: network(KINDS[kind][0], KINDS[kind][2], seed=10 * i)
            for i, (name, kind) in enumerate(kinds.items())
        },
        warmup_epochs=warmup_epochs,
    )
    losses = {name: KINDS[kind][1] for name, kind in kinds.items()}
    model.compile(
        optimizer=optimizer,
        loss=kml.losses.MutualInformationLoss(losses, **loss),
        metrics=metrics,
        jit_compile=jit_compile,
        run_eagerly=run_eagerly,
    )
    return model


def weight_values(model):
    return [w.numpy() for w in model.trainable_variables]


def assert_equal_arrays(a, b, **tolerance):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_allclose(x, y, **(tolerance or {"rtol": 0, "atol": 0}))


OPTIMIZERS = {
    "one": lambda: keras.optimizers.Adam(0.01),
    "each": lambda: {
        "a": keras.optimizers.Adam(0.01),
        "b": keras.optimizers.SGD(0.1, momentum=0.9),
    },
}
