"""Predicted distribution that corresponds to a loss."""

from __future__ import annotations

import pytest

import keras_metaloss as kml
from tests.helpers.joint_losses import batch, information, reference_losses

Loss = kml.losses.MutualInformationLoss


def test_output_kinds_of_focal_and_robust_losses():
    """Gamma 0 is the cross-entropy, alpha 2 is half the squared error."""
    y_true, y_pred = batch()
    y_true["a"][0] = -1
    loss_a, loss_b = reference_losses(y_true, y_pred)
    expected = loss_a[1:].mean() + loss_b.mean() / 2 - 0.4 * information(y_pred)
    focal = kml.losses.SparseCategoricalFocalLoss(gamma=0.0, from_logits=True)
    robust = kml.losses.AdaptiveRobustLoss(alpha=2.0, learned=False)
    value = Loss(focal, robust, beta=0.4)(y_true, y_pred)
    assert float(value) == pytest.approx(expected, abs=1e-5)
