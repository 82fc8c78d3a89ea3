"""Fused kernels of the robust loss match the plain formula."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from keras_metaloss.losses.robust._kernels import learned_energy
from keras_metaloss.losses.robust.functions import robust_energy


@pytest.mark.parametrize("scale", [0.7, [0.5, 1.0, 3.0], [2.0]])
@pytest.mark.parametrize("alpha", [0.001, 0.1, [1.0, 0.5, 1.999], [1.2]])
def test_kernel_matches_plain_loss(alpha, scale):
    random = np.random.default_rng(0)
    x = random.normal(size=(40, 3)) * np.logspace(-4, 4, 40)[:, np.newaxis]
    weight = tf.constant(random.random(40))
    inputs = [tf.constant(v, tf.float64) for v in (x, alpha, scale)]

    def plain(x, alpha, scale):
        return tf.reduce_mean(robust_energy(x / scale, alpha), axis=-1)

    results = []
    for energy in (learned_energy, plain):
        with tf.GradientTape() as outer:
            outer.watch(inputs)
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                value = energy(*inputs)
                total = tf.reduce_sum(weight * value)
            slopes = tape.gradient(total, inputs)
            mixed = tf.reduce_sum(slopes[0] * weight[:, tf.newaxis])
        results.append([value, *slopes, outer.gradient(mixed, inputs[0])])
    for ours, expected in zip(*results, strict=True):
        assert ours.shape == expected.shape
        np.testing.assert_allclose(ours, expected, rtol=1e-7, atol=1e-12)


def test_kernel_in_float32_matches_float64():
    random = np.random.default_rng(0)
    x = random.normal(size=(4000, 2)) * np.logspace(-3, 3, 4000)[:, np.newaxis]
    for alpha in (0.001, 0.01, 0.5, 1.5, 1.999):
        results = []
        for dtype in (tf.float32, tf.float64):
            inputs = [tf.constant(v, dtype) for v in (x, alpha, 0.7)]
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                total = tf.reduce_sum(learned_energy(*inputs))
            results.append(tape.gradient(total, inputs))
        for ours, expected in zip(*results, strict=True):
            np.testing.assert_allclose(ours, expected, rtol=1e-4)
