"""Uncertainty weighting matches the closed-form optimum and LibMTL."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.weightings import NAMES, attached

W = kml.losses.weighting


@pytest.mark.parametrize("classification", [(), ("a", "b", "c"), ("b",)])
def test_uncertainty_optimum_matches_closed_form(float64, classification):
    losses = tf.constant([0.2, 1.0, 30.0], "float64")
    weighting = attached(W.UncertaintyWeighting(classification))
    factor = np.array([1.0 if t in classification else 0.5 for t in NAMES[:3]])

    def value(s):
        weighting.log_variance.assign(s)
        return float(weighting.objective(losses))

    best = scipy.optimize.minimize(value, np.zeros(3), method="BFGS").x
    closed_form = np.log(2 * factor * losses)
    np.testing.assert_allclose(best, closed_form, atol=1e-4)
    weighting.log_variance.assign(closed_form)
    np.testing.assert_allclose(
        weighting.parameter_gradients(losses)[0], np.zeros(3), atol=1e-12
    )
    # At the optimum the weight is 1 / (2 L) with either denominator.
    np.testing.assert_allclose(
        weighting.compute_weights(losses).shared, 1 / (2 * losses)
    )


def test_initial_variances_set_the_first_weights():
    variances = {"a": 4.0, "c": 1e9}
    weighting = W.UncertaintyWeighting(["b"], initial_variances=variances)
    weighting.build_for(["a", "b", "c"])
    weights = weighting.compute_weights(tf.constant([4.0, 1.0, 1e9])).shared
    np.testing.assert_allclose(weights, [1 / 8, 1.0, 0.5e-9], rtol=1e-5)
    restored = W.UncertaintyWeighting.from_config(weighting.get_config())
    assert restored.get_config() == weighting.get_config()


def test_uncertainty_matches_libmtl():
    # LibMTL's regression form: sum_k L_k / (2 exp(s_k)) + s_k / 2.
    losses, s = np.array([0.2, 1.0, 3.0]), np.array([-0.5, 0.1, 0.7])
    weighting = attached(W.UncertaintyWeighting())
    weighting.log_variance.assign(s)
    expected = (losses / (2 * np.exp(s)) + s / 2).sum()
    value = weighting.objective(tf.constant(losses, "float32"))
    assert float(value) == pytest.approx(expected, rel=1e-6)
