"""MGDA's shortest convex combination equals that of SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from keras_metaloss.losses.weighting.mgda import shortest_combination
from tests.helpers.weightings import (
    attached,
    minimize_on_simplex,
    random_gradients,
    shared_and_specific_weights,
)

W = kml.losses.weighting


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([1.0, 0.0], [0.0, 2.0]),
        ([1.0, 0.0], [3.0, 0.5]),  # a is the shortest combination
        ([3.0, 0.5], [1.0, 0.0]),
        ([1.0, 0.2], [-2.0, 0.1]),
    ],
)
def test_mgda_of_two_tasks_matches_closed_form(a, b):
    a, b = np.array(a), np.array(b)
    share = np.clip((b - a) @ b / ((a - b) @ (a - b)), 0, 1)
    weights = shared_and_specific_weights(
        attached(W.MGDA(), 2), np.ones(2), np.stack([a, b])
    ).shared
    np.testing.assert_allclose(weights, [share, 1 - share], atol=1e-6)


@pytest.mark.parametrize("count", [2, 3, 6])
@pytest.mark.parametrize("size", [2, 20])
def test_mgda_matches_scipy(float64, count, size):
    gradients = random_gradients(count, size, seed=count)
    gradients[0] *= 5
    weights = shared_and_specific_weights(
        attached(W.MGDA(), count), np.ones(count), gradients
    ).shared
    weights = weights.numpy()
    best = minimize_on_simplex(lambda w: ((w @ gradients) ** 2).sum(), count)
    assert weights.sum() == pytest.approx(1.0) and (weights >= 0).all()
    direction = weights @ gradients
    assert direction @ direction <= best.fun + 1e-9
    # Optimality: all gradients have at least this inner product with the direction.
    assert (gradients @ direction).min() >= direction @ direction - 1e-9


@pytest.mark.parametrize(
    ("normalization", "lengths"),
    [
        ("l2", lambda losses, norms: norms),
        ("loss", lambda losses, norms: losses),
        ("loss+", lambda losses, norms: losses * norms),
    ],
)
def test_mgda_normalization_scales_gradients(float64, normalization, lengths):
    losses, gradients = np.array([0.5, 2.0, 3.0]), random_gradients()
    scale = 1 / lengths(losses, np.linalg.norm(gradients, axis=1))
    found = shared_and_specific_weights(
        attached(W.MGDA(normalization)), losses, gradients
    ).shared
    plain = shared_and_specific_weights(
        attached(W.MGDA()), losses, gradients * scale[:, None]
    ).shared
    np.testing.assert_allclose(found, plain * scale, rtol=1e-9)


def shortest_length(products):
    """Returns the minimum of `w' P w` over all faces of the simplex."""
    count, found = len(products), []
    for face in range(1, 2**count):
        chosen = [k for k in range(count) if face >> k & 1]
        w = np.linalg.solve(products[np.ix_(chosen, chosen)], np.ones(len(chosen)))
        w /= w.sum()
        if (w >= 0).all():
            found.append(w @ products[np.ix_(chosen, chosen)] @ w)
    return min(found)


@pytest.mark.parametrize("size", [1.0, 1e-2, 1e-3])
def test_shortest_combination_of_nearly_opposing_gradients(size):
    g = np.random.default_rng(0).normal(size=(3, 5))
    g[2] = -g[0] - 0.3 * g[1] + 0.1 * g[2]
    g[1] *= size
    products = g @ g.T
    w = shortest_combination(tf.constant(products)).numpy()
    assert w.sum() == pytest.approx(1) and (w >= 0).all()
    assert w @ products @ w == pytest.approx(shortest_length(products), rel=1e-3)
