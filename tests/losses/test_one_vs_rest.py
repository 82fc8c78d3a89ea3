"""`OneVsRest`: values of binary decisions, targets and arguments."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_metaloss as kml

rng = np.random.default_rng(0)
LABELS = rng.integers(0, 4, (5, 3))
SCORES = rng.normal(size=(5, 3, 4)).astype("float32")


def test_values_match_binary_cross_entropy_in_numpy():
    loss = kml.losses.OneVsRest(
        keras.losses.BinaryCrossentropy(from_logits=True), reduction=None
    )
    y, p = np.eye(4)[LABELS], 1 / (1 + np.exp(-SCORES.astype("float64")))
    expected = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean(axis=-1)
    np.testing.assert_allclose(loss(LABELS, SCORES), expected, rtol=1e-5)


def test_activation_is_applied_before_the_loss():
    loss = kml.losses.OneVsRest("mse", "sigmoid")
    expected = np.mean((np.eye(4)[LABELS] - 1 / (1 + np.exp(-SCORES))) ** 2)
    assert float(loss(LABELS, SCORES)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "targets", [LABELS[..., np.newaxis], np.eye(4, dtype="float32")[LABELS]]
)
def test_targets_may_have_a_last_axis_or_be_one_hot(targets):
    loss = kml.losses.OneVsRest("mse", reduction=None)
    np.testing.assert_allclose(loss(targets, SCORES), loss(LABELS, SCORES), rtol=1e-6)


def test_config_round_trip():
    loss = kml.losses.OneVsRest(keras.losses.Huber(), "tanh", reduction="sum")
    restored = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(loss)
    )
    assert restored.get_config() == loss.get_config()
    assert float(restored(LABELS, SCORES)) == float(loss(LABELS, SCORES))


def test_invalid_loss_raises():
    with pytest.raises(ValueError, match="`loss`.*3.0"):
        kml.losses.OneVsRest(3.0)
