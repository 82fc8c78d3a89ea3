"""Two replicas take the step that one takes, parameters of the loss included."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

CODE = """
    import numpy as np
    import tensorflow as tf
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    import keras
    import keras_metaloss as kml

    losses = {
        "focal": lambda: kml.losses.SparseCategoricalFocalLoss(from_logits=True),
        "focal_learned": lambda: kml.losses.SparseCategoricalFocalLoss(
            "learned", from_logits=True
        ),
        "robust": lambda: kml.losses.AdaptiveRobustLoss([1.0, 1.0, 1.0]),
        "ada": lambda: kml.losses.AdaLoss("mse"),
        "ada_last_layer": lambda: kml.losses.AdaLoss("mse", gradient="last_layer"),
        "ada_parameters": lambda: kml.losses.AdaLoss("mse", gradient="parameters"),
        # Each replica compares the embeddings of its own half: equal halves.
        "triplet": lambda: kml.losses.TripletLoss(mining="hard"),
    }

    def weights_after_training(name, strategy):
        with strategy.scope():
            keras.utils.set_random_seed(0)
            network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
            model = kml.AdaptiveLossModel(network)
            model.compile(
                optimizer=keras.optimizers.SGD(0.1),
                loss=losses[name](),
                run_eagerly=strategy is single,
            )
        random = np.random.default_rng(0)
        x = random.normal(size=(8, 3)).astype("float32")
        y = np.array([0, 1, 2, 0, 1, 0, 2, 1])
        if name == "triplet":
            x, y = np.concatenate([x[:4]] * 2), np.concatenate([[0, 0, 1, 1]] * 2)
            if strategy.num_replicas_in_sync == 1:
                x, y = x[:4], y[:4]
        if name == "robust" or name.startswith("ada"):
            y = random.normal(size=(8, 3)).astype("float32")
        data = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
        history = model.fit(data, verbose=0, epochs=2).history["loss"]
        return np.array(history), np.concatenate(
            [w.ravel() for w in model.get_weights()]
        )

    single = tf.distribute.get_strategy()
    mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    for name in losses:
        one = weights_after_training(name, single)
        two = weights_after_training(name, mirrored)
        for a, b in zip(one, two):
            assert np.abs(a - b).max() < 1e-5, (name, a, b)
    print("equal")
"""


@pytest.mark.slow
def test_two_replicas_take_the_step_of_one():
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CODE)], capture_output=True, text=True
    )
    assert result.stdout.strip().endswith("equal"), result.stderr[-3000:]
