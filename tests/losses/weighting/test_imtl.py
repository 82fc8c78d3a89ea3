"""IMTL balances gradients and losses as in the paper and LibMTL."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.weightings import (
    attached,
    random_gradients,
    shared_and_specific_weights,
)

W = kml.losses.weighting


@pytest.mark.parametrize("count", [2, 3, 6])
def test_imtl_gradient_gives_equal_projections(float64, count):
    gradients = random_gradients(count, size=9, seed=count)
    found = shared_and_specific_weights(
        attached(W.IMTL("gradient"), count), np.ones(count), gradients
    )
    weights = found.shared.numpy()
    assert weights.sum() == pytest.approx(1.0)
    unit = gradients / np.linalg.norm(gradients, axis=1, keepdims=True)
    projections = unit @ (weights @ gradients)
    np.testing.assert_allclose(projections, projections[0], rtol=1e-9)
    # The paper's closed form, as implemented in LibMTL.
    differences = gradients[:1] - gradients[1:]
    units = unit[:1] - unit[1:]
    rest = gradients[0] @ units.T @ np.linalg.inv(differences @ units.T)
    np.testing.assert_allclose(weights, [1 - rest.sum(), *rest], rtol=1e-9)
    np.testing.assert_array_equal(found.specific, np.ones(count))


def test_imtl_loss_is_optimal_at_equal_scaled_losses(float64):
    weighting = attached(W.IMTL("loss"))
    losses = tf.constant([0.1, 1.0, 20.0], "float64")
    weighting.log_scale.assign(-np.log(losses))
    found = weighting.compute_weights(losses)
    np.testing.assert_allclose(found.shared * losses, np.ones(3))
    np.testing.assert_allclose(
        weighting.parameter_gradients(losses)[0], np.zeros(3), atol=1e-12
    )
    # LibMTL: exp(s) L - s.
    assert float(weighting.objective(losses)) == pytest.approx(
        3 + np.log([0.1, 1.0, 20.0]).sum()
    )


def test_imtl_both_is_imtl_gradient_on_scaled_gradients(float64):
    gradients, s = random_gradients(), np.array([0.3, -1.0, 0.8])
    both, alone = attached(W.IMTL("both")), attached(W.IMTL("gradient"))
    both.log_scale.assign(s)
    found = shared_and_specific_weights(both, np.ones(3), gradients)
    of_scaled = shared_and_specific_weights(
        alone, np.ones(3), gradients * np.exp(s)[:, None]
    )
    np.testing.assert_allclose(found.shared, of_scaled.shared * np.exp(s), rtol=1e-9)
    np.testing.assert_allclose(found.specific, np.exp(s))


def test_imtl_descends_if_coefficient_sum_is_negative(float64):
    # The short first gradient lies between the others and needs a negative weight.
    unit = np.array([[0.7, 0.7, 0.14], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    norms = np.array([0.01, 1.0, 1.0])
    gradients = unit * norms[:, None]
    raw = np.linalg.solve(unit @ unit.T, np.ones(3)) / norms
    assert raw.sum() < 0
    weights = shared_and_specific_weights(
        attached(W.IMTL("gradient")), np.ones(3), gradients
    ).shared.numpy()
    np.testing.assert_allclose(weights, raw / abs(raw.sum()), rtol=1e-9)
    assert (unit @ (weights @ gradients) > 0).all()


def test_imtl_weights_of_parallel_gradients():
    # In the limit of equal projections, all weighted gradients have the same norm.
    found = shared_and_specific_weights(
        attached(W.IMTL("gradient"), 2), np.ones(2), np.array([[1.0], [3.0]])
    )
    np.testing.assert_allclose(found.shared, [0.75, 0.25], rtol=1e-4)
