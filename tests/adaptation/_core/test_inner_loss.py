"""Tests of the inner loss."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from keras_metaloss.adaptation._core.inner_loss import InnerLoss
from tests.helpers.meta_models import dense_learner, line_episodes

Y_TRUE = tf.zeros([3, 1])
Y_PRED = tf.constant([[1.0], [2.0], [3.0]])


def test_inner_loss_is_mean_over_support_set():
    assert float(InnerLoss("mse")(Y_TRUE, Y_PRED, None, [])) == pytest.approx(14 / 3)


def test_masked_examples_do_not_change_the_loss():
    mask = tf.constant([True, False, True])
    assert float(InnerLoss("mse")(Y_TRUE, Y_PRED, mask, [])) == 5.0
    assert float(InnerLoss("mse")(Y_TRUE, Y_PRED, tf.zeros(3), [])) == 0.0


def test_penalties_are_added():
    value = InnerLoss("mae")(Y_TRUE, Y_PRED, None, [tf.constant(0.5), tf.constant(1.0)])
    assert float(value) == 3.5


def test_reduction_of_the_loss_is_ignored():
    for reduction in ("sum", "none", "sum_over_batch_size"):
        loss = keras.losses.MeanAbsoluteError(reduction=reduction)
        assert float(InnerLoss(loss)(Y_TRUE, Y_PRED, None, [])) == 2.0


def test_several_outputs_by_name_and_by_position():
    targets = {"a": Y_TRUE, "b": Y_TRUE}
    outputs = {"a": Y_PRED, "b": 2 * Y_PRED}
    loss = InnerLoss({"b": "mae", "a": "mse"}, {"a": 1.0, "b": 0.5})
    assert float(loss(targets, outputs, None, [])) == pytest.approx(14 / 3 + 2.0)
    loss = InnerLoss({"b": "mae", "a": "mse"}, output_names=["a", "b"])
    value = loss([Y_TRUE, Y_TRUE], [Y_PRED, 2 * Y_PRED], None, [])
    assert float(value) == pytest.approx(14 / 3 + 4.0)


def test_output_without_loss_is_ignored():
    loss = InnerLoss(["mse", None])
    value = loss([Y_TRUE, Y_TRUE], [Y_PRED, Y_PRED], None, [])
    assert float(value) == pytest.approx(14 / 3)


def test_trailing_axes_are_averaged():
    y_pred = np.random.default_rng(0).normal(size=(4, 5, 6, 3)).astype("float32")
    labels = np.random.default_rng(1).integers(0, 3, (4, 5, 6))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    value = InnerLoss(loss)(tf.constant(labels), tf.constant(y_pred), None, [])
    logits = y_pred - np.log(np.exp(y_pred).sum(-1, keepdims=True))
    exact = -np.take_along_axis(logits, labels[..., None], -1)[..., 0]
    assert float(value) == pytest.approx(exact.mean(), rel=1e-5)
    ignoring = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, ignore_class=0
    )
    value = InnerLoss(ignoring)(tf.constant(labels), tf.constant(y_pred), None, [])
    assert float(value) == pytest.approx(exact[labels != 0].mean(), rel=1e-5)
    mask = tf.constant([True, False, True, True])
    value = InnerLoss(ignoring)(tf.constant(labels), tf.constant(y_pred), mask, [])
    kept = exact[[0, 2, 3]][labels[[0, 2, 3]] != 0]
    assert float(value) == pytest.approx(kept.mean(), rel=1e-5)


def test_targets_are_matched_to_outputs_by_name():
    loss = InnerLoss({"a": "mse", "b": "mae"}, output_names=["b", "a"])
    targets = {"a": Y_TRUE, "b": 2 * Y_TRUE}
    value = loss(targets, [2 * Y_TRUE, Y_PRED], None, [])
    assert float(value) == pytest.approx(14 / 3)


def test_unknown_output_names_raise_value_error():
    loss = InnerLoss({"a": "mse", "bb": "mae"}, output_names=["a", "b"])
    with pytest.raises(ValueError, match=r"\['a', 'b'\]. Received: \['a', 'bb'\]"):
        loss([Y_TRUE, Y_TRUE], [Y_PRED, Y_PRED], None, [])


def test_float64_is_preserved_and_bfloat16_is_promoted():
    assert (
        InnerLoss("mse")(Y_TRUE, tf.cast(Y_PRED, "float64"), None, []).dtype
        == "float64"
    )
    assert (
        InnerLoss("mse")(Y_TRUE, tf.cast(Y_PRED, "bfloat16"), None, []).dtype
        == "float32"
    )


def test_scalar_loss_raises_value_error():
    with pytest.raises(ValueError, match="one value per example"):
        InnerLoss(lambda t, p: tf.reduce_mean(t - p))(Y_TRUE, Y_PRED, None, [])


def test_wrong_number_of_targets_raises_value_error():
    with pytest.raises(ValueError, match="2 outputs, 1 targets"):
        InnerLoss("mse")([Y_TRUE], [Y_PRED, Y_PRED], None, [])


def test_inner_loss_may_differ_from_the_outer_loss():
    x, _ = line_episodes(tasks=1)
    model = kml.MetaModel(dense_learner(), kml.adaptation.MAML(1, 0.1, loss="mae"))
    model.compile(optimizer="sgd", loss="mse")
    learner = keras.models.clone_model(model.learner)
    learner.set_weights(model.learner.get_weights())
    learner.compile(optimizer=keras.optimizers.SGD(0.1), loss="mae")
    learner.train_on_batch(x["support_x"][0], x["support_y"][0])
    np.testing.assert_allclose(model(x)[0], learner(x["query_x"][0]), atol=1e-6)
