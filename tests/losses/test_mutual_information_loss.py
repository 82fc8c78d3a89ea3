"""Tests of `MutualInformationLoss` and `NegativeLogLikelihood`."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import keras_metaloss as kml
from keras_metaloss.losses._core.standardize import standardize_loss
from keras_metaloss.losses.joint._missing_labels import labeled_loss
from tests.helpers.joint_models import CROSS_ENTROPY, normal

Loss = kml.losses.MutualInformationLoss
Likelihood = kml.losses.NegativeLogLikelihood
tfd = tfp.distributions


def batch(rows=6, seed=0):
    rng = np.random.default_rng(seed)
    y_true = {"a": rng.integers(0, 3, rows), "b": rng.normal(size=(rows, 1))}
    y_pred = {"a": rng.normal(size=(rows, 3)), "b": rng.normal(size=(rows, 1))}
    return y_true, {k: v.astype("float32") for k, v in y_pred.items()}


def reference_losses(y_true, y_pred):
    log_p = y_pred["a"] - np.log(np.exp(y_pred["a"]).sum(axis=1, keepdims=True))
    loss_a = -log_p[np.arange(len(log_p)), y_true["a"].astype(int)]
    return loss_a, ((y_true["b"] - y_pred["b"]) ** 2).mean(axis=1)


def information(y_pred, **arguments):
    return float(
        kml.information.mutual_information(
            tfd.Categorical(logits=y_pred["a"]),
            tfd.Deterministic(y_pred["b"][:, 0]),
            **arguments,
        )
    )


def test_loss_matches_the_objective_of_the_article():
    y_true, y_pred = batch()
    loss_a, loss_b = reference_losses(y_true, y_pred)
    expected = loss_a + loss_b - 0.3 * information(y_pred)
    value = Loss(CROSS_ENTROPY, "mse", beta=0.3)(y_true, y_pred)
    assert float(value) == pytest.approx(expected.mean(), abs=1e-5)
    rows = Loss(CROSS_ENTROPY, "mse", beta=0.3, reduction=None)
    np.testing.assert_allclose(rows(y_true, y_pred), expected, atol=1e-5)
    as_tuples = rows(tuple(y_true.values()), tuple(y_pred.values()))
    np.testing.assert_array_equal(as_tuples, rows(y_true, y_pred))


def test_beta_zero_is_the_sum_of_the_losses():
    y_true, y_pred = batch()
    value = Loss(CROSS_ENTROPY, "mse", beta=0, reduction=None)(y_true, y_pred)
    expected = sum(tf.constant(x, tf.float32) for x in reference_losses(y_true, y_pred))
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_estimator_options_reach_the_estimate():
    y_true, y_pred = batch()
    plain = float(Loss(CROSS_ENTROPY, "mse", beta=0)(y_true, y_pred))

    def of(estimator):
        loss = Loss(CROSS_ENTROPY, "mse", beta=1, estimator=estimator)
        return plain - float(loss(y_true, y_pred))

    for arguments in (
        {"method": "pairwise_kl"},
        {"leave_one_out": True},
        {"bandwidth": 0.5, "num_points": 300},
    ):
        assert of(arguments) == pytest.approx(
            information(y_pred, **arguments), abs=1e-5
        )
    assert of("pairwise_kl") == of({"method": "pairwise_kl"})
    assert of(lambda a, b: tf.reduce_mean(b.loc) * 0 + 7.0) == pytest.approx(
        7, abs=1e-5
    )


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


def test_loss_without_any_label_is_zero():
    y_true, y_pred = batch()
    y_true["a"][:] = -1
    y_true["b"][:] = np.nan
    assert float(Loss(CROSS_ENTROPY, "mse", beta=0)(y_true, y_pred)) == 0


def test_sample_weights_of_all_and_of_single_tasks():
    y_true, y_pred = batch()
    weights = np.array([1, 1, 2, 0, 1, 0.5], "float32")
    loss_a, loss_b = reference_losses(y_true, y_pred)
    loss = Loss(CROSS_ENTROPY, "mse", beta=1.0)
    shared = information(y_pred, sample_weight=weights)
    value = float(loss(y_true, y_pred, weights))
    expected = np.mean(weights * (loss_a + loss_b)) - shared
    assert value == pytest.approx(expected, abs=1e-5)
    value = float(loss(y_true, y_pred, {"a": weights, "b": np.ones(6)}))
    expected = np.mean(weights * loss_a + loss_b) - information(y_pred)
    assert value == pytest.approx(expected, abs=1e-5)


def test_loss_is_averaged_over_pixels():
    rng = np.random.default_rng(0)
    y_true = (rng.integers(0, 2, (4, 5, 5)), rng.normal(size=(4, 2)))
    y_pred = [rng.normal(size=(4, 5, 5, 2)), rng.normal(size=(4, 2))]
    y_pred = [y.astype("float32") for y in y_pred]
    loss = Loss(CROSS_ENTROPY, "mse", beta=0)
    expected = CROSS_ENTROPY(y_true[0], y_pred[0]) + np.mean(
        (y_true[1] - y_pred[1]) ** 2
    )
    assert float(loss(y_true, y_pred)) == pytest.approx(float(expected), abs=1e-5)
    y_true[0][0, :, 2:] = -1
    kept = np.ones((4, 5, 5), bool)
    kept[0, :, 2:] = False
    expected = CROSS_ENTROPY(y_true[0][kept], y_pred[0][kept]) + np.mean(
        (y_true[1] - y_pred[1]) ** 2
    )
    assert float(loss(y_true, y_pred)) == pytest.approx(float(expected), abs=1e-5)
    with_information = Loss(CROSS_ENTROPY, "mse", beta=1)(y_true, y_pred)
    assert np.isfinite(with_information) and with_information < loss(y_true, y_pred)


def test_scheduled_beta_follows_the_step():
    ramp = keras.optimizers.schedules.PolynomialDecay(0.0, 10, 1.0)
    loss = Loss(CROSS_ENTROPY, "mse", beta=ramp)
    y_true, y_pred = batch()
    start = float(loss(y_true, y_pred))
    loss.set_step(5)
    half = start - float(loss(y_true, y_pred))
    assert half == pytest.approx(0.5 * information(y_pred), abs=1e-5)


def test_config_round_trip():
    loss = Loss(
        {"x": CROSS_ENTROPY, "y": "mse", "z": Likelihood(normal)},
        beta=keras.optimizers.schedules.ExponentialDecay(0.5, 10, 0.9),
        estimator={"num_points": 99},
        output_kinds={"y": "value"},
        pairs=[("x", "z")],
        name="mine",
        reduction="sum",
    )
    restored = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(loss)
    )
    assert restored.get_config() == loss.get_config()
    rng = np.random.default_rng(0)
    y_true = (rng.integers(0, 3, 5), rng.normal(size=5), rng.normal(size=5))
    y_pred = [rng.normal(size=(5, k)).astype("float32") for k in (3, 1, 2)]
    assert float(restored(y_true, y_pred)) == float(loss(y_true, y_pred))


def test_beta_greater_than_one_warns():
    with pytest.warns(UserWarning, match="`beta` greater than 1"):
        loss = Loss(CROSS_ENTROPY, "mse", beta=1.5)
    Loss.from_config(loss.get_config())  # Does not warn again.
    ramp = keras.optimizers.schedules.PolynomialDecay(0.0, 10, 2.0)
    with pytest.warns(UserWarning, match="`beta` greater than 1"):
        Loss(CROSS_ENTROPY, "mse", beta=ramp)
    bump = keras.optimizers.schedules.PiecewiseConstantDecay(
        [300, 400], [0.1, 2.0, 0.1]
    )
    with pytest.warns(UserWarning, match="`beta` greater than 1"):
        Loss(CROSS_ENTROPY, "mse", beta=bump)
    falling = keras.optimizers.schedules.PolynomialDecay(0.5, 10, -2.0)
    with pytest.raises(ValueError, match="schedule of non-negative numbers"):
        Loss(CROSS_ENTROPY, "mse", beta=falling)


BAD = {
    "`beta`": ("mse", "mse", {"beta": -1}),
    "non-negative\\s+number": ("mse", "mse", {"beta": True}),
    "`estimator`": ("mse", "mse", {"estimator": {"points": 3}}),
    "`method`": ("mse", "mse", {"estimator": "ksg"}),
    "`loss_b`": ("mse", None, {}),
    "at least two": ({"a": "mse"}, None, {}),
    "`output_kinds`. Expected an entry for task 'b'": ("mse", keras.losses.Dice(), {}),
    "`output_kinds`. Expected a dictionary": (
        "mse",
        "mse",
        {"output_kinds": {"c": "value"}},
    ),
    "`pairs`": ("mse", "mse", {"pairs": [("a", "a")]}),
}


@pytest.mark.parametrize("message", BAD)
def test_invalid_arguments_raise(message):
    a, b, arguments = BAD[message]
    with pytest.raises(ValueError, match=message) as error:
        Loss(a, b, **arguments)
    assert "Received:" in str(error.value)


def test_plain_model_error_names_joint_model():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(loss=Loss("mse", "mse"))
    with pytest.raises(ValueError, match="kml.JointModel"):
        model.fit(np.zeros((4, 2)), np.zeros((4, 1)), verbose=0)


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
