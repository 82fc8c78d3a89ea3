"""Properties of the mutual information of predicted variables."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import keras_metaloss as kml
from tests.helpers.information import KINDS, predicted_pair, predictions

tfd = tfp.distributions


mutual_information = kml.information.mutual_information


def test_two_categorical_variables():
    probs, *_ = predictions(classes=3)
    other = predictions(classes=4, seed=1)[0]
    joint = probs.T @ other / len(probs)
    truth = np.sum(
        joint * np.log(joint / np.outer(joint.sum(axis=1), joint.sum(axis=0)))
    )
    a, b = (tfd.Categorical(probs=x.astype("float32")) for x in (probs, other))
    one_hot = tfd.OneHotCategorical(probs=other.astype("float32"))
    assert float(mutual_information(a, b)) == pytest.approx(truth, abs=1e-6)
    assert float(mutual_information(a, one_hot)) == pytest.approx(truth, abs=1e-6)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", KINDS)
def test_bounds_symmetry_and_invariances(kind, seed):
    probs, loc, scale = predictions(kind, rows=16, seed=seed)
    a, b = predicted_pair(probs, loc, scale)
    value = float(mutual_information(a, b))
    of_input = float(kml.information.mutual_information_bounds(a, b).input_information)
    assert -1e-6 <= value <= of_input + 1e-6 <= np.log(4) + 2e-6
    assert float(mutual_information(b, a)) == pytest.approx(value, abs=1e-6)
    order = np.random.default_rng(seed).permutation(16)
    permuted = predicted_pair(probs[order][:, [2, 0, 3, 1]], loc[order], scale[order])
    assert float(mutual_information(*permuted)) == pytest.approx(value, abs=1e-5)
    for shift, stretch in ((5.0, -1e-6), (0.0, 1e12)):
        scaled = predicted_pair(probs, stretch * (shift + loc), abs(stretch) * scale)
        assert float(mutual_information(*scaled)) == pytest.approx(value, abs=3e-5)


def test_sample_weights_match_repeated_rows():
    probs, loc, scale = predictions(rows=6)
    a, b = predicted_pair(probs, loc, scale)
    counts = np.array([1, 2, 0, 3, 1, 1])
    repeated = predicted_pair(
        *(np.repeat(x, counts, axis=0) for x in (probs, loc, scale))
    )
    for method in ("quadrature", "pairwise_bhattacharyya", "pairwise_kl"):
        weighted = mutual_information(a, b, method, sample_weight=counts)
        expected = mutual_information(*repeated, method)
        assert float(weighted) == pytest.approx(float(expected), abs=1e-5)
    assert float(mutual_information(a, b, sample_weight=[1, 0, 0, 0, 0, 0])) == 0
    assert float(mutual_information(a, b, sample_weight=np.zeros(6))) == 0


def test_zero_probabilities_have_finite_gradients():
    probs = tf.constant([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(probs)
        a = tfd.Categorical(probs=probs)
        value = mutual_information(a, a) + mutual_information(
            a, tfd.Normal([0.0, 1.0, 2.0], 0.5)
        )
    assert np.isfinite(tape.gradient(value, probs)).all()


def test_single_input_has_zero_information():
    a, b = predicted_pair(*predictions(rows=1))
    for leave_one_out in (False, True):
        assert float(mutual_information(a, b, leave_one_out=leave_one_out)) == 0
    assert float(mutual_information(a, b, "pairwise_kl")) == 0
    assert float(mutual_information(a, tfd.Deterministic([3.0]))) == 0


@pytest.mark.parametrize("jit", [False, True])
def test_graph_and_xla_match_eager(jit):
    probs, loc, scale = predictions("different", rows=6)
    a, b = predicted_pair(probs, loc, scale)
    expected = mutual_information(a, b), mutual_information(a, tfd.Deterministic(b.loc))

    @tf.function(
        jit_compile=jit,
        input_signature=[
            tf.TensorSpec([None, 4]),
            tf.TensorSpec([None]),
            tf.TensorSpec([None]),
        ],
    )
    def function(p, m, s):
        with tf.GradientTape() as tape:
            tape.watch(m)
            a = tfd.Categorical(probs=p)
            first = mutual_information(a, tfd.Normal(m, s))
            second = mutual_information(a, tfd.Deterministic(m))
            both = first + second
        return first, second, tape.gradient(both, m)

    first, second, gradient = function(a.probs, b.loc, b.scale)
    values = float(first), float(second)
    np.testing.assert_allclose(values, expected, atol=1e-6)
    assert np.isfinite(gradient.numpy()).all()


def test_half_precision_is_computed_in_float32():
    probs, loc, scale = predictions(rows=6)
    a, b = predicted_pair(probs, loc, scale, "float16")
    value = mutual_information(a, b)
    assert value.dtype == tf.float32
    expected = mutual_information(*predicted_pair(probs, loc, scale))
    assert float(value) == pytest.approx(float(expected), abs=2e-3)
