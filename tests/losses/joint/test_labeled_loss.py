"""Missing labels in joint losses."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from keras_metaloss.losses._core.standardize import standardize_loss
from keras_metaloss.losses.joint._labeled_loss import labeled_loss
from tests.helpers.joint_losses import batch, information, reference_losses
from tests.helpers.joint_models import CROSS_ENTROPY

Loss = kml.losses.MutualInformationLoss


def test_missing_labels_do_not_contribute_to_the_loss():
    y_true, y_pred = batch()
    y_true["a"][[0, 3]] = -1
    y_true["b"][[1, 2, 3]] = np.nan
    loss_a, loss_b = reference_losses(y_true, y_pred)
    inputs = {k: tf.constant(v) for k, v in y_pred.items()}
    loss = Loss(CROSS_ENTROPY, "mse", beta=0)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = loss(y_true, inputs)
    expected = loss_a[[1, 2, 4, 5]].mean() + loss_b[[0, 4, 5]].mean()
    assert float(value) == pytest.approx(expected, abs=1e-5)
    gradient = tape.gradient(value, inputs)
    assert np.isfinite(gradient["a"]).all() and np.isfinite(gradient["b"]).all()
    assert not np.any(gradient["a"].numpy()[[0, 3]])
    assert not np.any(gradient["b"].numpy()[[1, 2, 3]])
    with_information = Loss(CROSS_ENTROPY, "mse", beta=0.5)(y_true, inputs)
    assert float(value - with_information) == pytest.approx(
        0.5 * information(y_pred), abs=1e-5
    )


def test_missing_labels_of_wrapped_and_embedding_losses():
    y_true, y_pred = batch()
    y_true["a"][0] = -1
    known = {name: values[1:] for name, values in y_true.items()}
    for wrapped in (
        kml.losses.AdaLoss(CROSS_ENTROPY),
        kml.losses.TripletLoss(mining="all"),
    ):
        loss = Loss(wrapped, "mse", beta=0, output_kinds={"a": "logits"})
        part = loss.compute_terms(y_true, y_pred).losses["a"]
        fewer = {name: values[1:] for name, values in y_pred.items()}
        expected = loss.compute_terms(known, fewer).losses["a"].mean
        assert float(part.mean) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("mse", ["mse", keras.losses.MeanSquaredError()])
def test_missing_labels_of_time_steps(mse):
    """With targets `[N, T]` and predictions `[N, T, 1]`, single steps are missing."""
    random = np.random.default_rng(0)
    y_true, y_pred = random.normal(size=(2, 4, 3)).astype("float32")
    y_true[0, 1] = np.nan
    part = labeled_loss(
        standardize_loss("loss", mse), y_true, tf.constant(y_pred[..., None])
    )
    assert float(part.count) == 11
    expected = np.nanmean((y_true - y_pred) ** 2)
    assert float(part.mean) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "weight",
    [
        np.arange(2.0),
        np.arange(2.0)[:, None],
        np.arange(8.0).reshape(2, 4),
        np.arange(8.0).reshape(2, 4, 1),
    ],
)
def test_weights_of_examples_and_of_time_steps(weight):
    y_true, y_pred = np.random.default_rng(0).normal(size=(2, 2, 4, 1))
    y_true[1, 2] = np.nan
    mse = standardize_loss("loss", "mse")
    part = labeled_loss(mse, y_true, tf.constant(y_pred, "float32"), weight)
    weight = weight.reshape(2, -1)
    expected = np.nansum((y_true - y_pred)[..., 0] ** 2 * weight) / 7
    assert float(part.mean) == pytest.approx(expected, rel=1e-5)


def test_weights_that_do_not_match_raise():
    mse = standardize_loss("loss", "mse")
    for shape in ((3,), (2, 3), (2, 4, 2)):
        with pytest.raises(ValueError, match="`sample_weight`.*per value of the loss"):
            labeled_loss(mse, np.ones((2, 4, 2)), tf.ones((2, 4, 2)), np.ones(shape))


def test_targets_that_would_be_broadcast_raise():
    mse = standardize_loss("loss", "mse")
    for shape in ((2, 3), (2, 1, 2)):
        with pytest.raises(ValueError, match="`y`. Expected targets of the shape"):
            labeled_loss(mse, np.ones(shape), tf.ones((2, 1)))


def test_other_numbers_of_targets_raise():
    for loss, y_pred in ((CROSS_ENTROPY, tf.ones((4, 3))), ("mse", tf.ones((4, 1)))):
        with pytest.raises(ValueError, match="`y`.*3 targets and 4 predictions"):
            labeled_loss(standardize_loss("loss", loss), np.zeros(3), y_pred)


def test_loss_without_any_label_is_zero():
    y_true, y_pred = batch()
    y_true["a"][:] = -1
    y_true["b"][:] = np.nan
    assert float(Loss(CROSS_ENTROPY, "mse", beta=0)(y_true, y_pred)) == 0
