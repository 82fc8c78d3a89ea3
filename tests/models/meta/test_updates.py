"""The number of outer steps survives everything that restarts the optimizer."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.meta_models import dense_learner, line_episodes

A = kml.adaptation


def plus_plus(optimizer="sgd"):
    model = kml.MetaModel(
        dense_learner(),
        A.MAMLPlusPlus(2, 0.01, multi_step_updates=4, first_order_updates=3),
    )
    model.compile(optimizer, "mse")
    return model


def trained(model, steps):
    x, y = line_episodes(tasks=steps)
    model.fit(x, y, batch_size=1, verbose=0)
    return int(model.adaptation.updates)


def test_updates_continue_after_compile_and_fit():
    model = plus_plus()
    assert trained(model, 5) == 5
    assert trained(model, 1) == 6
    assert model.adaptation.outer_weights() is None
    model.compile(keras.optimizers.Adam(1e-4), "mse")
    assert trained(model, 2) == 8
    assert model.adaptation.outer_weights() is None
    assert int(model.optimizer.iterations) == 2


def test_updates_continue_after_loading_weights(tmp_path):
    model = plus_plus()
    trained(model, 5)
    model.save_weights(tmp_path / "model.weights.h5")
    fresh = plus_plus()
    fresh.optimizer.build(fresh.trainable_variables)
    fresh.load_weights(tmp_path / "model.weights.h5")
    fresh.compile("adam", "mse")
    assert trained(fresh, 1) == 6
    assert fresh.adaptation.outer_weights() is None


def test_compile_does_not_change_the_order_of_derivatives():
    x, y = line_episodes(tasks=1)
    changes = []
    for restarts in (False, True):
        keras.utils.set_random_seed(0)
        model = plus_plus()
        trained(model, 5)
        if restarts:
            model.compile("sgd", "mse")
        before = model.get_weights()
        model.train_on_batch(x, y)
        pairs = zip(model.get_weights(), before, strict=True)
        changes.append([after - start for after, start in pairs])
    for continued, restarted in zip(*changes, strict=True):
        np.testing.assert_array_equal(continued, restarted)


def test_reptile_draws_other_batches_after_compile():
    seeds = []
    model = kml.MetaModel(dense_learner(), A.Reptile(1, 0.1, batch_size=2))
    for _ in range(2):
        model.compile("sgd", "mse")
        trained(model, 3)
        seeds.append(int(model.adaptation.updates))
    assert seeds == [3, 6]


def test_steps_skipped_by_loss_scaling_do_not_count():
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01))
    model = plus_plus(optimizer)
    x, y = line_episodes(tasks=2)
    model.train_on_batch(x, y)
    model.train_on_batch(x, np.full_like(y, np.inf))
    assert int(model.adaptation.updates) == int(optimizer.iterations) == 1


@pytest.mark.parametrize("jit_compile", [False, True])
def test_other_methods_receive_the_iterations(jit_compile):
    class Recorder(A.MAML):
        def build_for(self, learner):
            super().build_for(learner)
            self.received = self.add_weight(
                name="received", shape=(), dtype="int32", trainable=False
            )

        def set_updates(self, updates):
            self.received.assign(tf.cast(updates, "int32"))

    model = kml.MetaModel(dense_learner(), Recorder())
    model.compile("sgd", "mse", jit_compile=jit_compile)
    x, y = line_episodes(tasks=3)
    model.fit(x, y, batch_size=1, verbose=0)
    assert int(model.adaptation.received) == 3
