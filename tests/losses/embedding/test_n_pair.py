"""`NPairLoss`: regularization."""

from __future__ import annotations

import keras_metaloss as kml


def test_negative_labels_are_not_regularized():
    loss = kml.losses.NPairLoss(1.0, reduction=None)
    assert loss([0, 0, -1], [[1.0], [1.0], [3.0]])[2] == 0
