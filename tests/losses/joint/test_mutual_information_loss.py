"""`MutualInformationLoss`: objective, weights and schedule."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_metaloss as kml
from tests.helpers.joint_losses import batch, information, reference_losses
from tests.helpers.joint_models import CROSS_ENTROPY, normal
from tests.helpers.segmentation import IGNORING


def test_mutual_information_loss_supports_ignore_class():
    loss = keras.losses.SparseCategoricalCrossentropy(**IGNORING)
    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(6, 3)), np.array([0, 255, 1, 2, 255, 1])
    joint = kml.losses.MutualInformationLoss(loss, "mse", beta=0.0)
    value = joint.compute_terms(
        {"a": labels, "b": np.zeros(6)},
        {"a": tf.constant(logits), "b": tf.zeros((6, 1))},
    ).losses["a"]
    kept = labels != 255
    expected = CROSS_ENTROPY(labels[kept], logits[kept])
    assert float(value.mean) == pytest.approx(float(expected), rel=1e-5)


Loss = kml.losses.MutualInformationLoss
Likelihood = kml.losses.NegativeLogLikelihood


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


def test_estimator_options_are_used_for_the_estimate():
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
