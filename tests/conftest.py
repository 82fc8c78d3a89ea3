"""Test setup: fixed seeds and a clear Keras session for every test."""

from __future__ import annotations

import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Tests run with one process per core, so more threads would not help. Subprocesses
# inherit this setting and therefore sum numbers in the same order.
os.environ["TF_NUM_INTRAOP_THREADS"] = "1"

import keras
import pytest
import tensorflow as tf

# Tracing creates many long-lived objects. The default of one garbage collection per 700
# allocations would be slow.
gc.set_threshold(100_000, 20, 20)
tf.config.threading.set_intra_op_parallelism_threads(1)
# Two logical devices for tests of distribution strategies.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)


@pytest.fixture(autouse=True)
def _fresh_keras():
    floatx = keras.config.floatx()
    keras.backend.clear_session()  # collects garbage
    # Excludes surviving objects (modules, graphs cached by Keras) from later
    # collections, which would otherwise take half of the test time.
    gc.freeze()
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(floatx)


@pytest.fixture(scope="session")
def mirrored():
    """Strategy with two replicas on logical CPUs.

    All tests share one strategy because TensorFlow does not reuse collective keys.
    """
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
