"""PCGrad matches the algorithm of the paper."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from keras_metaloss.losses.weighting.pc_grad import project_conflicts
from tests.helpers.weightings import (
    attached,
    random_gradients,
    shared_and_specific_weights,
)

W = kml.losses.weighting


def test_pcgrad_of_three_gradients():
    # a and b conflict: a . b = -1, |a|^2 = 1, |b|^2 = 2; c is orthogonal to both.
    gradients = np.array([[1.0, 0.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 2.0]])
    weights = shared_and_specific_weights(
        attached(W.PCGrad()), np.ones(3), gradients
    ).shared.numpy()
    # p_a = a + b / 2, p_b = b + a, p_c = c.
    np.testing.assert_allclose(weights, [2.0, 1.5, 1.0])
    np.testing.assert_allclose(weights @ gradients, [0.5, 1.5, 2.0])


def pcgrad(gradients, order):
    projected = []
    for i, gradient in enumerate(gradients):
        p = gradient.copy()
        for j in order[i]:
            if j != i and p @ gradients[j] < 0:
                p = (
                    p
                    - (p @ gradients[j]) / (gradients[j] @ gradients[j]) * gradients[j]
                )
        projected.append(p)
    return np.stack(projected)


@pytest.mark.parametrize("seed", range(5))
def test_pcgrad_matches_algorithm_of_the_paper(float64, seed):
    rng = np.random.default_rng(seed)
    gradients = rng.normal(size=(4, 3))
    order = np.stack([rng.permutation(4) for _ in range(4)])
    found = project_conflicts(
        tf.constant(gradients @ gradients.T), tf.constant(order, "int32")
    )
    expected = pcgrad(gradients, order)
    assert not np.allclose(expected, gradients)
    np.testing.assert_allclose(found @ gradients, expected, atol=1e-12)


def test_pcgrad_without_conflicts_is_the_sum():
    gradients = np.abs(random_gradients())
    found = shared_and_specific_weights(attached(W.PCGrad()), np.ones(3), gradients)
    np.testing.assert_array_equal(found.shared, np.ones(3))
    np.testing.assert_array_equal(found.specific, np.ones(3))


def test_pcgrad_draws_a_new_order_in_each_step():
    gradients = np.random.default_rng(3).normal(size=(4, 3))
    weighting, found = attached(W.PCGrad(), 4), []
    for _ in range(8):
        found.append(
            shared_and_specific_weights(weighting, np.ones(4), gradients).shared.numpy()
        )
        again = shared_and_specific_weights(
            weighting, np.ones(4), gradients
        ).shared.numpy()
        np.testing.assert_array_equal(found[-1], again)
        weighting.update(tf.ones(4), None)
    assert len({tuple(np.round(weights, 4)) for weights in found}) > 1


def test_pcgrad_of_two_tasks_does_not_depend_on_task_order():
    gradients = np.array([[1.0, 0.0], [-1.0, 1.0]])
    one = shared_and_specific_weights(
        attached(W.PCGrad(), 2), np.ones(2), gradients
    ).shared
    other = shared_and_specific_weights(
        attached(W.PCGrad(), 2), np.ones(2), gradients[::-1]
    ).shared
    np.testing.assert_allclose(one, other[::-1])
