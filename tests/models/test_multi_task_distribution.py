"""Two replicas take the steps that one takes, with every weighting."""

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
    from multi_task_cases import WEIGHTINGS, all_variables, batch, multi_task_model

    data = tf.data.Dataset.from_tensor_slices(batch(16)).batch(8, drop_remainder=True)
    mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    for method in WEIGHTINGS:
        results = []
        for strategy in (tf.distribute.get_strategy(), mirrored):
            with strategy.scope():
                model = multi_task_model(
                    method,
                    keras.optimizers.SGD(0.1),
                    regularizer=True,
                    run_eagerly=strategy is not mirrored,  # nothing to trace
                )
            history = model.fit(data, epochs=3, shuffle=False, verbose=0).history
            evaluation = model.evaluate(data, verbose=0, return_dict=True)
            results.append((history, evaluation, all_variables(model)))
        one, two = results
        for name, values in one[0].items():
            assert np.allclose(values, two[0][name], rtol=1e-3), (method, name)
        for name, value in one[1].items():
            assert np.allclose(value, two[1][name], rtol=1e-3), (method, name)
        for a, b in zip(one[2], two[2], strict=True):
            assert np.allclose(a, b, rtol=1e-3, atol=1e-4), (method, a, b)
        print(method, "equal", flush=True)
"""


@pytest.mark.slow
def test_two_replicas_take_the_steps_of_one():
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CODE), os.path.dirname(__file__)],
        capture_output=True,
        text=True,
    )
    assert result.stdout.count("equal") == 12, result.stdout + result.stderr[-3000:]
