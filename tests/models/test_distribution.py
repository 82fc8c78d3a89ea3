"""Two replicas take the step that one takes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

CODE = """
    import sys
    sys.path.insert(0, sys.argv[1])
    import numpy as np
    import tensorflow as tf
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    import keras
    from model_cases import conv_model, image_episodes

    episodes = image_episodes(tasks=4)
    data = tf.data.Dataset.from_tensor_slices(episodes).batch(4, drop_remainder=True)
    results = []
    for strategy in (
        tf.distribute.get_strategy(),
        tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]),
    ):
        with strategy.scope():
            model = conv_model(optimizer=keras.optimizers.SGD(0.1))
        history = model.fit(data, verbose=0).history
        evaluation = model.evaluate(data, verbose=0, return_dict=True)
        weights = np.concatenate([w.ravel() for w in model.get_weights()])
        results.append((history, evaluation, weights))
    (one, one_evaluated, w_one), (two, two_evaluated, w_two) = results
    assert abs(one["loss"][0] - two["loss"][0]) < 1e-5, (one, two)
    assert np.abs(w_one - w_two).max() < 1e-5, np.abs(w_one - w_two).max()
    for name, value in one_evaluated.items():
        assert abs(value - two_evaluated[name]) < 1e-5, (name, value, two_evaluated)
    print("equal")
"""


@pytest.mark.slow
def test_two_replicas_take_the_step_of_one():
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CODE), os.path.dirname(__file__)],
        capture_output=True,
        text=True,
    )
    assert result.stdout.strip().endswith("equal"), result.stderr[-3000:]
