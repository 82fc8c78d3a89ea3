"""Pairwise divergences compared to numerical integrals."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats

import keras_metaloss as kml
from keras_metaloss.information.predicted._conversion import as_output
from keras_metaloss.information.predicted._pairwise import divergences
from tests.helpers.information import predicted_pair, predictions

tfd = tfp.distributions


mutual_information = kml.information.mutual_information


@pytest.mark.parametrize("jit_compile", [False, True])
def test_nan_in_vector_parameters_propagates(jit_compile):
    @tf.function(jit_compile=jit_compile)
    def estimate(loc):
        a = tfd.Categorical(probs=[[0.9, 0.1], [0.1, 0.9]])
        return mutual_information(a, tfd.MultivariateNormalDiag(loc, tf.ones([2, 2])))

    assert np.isnan(estimate(tf.constant([[np.nan, 1.0], [0.0, 1.0]])))
    assert 0 < estimate(tf.constant([[0.3, 1.0], [0.0, 1.0]])) < 0.7


def test_gradient_of_pairwise_methods_and_values():
    probs, loc, _ = predictions(rows=5, classes=3)
    points = np.stack([loc, loc**2], axis=1)
    cases = {
        "value": lambda x: mutual_information(
            tfd.Categorical(probs=probs), tfd.Deterministic(x[:, 0])
        ),
        "vector": lambda x: mutual_information(
            tfd.Categorical(probs=probs), tfd.MultivariateNormalDiag(x, tf.exp(x / 9))
        ),
        "classes": lambda x: mutual_information(
            tfd.Independent(tfd.Bernoulli(logits=x), 1), tfd.VectorDeterministic(x)
        ),
        "kl": lambda x: mutual_information(
            tfd.Independent(tfd.Normal(x, 1.0 + x**2), 1),
            tfd.Categorical(logits=probs),
            "pairwise_kl",
        ),
        "full": lambda x: mutual_information(
            tfd.MultivariateNormalTriL(
                x, tf.linalg.diag(tf.exp(x / 9)) + [[0, 0], [0.3, 0]]
            ),
            tfd.Categorical(probs=probs),
        ),
    }
    for name, function in cases.items():
        theory, numeric = tf.test.compute_gradient(function, [points], delta=1e-5)
        np.testing.assert_allclose(theory[0], numeric[0], atol=2e-6, err_msg=name)
        assert np.abs(theory[0]).max() > 1e-3, name


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e15])
def test_divergences_with_extreme_scales(scale):
    inputs = [tf.constant([[0.0, 1.0], [2.0, 3.0]]), tf.fill([2, 2], scale)]
    a = tfd.Categorical(probs=[[0.9, 0.1], [0.1, 0.9]])
    for method in ("pairwise_kl", "pairwise_bhattacharyya"):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            b = tfd.MultivariateNormalDiag(*inputs)
            value = mutual_information(a, b, method)
        for tensor in (value, *tape.gradient(value, inputs)):
            assert np.isfinite(tensor).all()


def test_pairwise_estimates_bracket_the_exact_value():
    probs, loc, scale = predictions(rows=64)
    a, b = predicted_pair(probs, loc, scale)
    exact = float(mutual_information(a, b))
    below = float(mutual_information(a, b, "pairwise_bhattacharyya"))
    above = float(mutual_information(a, b, "pairwise_kl"))
    assert exact - 0.06 < below < exact < above < exact + 0.2


@pytest.mark.parametrize("kind", ["kl", "bhattacharyya"])
def test_divergences_match_numerical_integrals(kind):
    _, loc, scale = predictions(rows=4)
    dist = tfd.Normal(loc, scale)
    found = divergences("b", as_output("b", dist), kind).numpy()
    x = np.linspace(-20, 20, 200001)
    p = stats.norm.pdf(x[:, np.newaxis], loc, scale)
    for i in range(4):
        for j in range(4):
            if kind == "kl":
                log_p = stats.norm.logpdf(x[:, np.newaxis], loc, scale)
                each = p[:, i] * (log_p[:, i] - log_p[:, j])
                truth = np.sum(each) * (x[1] - x[0])
            else:
                truth = -np.log(np.sum(np.sqrt(p[:, i] * p[:, j])) * (x[1] - x[0]))
            assert found[i, j] == pytest.approx(truth, abs=1e-6)
    diag = tfd.MultivariateNormalDiag(
        np.stack([loc, -loc], 1), np.stack([scale] * 2, 1)
    )
    full = tfd.MultivariateNormalTriL(diag.loc, tf.linalg.diag(diag.stddev()))
    for vector in (diag, full, tfd.Independent(tfd.Normal(diag.loc, diag.stddev()), 1)):
        twice = divergences("b", as_output("b", vector), kind)
        np.testing.assert_allclose(twice, 2 * found, atol=1e-6)
