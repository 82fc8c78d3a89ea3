"""Table of adaptation methods, with one row per method, for tests of all methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np

import keras_metaloss as kml
from tests.helpers.meta_models import classification_loss

A = kml.adaptation
METRIC = "metric"
GRADIENT = "gradient"
CLASSES = 3


class Method(NamedTuple):
    """An adaptation method with its learner and training settings.

    Attributes:
        adaptation: function that creates the method.
        learner: function that creates its learner.
        kind: `GRADIENT` or `METRIC`.
        optimizer: function that creates the outer optimizer for the toy tasks.
        loss: function that creates the outer loss.
    """

    adaptation: Callable
    learner: Callable
    kind: str
    optimizer: Callable = lambda: keras.optimizers.Adam(0.01)
    loss: Callable = classification_loss


def classifier():
    """Builds a dense classifier, which is fast to trace."""
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            keras.layers.Flatten(),
            keras.layers.Dense(8, "tanh"),
            keras.layers.Dense(CLASSES),
        ]
    )


def context_classifier():
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            keras.layers.Flatten(),
            keras.layers.Dense(32, "tanh"),
            kml.layers.ContextVector(16),
            keras.layers.Dense(32, "tanh"),
            keras.layers.Dense(CLASSES),
        ]
    )


def feature_map():
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            keras.layers.Conv2D(4, 3, strides=2, padding="same"),
            keras.layers.BatchNormalization(),
            keras.layers.Activation("tanh"),
        ]
    )


def embedding():
    maps = feature_map()
    return keras.Sequential(
        [keras.Input((6, 6, 2)), maps, keras.layers.Flatten(), keras.layers.Dense(8)]
    )


def verification():
    return kml.losses.OneVsRest(keras.losses.BinaryCrossentropy(from_logits=True))


METHODS = {
    "maml": Method(lambda: A.MAML(2, 0.3), classifier, GRADIENT),
    "maml_adam": Method(
        lambda: A.MAML(2, optimizer=keras.optimizers.Adam(0.05, epsilon=1e-3)),
        classifier,
        GRADIENT,
    ),
    "fomaml": Method(lambda: A.MAML(2, 0.3, first_order=True), classifier, GRADIENT),
    "anil": Method(lambda: A.ANIL(3, 0.3), classifier, GRADIENT),
    "meta_sgd": Method(lambda: A.MetaSGD(2, 0.3), classifier, GRADIENT),
    "maml_plus_plus": Method(
        lambda: A.MAMLPlusPlus(
            2,
            0.3,
            multi_step_updates=20,
            first_order_updates=2,
            normalization="support",
        ),
        classifier,
        GRADIENT,
    ),
    "reptile": Method(
        lambda: A.Reptile(5, 0.1),
        classifier,
        GRADIENT,
        lambda: keras.optimizers.SGD(1.0),
    ),
    "implicit_maml": Method(
        lambda: A.ImplicitMAML(6, 0.2, strength=1.0, solver_steps=2),
        classifier,
        GRADIENT,
    ),
    "cavia": Method(lambda: A.CAVIA(5, 1.0), context_classifier, GRADIENT),
    "prototypical": Method(
        lambda: A.PrototypicalNetwork(classes=CLASSES), embedding, METRIC
    ),
    "prototypical_mahalanobis": Method(
        lambda: A.PrototypicalNetwork(
            "mahalanobis", classes=CLASSES, normalization="support"
        ),
        embedding,
        METRIC,
    ),
    "matching": Method(lambda: A.MatchingNetwork(classes=CLASSES), embedding, METRIC),
    "matching_full_context": Method(
        lambda: A.MatchingNetwork(full_context=True, classes=CLASSES),
        embedding,
        METRIC,
    ),
    "relation": Method(
        lambda: A.RelationNetwork(filters=8, classes=CLASSES), feature_map, METRIC
    ),
    "siamese": Method(
        lambda: A.SiameseNetwork(classes=CLASSES),
        embedding,
        METRIC,
        loss=verification,
    ),
    "meta_opt_net": Method(
        lambda: A.MetaOptNet(strength=1.0, classes=CLASSES), embedding, METRIC
    ),
}


def build(name, *, optimizer=None, jit_compile=False, run_eagerly=False, **settings):
    """Builds the compiled model of a row, with the same initial weights each time."""
    method = METHODS[name]
    if run_eagerly:
        # `tf.vectorized_map` traces its function at each call.
        settings.setdefault("task_execution", "map")
    keras.utils.set_random_seed(1)
    model = kml.MetaModel(method.learner(), method.adaptation(), **settings)
    model.compile(
        optimizer=optimizer or method.optimizer(),
        loss=method.loss(),
        metrics=["accuracy"],
        jit_compile=jit_compile,
        run_eagerly=run_eagerly,
    )
    return model


def pattern_episodes(seed, tasks=8, shots=3, queries=4, noise=0.5):
    """Draws images of three of twelve patterns, with random labels per task."""
    patterns = np.random.default_rng(99).normal(size=(12, 6, 6, 2))
    rng = np.random.default_rng(seed)

    def drawn(count):
        labels = np.tile(np.arange(CLASSES), (tasks, count))
        images = patterns[np.take_along_axis(chosen, labels, axis=1)]
        images = images + noise * rng.normal(size=images.shape)
        return images.astype("float32"), labels.astype("int32")

    chosen = np.stack([rng.permutation(12)[:CLASSES] for _ in range(tasks)])
    support_x, support_y = drawn(shots)
    query_x, query_y = drawn(queries)
    x = {"support_x": support_x, "support_y": support_y, "query_x": query_x}
    return x, query_y
