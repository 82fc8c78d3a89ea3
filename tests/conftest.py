"""What every test starts from: fixed seeds and an empty Keras session."""

from __future__ import annotations

import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# A process a core; more threads would only wait for each other. Processes that tests
# start inherit it, so that they add up numbers in the same order.
os.environ["TF_NUM_INTRAOP_THREADS"] = "1"

import keras
import pytest
import tensorflow as tf

# Tracing makes many objects that live on: to look for garbage every 700 is in vain.
gc.set_threshold(100_000, 20, 20)
tf.config.threading.set_intra_op_parallelism_threads(1)
# Two logical devices, for the tests of distribution.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)


@pytest.fixture(autouse=True)
def _fresh_keras():
    floatx = keras.config.floatx()
    keras.backend.clear_session()  # collects garbage
    # Leaves out of the next collection what outlives this one: imported objects, and
    # the graphs of training steps, which Keras keeps. They would be half the time.
    gc.freeze()
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(floatx)


@pytest.fixture(scope="session")
def mirrored():
    """Two replicas, each on a logical CPU: one strategy, as its keys are not reused."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
