"""Learner, learning rates and losses of each adaptation method for images.

Used by `few_shot_images.py` and by `benchmarks/few_shot_table.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras

import keras_metaloss as kml

A = kml.adaptation
Shape = tuple[int, int, int]


def cross_entropy() -> keras.losses.Loss:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def verification() -> keras.losses.Loss:
    return kml.losses.OneVsRest(keras.losses.BinaryCrossentropy(from_logits=True))


class Recipe(NamedTuple):
    """Settings of one method.

    Attributes:
        adaptation: Creates the adaptation method.
        learner: Creates the learner from image shape, ways and filters.
        optimizer: Creates the outer optimizer from a learning rate or schedule.
        learning_rate: Initial learning rate of the outer optimizer.
        loss: Creates the outer loss.
        train: Settings of training episodes if they differ from test episodes, for
            example `{"shots": 10}`.
        tasks: Number of tasks per training batch.
    """

    adaptation: Callable[[], A.Adaptation]
    learner: Callable[[Shape, int, int], keras.Model]
    optimizer: Callable[[Any], keras.optimizers.Optimizer] = keras.optimizers.Adam
    learning_rate: float = 2e-3
    loss: Callable[[], keras.losses.Loss] = cross_entropy
    train: dict[str, int] = {}
    tasks: int = 16

    def build(
        self, shape: Shape, ways: int, *, filters: int = 32, learning_rate: Any = None
    ) -> kml.MetaModel:
        """Builds and compiles the model."""
        model = kml.MetaModel(self.learner(shape, ways, filters), self.adaptation())
        rate = self.learning_rate if learning_rate is None else learning_rate
        model.compile(
            optimizer=self.optimizer(rate), loss=self.loss(), metrics=["accuracy"]
        )
        return model


def classifier(shape: Shape, ways: int, filters: int) -> keras.Model:
    """Builds Conv4 with strides: second-order steps are five times faster."""
    return kml.learners.conv4(shape, ways, filters=filters, downsample="stride")


def context_classifier(shape: Shape, ways: int, filters: int) -> keras.Model:
    """Builds Conv4 with a head that receives the context vector.

    Inside Conv4, batch normalization would remove the effect of the context vector.
    """
    layers = [
        kml.learners.conv4(shape, filters=filters, downsample="stride"),
        kml.layers.ContextVector(100),
        keras.layers.Dense(128, "relu"),
        keras.layers.Dense(ways),
    ]
    return keras.Sequential([keras.Input(shape), *layers])


def embedding(shape: Shape, ways: int, filters: int) -> keras.Model:
    """Builds Conv4 with max pooling, which learns faster in first-order training."""
    del ways
    return kml.learners.conv4(shape, filters=filters, downsample="max_pool")


def feature_map(shape: Shape, ways: int, filters: int) -> keras.Model:
    del ways
    return kml.learners.conv4(
        shape,
        filters=filters,
        downsample="stride",
        halvings=2 if shape[0] < 64 else 3,
        feature_map=True,
    )


RECIPES = {
    "maml": Recipe(lambda: A.MAML(1, 0.4, evaluation_steps=3), classifier),
    "fomaml": Recipe(
        lambda: A.MAML(1, 0.4, evaluation_steps=3, first_order=True), classifier
    ),
    "anil": Recipe(lambda: A.ANIL(5, 0.5), classifier),
    "meta_sgd": Recipe(lambda: A.MetaSGD(1, 0.3), classifier),
    "maml_plus_plus": Recipe(
        lambda: A.MAMLPlusPlus(
            3, 0.2, multi_step_updates=300, normalization="per_step"
        ),
        classifier,
        tasks=8,
    ),
    "reptile": Recipe(
        lambda: A.Reptile(
            8,
            batch_size=25,
            evaluation_steps=30,
            optimizer=keras.optimizers.Adam(2e-3, beta_1=0.0),
        ),
        classifier,
        keras.optimizers.SGD,
        1.0,
        train={"shots": 10},
        tasks=5,
    ),
    "implicit_maml": Recipe(
        lambda: A.ImplicitMAML(8, 0.3, strength=0.5), classifier, tasks=8
    ),
    "cavia": Recipe(lambda: A.CAVIA(5, 1.0), context_classifier),
    "prototypical": Recipe(lambda: A.PrototypicalNetwork(), embedding, tasks=4),
    "matching": Recipe(lambda: A.MatchingNetwork(), embedding, tasks=4),
    "relation": Recipe(
        lambda: A.RelationNetwork(filters=32),
        feature_map,
        learning_rate=1e-3,
        tasks=4,
    ),
    "siamese": Recipe(
        lambda: A.SiameseNetwork(), embedding, loss=verification, tasks=4
    ),
    "meta_opt_net": Recipe(lambda: A.MetaOptNet(), embedding, tasks=4),
}
METRIC = ("prototypical", "matching", "relation", "siamese", "meta_opt_net")
