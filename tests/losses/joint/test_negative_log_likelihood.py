"""`NegativeLogLikelihood` of predicted distributions."""

from __future__ import annotations

import numpy as np
import pytest

import keras_metaloss as kml
from tests.helpers.joint_models import normal

Likelihood = kml.losses.NegativeLogLikelihood


def test_negative_log_likelihood_matches_formula():
    y_pred = np.array([[0.0, 1.0], [2.0, -1.0]], "float32")
    scale = 0.1 + np.log1p(np.exp(y_pred[:, 1]))
    y_true = np.array([1.0, 1.0])
    z = (y_true - y_pred[:, 0]) / scale
    expected = 0.5 * z**2 + np.log(scale) + 0.5 * np.log(2 * np.pi)
    loss = Likelihood(normal, reduction=None)
    for targets in (y_true, y_true[:, np.newaxis]):
        np.testing.assert_allclose(loss(targets, y_pred), expected, rtol=1e-5)
    restored = Likelihood.from_config(loss.get_config())
    assert restored.get_config() == loss.get_config()
    with pytest.raises(ValueError, match="`distribution`"):
        Likelihood("normal")


def test_function_must_return_a_distribution():
    with pytest.raises(ValueError, match="`distribution`.*returns 3"):
        Likelihood(lambda outputs: 3)(np.zeros(2), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="`output_kinds`.*returns 3"):
        kml.losses.MutualInformationLoss(
            "mse", "mse", output_kinds={"a": lambda outputs: 3}
        )((np.zeros((2, 1)),) * 2, (np.zeros((2, 1), "float32"),) * 2)


def test_targets_must_have_the_shape_of_samples():
    y_pred = np.ones((5, 2), "float32")
    for shape in ((3,), (3, 1), (5, 2)):
        with pytest.raises(ValueError, match=r"`y_true`.*\(5,\)"):
            Likelihood(normal)(np.ones(shape), y_pred)
