"""Predictions and weights in the mutual information of a joint loss."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import keras_metaloss as kml
from keras_metaloss import _compat
from keras_metaloss.losses.joint._predictions import included_predictions, row_weights
from tests.helpers.joint_models import CROSS_ENTROPY

Loss = kml.losses.MutualInformationLoss


def masked(value, mask):
    value = tf.constant(value, "float32")
    _compat.set_keras_mask(value, tf.constant(mask))
    return value


def sequences(width, garbage=0.0, count=6):
    """Returns logits and values of sequences of 2 to 4 steps, padded to `width`."""
    rng = np.random.default_rng(0)
    steps = np.arange(width) < np.arange(count)[:, None] % 3 + 2
    logits, values = (
        np.full((count, width, 2), garbage),
        np.full((count, width, 1), garbage),
    )
    logits[:, :4] = rng.normal(size=(count, 4, 2))
    values[:, :4] = rng.normal(size=(count, 4, 1))
    logits[~steps], values[~steps] = garbage, garbage
    y = {"a": np.zeros((count, width), int), "b": np.zeros((count, width, 1))}
    return y, {"a": masked(logits, steps), "b": masked(values, steps)}


def test_padding_does_not_change_losses_and_information():
    loss = Loss(CROSS_ENTROPY, "mse")
    expected = loss.compute_terms(*sequences(4))
    assert float(expected.information["a", "b"]) > 0.01
    for garbage in (9.0, 1e3):
        found = loss.compute_terms(*sequences(4, garbage))
        for name, part in expected.losses.items():
            assert float(found.losses[name].mean) == pytest.approx(float(part.mean))
            assert float(found.losses[name].count) == float(part.count) == 18
        information = float(found.information["a", "b"])
        assert information == pytest.approx(float(expected.information["a", "b"]))


@pytest.mark.parametrize("method", ["auto", "pairwise_kl"])
def test_width_of_padding_does_not_change_the_information(method):
    # The rule for the default bandwidth depends on the length of a vector.
    loss = Loss("mse", "mse", estimator={"method": method, "bandwidth": 0.5})
    results = []
    for width, garbage in ((4, 0.0), (7, -5.0), (7, 1e3)):
        y_true, y_pred = sequences(width, garbage)
        y_pred["a"] = masked(y_pred["b"] ** 3, y_pred["b"]._keras_mask)
        terms = loss.compute_terms({"a": y_true["b"], "b": y_true["b"]}, y_pred)
        results.append(
            [float(terms.values[0]), *map(float, terms.information.values())]
        )
    assert results[0][1] > 0.1
    np.testing.assert_allclose(results, results[:1] * 3, rtol=1e-4)


def test_masked_steps_are_the_mean_of_the_others():
    value = masked([[1.0, 2.0], [3.0, 9.0], [5.0, 9.0]], np.ones((3, 2), bool))
    steps = np.array([[True, True], [True, False], [False, False]])
    value = masked(np.stack([value, -value], -1), steps)
    filled, weights = included_predictions({"a": value}, None)
    expected = np.array([[1, 2], [3, 2], [2, 2]])
    np.testing.assert_allclose(filled["a"], np.stack([expected, -expected], -1))
    np.testing.assert_array_equal(weights, steps)
    # No example has the second step: the mean of all steps replaces it.
    steps[:, 1] = False
    filled, _ = included_predictions({"a": masked(value, steps)}, None)
    np.testing.assert_allclose(filled["a"][..., 0], [[1, 2], [3, 2], [2, 2]])


def test_examples_without_unmasked_steps_have_no_weight():
    y_true = {"a": np.array([0, 1, 0, 1]), "b": np.array([0.0, 1, 2, 3])}
    rng = np.random.default_rng(0)
    y_pred = {
        "a": rng.normal(size=(4, 2)).astype("float32"),
        "b": rng.normal(size=(4, 1)).astype("float32"),
    }
    loss = Loss(CROSS_ENTROPY, "mse", estimator={"bandwidth": 0.5})
    expected = loss.compute_terms(
        {name: y[:3] for name, y in y_true.items()},
        {name: y[:3] for name, y in y_pred.items()},
    )
    y_pred["b"][3] = 1e4
    y_pred["b"] = masked(y_pred["b"], [True, True, True, False])
    found = loss.compute_terms(y_true, y_pred)
    assert float(found.losses["b"].mean) == pytest.approx(
        float(expected.losses["b"].mean)
    )
    assert float(found.information["a", "b"]) == pytest.approx(
        float(expected.information["a", "b"]), rel=1e-3
    )


def test_weights_of_time_steps():
    y_true, y_pred = sequences(4)
    steps = y_pred["a"]._keras_mask.numpy()
    plain = {name: tf.identity(y) for name, y in y_pred.items()}
    loss = Loss(CROSS_ENTROPY, "mse")
    by_mask = loss.compute_terms(y_true, y_pred)
    by_weight = loss.compute_terms(y_true, plain, steps.astype("float32"))
    for name, part in by_mask.losses.items():
        # Weights do not change the divisor of the mean.
        assert float(by_weight.losses[name].mean) == pytest.approx(
            float(part.mean) * steps.mean()
        )
    # Sequences of the same length have the same weight.
    assert float(by_weight.information["a", "b"]) == pytest.approx(
        float(by_mask.information["a", "b"]), abs=0.05
    )


def test_weights_of_rows_per_example():
    weights = tf.constant([[1.0, 3.0], [0.0, 4.0]])
    np.testing.assert_array_equal(row_weights(weights, 4), [1, 3, 0, 4])
    np.testing.assert_array_equal(row_weights(weights, 2), [2, 2])
    np.testing.assert_array_equal(row_weights(weights[:, :1], 6), [1, 1, 1, 0, 0, 0])


def test_no_pairs_compute_no_information():
    y_true, y_pred = sequences(4)
    loss = Loss(CROSS_ENTROPY, "mse", pairs=[])
    terms = loss.compute_terms(y_true, y_pred)
    assert terms.information == {}
    expected = sum(float(part.mean) for part in terms.losses.values())
    assert float(loss(y_true, y_pred)) == pytest.approx(expected, rel=1e-6)


def test_estimator_must_return_a_scalar():
    y_true, y_pred = sequences(4)
    loss = Loss(CROSS_ENTROPY, "mse", estimator=lambda a, b: tf.zeros([6]))
    with pytest.raises(ValueError, match=r"`estimator`.*scalar.*\(6,\)"):
        loss(y_true, y_pred)
    scalar = Loss(CROSS_ENTROPY, "mse", estimator=lambda a, b: a.entropy()[0] * 0 + 3.0)
    plain = Loss(CROSS_ENTROPY, "mse", pairs=[])
    difference = plain(y_true, y_pred) - scalar(y_true, y_pred)
    assert float(difference) == pytest.approx(3.0, rel=1e-5)


def test_masks_of_distributions_from_a_function():
    """With one row per step, masked rows have weight 0."""

    def per_step(outputs):
        return tfp.distributions.Categorical(logits=tf.reshape(outputs, [-1, 2]))

    y_true, y_pred = sequences(4)
    kinds = {"a": per_step, "b": per_step}
    y_pred["b"] = masked(-2 * y_pred["a"], y_pred["a"]._keras_mask)
    losses = {"a": CROSS_ENTROPY, "b": CROSS_ENTROPY}
    y_true = {"a": y_true["a"], "b": y_true["a"]}
    terms = Loss(losses, output_kinds=kinds).compute_terms(y_true, y_pred)
    steps = y_pred["a"]._keras_mask.numpy()
    logits = y_pred["a"].numpy()[steps]
    expected = kml.information.mutual_information(
        tfp.distributions.Categorical(logits=logits),
        tfp.distributions.Categorical(logits=-2 * logits),
    )
    assert float(terms.information["a", "b"]) == pytest.approx(
        float(expected), rel=1e-5
    )


def test_mask_survives_a_cast():
    y_true, y_pred = sequences(4)
    half = {name: tf.cast(y, "float16") for name, y in y_pred.items()}
    for name, y in half.items():
        _compat.set_keras_mask(y, y_pred[name]._keras_mask)
    loss = Loss(CROSS_ENTROPY, keras.losses.MeanSquaredError(), beta=0)
    assert float(loss(y_true, half)) == pytest.approx(
        float(loss(y_true, y_pred)), rel=1e-2
    )
