"""Small learners and episodes shared by the tests of models."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

import keras_metaloss as kml


def image_episodes(tasks=3, support=6, queries=9, dtype="float32", seed=0):
    """Returns 3-way classification episodes of 6x6 noise images with two channels."""
    rng = np.random.default_rng(seed)
    x = {
        "support_x": rng.normal(size=(tasks, support, 6, 6, 2)).astype(dtype),
        "support_y": np.tile(np.arange(support) % 3, (tasks, 1)).astype("int32"),
        "query_x": rng.normal(size=(tasks, queries, 6, 6, 2)).astype(dtype),
    }
    return x, rng.integers(0, 3, (tasks, queries)).astype("int32")


def line_episodes(tasks=4, support=5, queries=7, seed=0):
    """Returns regression episodes of lines with random slopes."""
    rng = np.random.default_rng(seed)
    slope = rng.uniform(1.0, 2.0, (tasks, 1, 1))
    support_x = rng.normal(size=(tasks, support, 1))
    query_x = rng.normal(size=(tasks, queries, 1))
    x = {"support_x": support_x, "support_y": slope * support_x, "query_x": query_x}
    y = slope * query_x
    return {k: v.astype("float32") for k, v in x.items()}, y.astype("float32")


def conv_learner(activation="tanh", regularizer=None, dropout=0.0):
    """Builds a strided convolution with batch normalization and three logits."""
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            keras.layers.Conv2D(
                3, 3, strides=2, padding="same", kernel_regularizer=regularizer
            ),
            keras.layers.BatchNormalization(),
            keras.layers.Activation(activation),
            keras.layers.Flatten(),
            *([keras.layers.Dropout(dropout)] if dropout else []),
            keras.layers.Dense(3),
        ]
    )


def dense_learner(units=8):
    """Builds two dense layers with one input and one output."""
    return keras.Sequential(
        [
            keras.Input((1,)),
            keras.layers.Dense(units, "tanh"),
            keras.layers.Dense(1),
        ]
    )


def classification_loss():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def conv_model(
    task_execution="auto",
    optimizer=None,
    jit_compile=False,
    run_eagerly=False,
    **maml,
):
    """Returns a compiled `MetaModel` of `conv_learner` with fixed initial weights."""
    keras.utils.set_random_seed(1)
    arguments = {"steps": 2, "learning_rate": 0.3, **maml}
    model = kml.MetaModel(
        conv_learner(regularizer=keras.regularizers.L2(0.01)),
        kml.adaptation.MAML(**arguments),
        task_execution=task_execution,
    )
    model.compile(
        optimizer=optimizer or keras.optimizers.SGD(1.0),
        loss=classification_loss(),
        metrics=["accuracy"],
        jit_compile=jit_compile,
        run_eagerly=run_eagerly,
    )
    return model


def step_change(model, episodes):
    """Returns the flattened change of the trainable weights in one training step.

    It is the negative meta-gradient for gradient descent with learning rate 1.
    """
    before = [v.numpy() for v in model.trainable_variables]
    model.train_on_batch(*episodes)
    after = [v.numpy() for v in model.trainable_variables]
    return np.concatenate([(a - b).ravel() for a, b in zip(after, before, strict=True)])


def context_learner():
    return keras.Sequential(
        [
            keras.Input((1,)),
            kml.layers.ContextVector(3),
            keras.layers.Dense(6, "tanh"),
            keras.layers.Dense(1),
        ]
    )


def mse_model(adaptation, learner, optimizer=None):
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    model = kml.MetaModel(learner(), adaptation)
    model.compile(optimizer or keras.optimizers.SGD(1.0), loss="mse")
    return model


def repeated_dataset(episodes, batches=3):
    data = tf.data.Dataset.from_tensors(episodes).repeat(batches)
    options = tf.data.Options()
    options.autotune.enabled = False
    return data.with_options(options)


def line_model(steps=1, rate=0.1, **arguments):
    keras.utils.set_random_seed(1)
    model = kml.MetaModel(
        dense_learner(), kml.adaptation.MAML(steps, rate), **arguments
    )
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss="mse", metrics=["mae"])
    return model


def trained_conv_model(**arguments):
    model = conv_model(optimizer=keras.optimizers.Adam(0.01), **arguments)
    x, y = image_episodes()
    model.train_on_batch(x, y)
    return model
