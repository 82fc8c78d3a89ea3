"""Leave-one-out and upper bounds of predicted variables."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats

import keras_metaloss as kml
from tests.helpers.information import predicted_pair, predictions

tfd = tfp.distributions


def test_leave_one_out_matches_numpy_reference():
    """The reference decodes from the other rows on a dense grid."""
    probs, loc, scale = predictions(rows=7, classes=3)
    low, high = (loc - 6.5 * scale).min(), (loc + 6.5 * scale).max()
    grid = np.linspace(low, high, 20001)
    step = grid[1] - grid[0]
    density = stats.norm.pdf(grid, loc[:, np.newaxis], scale[:, np.newaxis])
    prior, floor = probs.mean(axis=0), 1 / (7 * (high - low))
    truth = -np.sum(prior * np.log(prior))
    for i in range(7):
        others = np.delete(np.arange(7), i)
        above = probs[others].T @ density[others] / 7 + floor * prior[:, np.newaxis]
        below = density[others].sum(axis=0) / 7 + floor
        truth += np.sum(probs[i] @ np.log(above / below) * density[i]) * step / 7
    bounds = kml.information.mutual_information_bounds(
        *predicted_pair(probs, loc, scale), 512
    )
    assert float(bounds.leave_one_out) == pytest.approx(truth, abs=5e-4)
    assert bounds.leave_one_out < bounds.in_batch < bounds.input_information


def test_leave_one_out_is_negative_for_chance():
    rng = np.random.default_rng(0)
    chance = []
    for _ in range(20):
        probs = rng.dirichlet(np.ones(5), size=32).astype("float32")
        b = tfd.Normal(rng.uniform(-3, 3, 32).astype("float32"), 0.05)
        a = tfd.Categorical(probs=probs)
        chance.append(kml.information.mutual_information_bounds(a, b)[:2])
    leave_one_out, in_batch = np.mean(chance, axis=0)
    assert leave_one_out < 0 < 0.1 < in_batch


NORMAL = tfd.Normal([0.0, 1.0], [1.0, 1.0])


COIN = tfd.Bernoulli(probs=[0.2, 0.8])


def test_bounds_require_a_categorical_variable():
    with pytest.raises(ValueError, match="`dist_a`"):
        kml.information.mutual_information_bounds(NORMAL, COIN)


def test_gradient_of_each_bound_is_that_of_its_estimate():
    probs, loc, scale = predictions(rows=7, classes=3)
    a, b = predicted_pair(probs, loc, scale)

    def gradient(function):
        loc = tf.constant(b.loc)
        with tf.GradientTape() as tape:
            tape.watch(loc)
            value = function(a, tfd.Normal(loc, b.scale))
        return tape.gradient(value, loc).numpy()

    for name, leave_one_out in (("in_batch", False), ("leave_one_out", True)):
        found = gradient(
            lambda a, b, name=name: getattr(
                kml.information.mutual_information_bounds(a, b), name
            )
        )
        expected = gradient(
            lambda a, b, flag=leave_one_out: kml.information.mutual_information(
                a, b, leave_one_out=flag
            )
        )
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        assert np.abs(found).max() > 1e-3
