"""Tests mixed precision: float16 layers; float32 weights, inner loop and losses."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.meta_models import classification_loss, conv_learner, image_episodes
from tests.helpers.methods import build, pattern_episodes

POLICIES = ["mixed_bfloat16", "mixed_float16"]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", ["maml", "reptile", "prototypical"])
def test_learns_toy_tasks_in_mixed_precision(name, policy):
    keras.config.set_dtype_policy(policy)
    model = build(name)
    assert model.learner.layers[-1].compute_dtype == policy.removeprefix("mixed_")
    for step in range(150 if name == "reptile" else 60):
        model.train_on_batch(*pattern_episodes(step))
    x, y = pattern_episodes(10_000, tasks=20)
    assert (model.predict_on_batch(x).argmax(-1) == y).mean() > 0.8
    assert all(v.dtype == "float32" for v in model.trainable_variables)


@pytest.mark.parametrize("policy", POLICIES)
def test_full_context_embeddings_in_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    model = build("matching_full_context", run_eagerly=True)
    x, y = image_episodes()
    assert np.isfinite(model.train_on_batch(x, y)).all()
    assert model(x).dtype == "float32"


@pytest.mark.parametrize("policy", POLICIES)
def test_convolutional_training_is_finite_with_scaled_loss(policy):
    keras.config.set_dtype_policy(policy)
    model = kml.MetaModel(conv_learner(), kml.adaptation.MAML(2, 0.1))
    model.compile(optimizer="adam", loss=classification_loss())
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")
    x, y = image_episodes()
    losses = [float(model.train_on_batch(x, y)) for _ in range(8)]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


def test_small_inner_gradients_do_not_underflow_in_float16():
    """Gradients of 1e-8, below the smallest positive float16, are preserved."""
    keras.config.set_dtype_policy("mixed_float16")
    learner = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    adaptation = kml.adaptation.MAML(
        1, 1.0, loss=lambda y_true, y_pred: 1e-8 * (y_pred - y_true)[..., 0]
    )
    model = kml.MetaModel(learner, adaptation)
    model.compile("sgd", "mse")
    task = kml.adaptation.Task(
        tf.ones([4, 1]), tf.zeros([4, 1]), tf.ones([4, 1]), None, None, tf.constant(0)
    )
    inner_loss = model._inner_loss()
    gradients, _ = adaptation.gradients(
        adaptation.initial(task), task, inner_loss, training=True
    )
    np.testing.assert_allclose(gradients[0], [[1e-8]], rtol=0.05)
