"""`ContrastiveLoss`: gradients of pairs."""

from __future__ import annotations

import tensorflow as tf

import keras_metaloss as kml


def test_identical_pair_has_zero_gradient():
    pairs = tf.ones((2, 2, 3))
    with tf.GradientTape() as tape:
        tape.watch(pairs)
        value = kml.losses.ContrastiveLoss()([1, 0], pairs)
    assert float(value) == 0.25
    assert not tape.gradient(value, pairs).numpy().any()
