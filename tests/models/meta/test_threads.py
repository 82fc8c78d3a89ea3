"""Tests that concurrent calls give the results of serial calls."""

from __future__ import annotations

import concurrent.futures
import threading

import keras
import numpy as np
import pytest

import keras_metaloss as kml

A = kml.adaptation
METHODS = {
    "support": lambda: A.MAML(2, 0.1, loss="mse"),
    "batch": lambda: A.MAML(2, 0.1, loss="mse", normalization="batch"),
    "per_step": lambda: A.MAML(2, 0.1, loss="mse", normalization="per_step"),
}
RNG = np.random.default_rng(0)
TASKS = [RNG.normal(size=(10, 2)).astype("float32") for _ in range(12)]


def build(method):
    learner = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(4),
            keras.layers.BatchNormalization(),
            keras.layers.LayerNormalization(),
            keras.layers.Dense(1),
        ]
    )
    return kml.MetaModel(learner, METHODS[method](), task_execution="map")


def adapted(model, x):
    return np.asarray(model.adapt(x[:4], x[:4, :1])(x[4:]))


def called(model, x):
    episode = {"support_x": x[None, :4], "support_y": x[None, :4, :1]}
    return np.asarray(model({**episode, "query_x": x[None, 4:]}))[0]


def mixed(model, x):
    return (adapted if x[0, 0] > 0 else called)(model, x)


@pytest.mark.parametrize("use", [adapted, called, mixed])
@pytest.mark.parametrize("method", METHODS)
def test_concurrent_calls_equal_serial_calls(method, use):
    model = build(method)
    serial = [use(model, x) for x in TASKS]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        parallel = list(pool.map(lambda x: use(model, x), TASKS))
    np.testing.assert_allclose(parallel, serial, atol=1e-5)


def test_model_traced_during_the_work_of_another_thread_is_right():
    busy, stop = build("support"), threading.Event()

    def work():
        while not stop.is_set():
            adapted(busy, TASKS[0])

    thread = threading.Thread(target=work)
    thread.start()
    try:
        model, x = build("support"), TASKS[1]
        episode = {"support_x": x[None, :4], "support_y": x[None, :4, :1]}
        predicted = model.predict({**episode, "query_x": x[None, 4:]}, verbose=0)[0]
    finally:
        stop.set()
        thread.join()
    np.testing.assert_allclose(predicted, adapted(model, x), atol=1e-5)
