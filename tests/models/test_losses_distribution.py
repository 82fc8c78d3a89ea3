"""Tests that training with two replicas matches training with one."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml

LOSSES = {
    "focal": lambda: kml.losses.SparseCategoricalFocalLoss(from_logits=True),
    "focal_learned": lambda: kml.losses.SparseCategoricalFocalLoss(
        "learned", from_logits=True
    ),
    "robust": lambda: kml.losses.AdaptiveRobustLoss([1.0, 1.0, 1.0]),
    "ada": lambda: kml.losses.AdaLoss("mse"),
    "ada_last_layer": lambda: kml.losses.AdaLoss("mse", gradient="last_layer"),
    "ada_parameters": lambda: kml.losses.AdaLoss("mse", gradient="parameters"),
    "binary_focal": lambda: kml.losses.BinaryFocalLoss(from_logits=True),
    "categorical_focal": lambda: kml.losses.CategoricalFocalLoss(from_logits=True),
    "contrastive": lambda: kml.losses.ContrastiveLoss(),
    "triplet": lambda: kml.losses.TripletLoss(mining="hard"),
    "n_pair": lambda: kml.losses.NPairLoss(),
    "multi_similarity": lambda: kml.losses.MultiSimilarityLoss(),
    "ada_standardized": lambda: kml.losses.AdaLoss("mse", alpha="standardized"),
    "ada_cosine": lambda: kml.losses.AdaLoss("mse", alpha="cosine"),
}
# These losses compare the examples of a replica, so both replicas get equal batches.
WITHIN_A_REPLICA = {
    *("contrastive", "triplet", "n_pair", "multi_similarity"),
    *("ada_standardized", "ada_cosine"),
}


def weights_after_training(name, strategy, run_eagerly):
    with strategy.scope():
        keras.utils.set_random_seed(0)
        network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
        model = kml.AdaptiveLossModel(network)
        model.compile(
            optimizer=keras.optimizers.SGD(0.1),
            loss=LOSSES[name](),
            run_eagerly=run_eagerly,
        )
    random = np.random.default_rng(0)
    x = random.normal(size=(8, 3)).astype("float32")
    y = np.array([0, 1, 2, 0, 1, 0, 2, 1])
    if name == "robust" or name.startswith("ada"):
        y = random.normal(size=(8, 3)).astype("float32")
    elif name in ("binary_focal", "categorical_focal"):
        y = np.eye(3, dtype="float32")[y]
    if name in WITHIN_A_REPLICA:
        halves = strategy.num_replicas_in_sync
        x, y = (np.concatenate([values[:4]] * halves) for values in (x, y))
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
    history = model.fit(data, epochs=2, shuffle=False, verbose=0).history["loss"]
    return [np.array(history), *model.get_weights()]


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_two_replicas_match_one(name, mirrored):
    one = weights_after_training(name, tf.distribute.get_strategy(), run_eagerly=True)
    two = weights_after_training(name, mirrored, run_eagerly=False)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(b, a, rtol=0, atol=1e-5)


def test_loss_created_outside_of_the_scope_raises(mirrored):
    loss = kml.losses.AdaptiveRobustLoss()
    with mirrored.scope():
        network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
        model = kml.AdaptiveLossModel(network)
        model.compile(optimizer="sgd", loss=loss)
    data = tf.data.Dataset.from_tensors((np.ones((8, 3)), np.ones((8, 3))))
    with pytest.raises(ValueError, match=r"`loss`.*`strategy.scope\(\)`"):
        model.fit(data, shuffle=False, verbose=0)
