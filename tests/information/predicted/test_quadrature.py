"""Quadrature compared to integrals by SciPy and mpmath."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import integrate, special

import keras_metaloss as kml
from tests.helpers.information import (
    KINDS,
    integrated,
    normal,
    panels,
    predicted_pair,
    predictions,
)

tfd = tfp.distributions


mutual_information = kml.information.mutual_information


@pytest.mark.parametrize("rows", [2, 12])
@pytest.mark.parametrize("kind", KINDS)
def test_quadrature_matches_scipy_integral(kind, rows):
    probs, loc, scale = predictions(kind, rows)
    truth = integrated(probs, *normal(loc, scale))
    a, b = predicted_pair(probs, loc, scale)
    assert float(mutual_information(a, b)) == pytest.approx(truth, abs=1e-4)
    assert float(mutual_information(a, b, num_points=512)) == pytest.approx(
        truth, abs=1e-5
    )


@pytest.mark.parametrize(
    ("loc", "scale"),
    [
        ([0.0, 0.1, 9.5, 9.6], [0.1, 0.1, 0.025, 0.025]),
        ([0.0, 0.1, 8.819435, 8.889081], [0.1, 0.1, 0.0232154, 0.0232154]),
        ([0.0, 0.1, 20.0, 20.15], [0.1, 0.1, 0.03, 0.03]),
        ([0.03, 40.0, 2.0, 0.5], [0.2, 0.05, 0.6, 0.01]),
    ],
)
def test_quadrature_resolves_clusters_of_different_scales(loc, scale):
    """Accurate masses of all rows do not imply an accurate information."""
    probs = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    truth = integrated(probs, *normal(np.array(loc), np.array(scale)))
    a, b = predicted_pair(probs, loc, scale)
    assert float(mutual_information(a, b)) == pytest.approx(truth, abs=2e-5)
    value = mutual_information(
        *predicted_pair(probs, loc, scale, "float64"), num_points=512
    )
    assert float(value) == pytest.approx(truth, abs=1e-5)


def test_quadrature_matches_mpmath_integral():
    probs, loc, scale = predictions("typical", rows=3, classes=2)
    prior = probs.mean(axis=0)

    def integrand(b):
        density = [mpmath.npdf(b, m, s) for m, s in zip(loc, scale, strict=True)]
        total = mpmath.fsum(density) / 3
        joint = [
            mpmath.fsum(d * p for d, p in zip(density, column, strict=True)) / 3
            for column in probs.T
        ]
        return mpmath.fsum(
            j * mpmath.log(j / (p * total)) for j, p in zip(joint, prior, strict=True)
        )

    knots = sorted({*(loc - 8 * scale), *loc, *(loc + 8 * scale)})
    truth = float(mpmath.quad(integrand, knots))
    value = mutual_information(
        *predicted_pair(probs, loc, scale, "float64"), num_points=512
    )
    assert value.dtype == tf.float64
    assert float(value) == pytest.approx(truth, abs=1e-9)


def test_two_continuous_variables():
    _, loc, scale = predictions("typical", rows=4)
    other, other_scale = loc[::-1] + 0.3 * loc, scale + 0.2
    first, first_knots = normal(loc, scale)
    second, second_knots = normal(other, other_scale)

    def inner(x):
        px = first(x)

        def integrand(y):
            py = second(y)
            joint = np.mean(px * py)
            return special.xlogy(joint, joint) - special.xlogy(
                joint, px.mean() * py.mean()
            )

        return integrate.fixed_quad(
            np.vectorize(integrand), second_knots.min(), second_knots.max(), n=100
        )[0]

    truth = integrate.fixed_quad(
        np.vectorize(inner), first_knots.min(), first_knots.max(), n=100
    )[0]
    x = predicted_pair(loc, loc, scale)[1]
    y = predicted_pair(loc, other, other_scale)[1]
    assert float(mutual_information(x, y)) == pytest.approx(truth, abs=1e-4)
    narrow = tfd.Normal(x.loc, 1e-5)
    assert float(mutual_information(narrow, narrow)) == pytest.approx(
        np.log(4), abs=1e-4
    )


def test_entropies_match_numerical_integrals():
    probs, loc, scale = predictions("different", rows=6)
    density, knots = normal(loc, scale)
    loc, scale = 3 + 40 * loc, 40 * scale  # Adds log 40.
    terms = kml.information.mutual_information_terms(*predicted_pair(probs, loc, scale))
    prior = probs.mean(axis=0)
    truth = panels(
        lambda b: -special.xlogy(density(b).mean(), density(b).mean()), knots
    )
    assert float(terms.entropy_a) == pytest.approx(-np.sum(prior * np.log(prior)), 1e-5)
    assert float(terms.entropy_b) == pytest.approx(truth + np.log(40), abs=1e-4)
    assert float(terms.joint_entropy) == pytest.approx(
        float(terms.entropy_a + terms.entropy_b - terms.mutual_information)
    )


@pytest.mark.parametrize("kind", ["typical", "different", "very narrow"])
@pytest.mark.parametrize("leave_one_out", [False, True])
def test_gradient_matches_finite_differences(kind, leave_one_out):
    probs, loc, scale = predictions(kind, rows=7, classes=3)
    # Two rows of weight 0 fix the range of the grid, which has no gradient.
    loc[:2], scale[:2] = (-12, 12), 0.1
    weights = np.array([0, 0, 1, 1, 1, 2, 1.0])
    rng = np.random.default_rng(0)
    inputs = [tf.constant(x) for x in (np.log(probs), loc, np.log(scale))]

    @tf.function
    def function(z, m, s):
        return mutual_information(
            tfd.Categorical(logits=z),
            tfd.Normal(m, tf.exp(s)),
            num_points=512,
            leave_one_out=leave_one_out,
            sample_weight=weights,
        )

    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = function(*inputs)
    for index, gradient in enumerate(tape.gradient(value, inputs)):
        if kind == "typical":
            assert np.abs(gradient).max() > 1e-4
        for _ in range(3):
            direction = rng.normal(size=gradient.shape)
            if index:
                direction[:2] = 0
            step = 1e-3 * scale.min() if index == 1 else 1e-4
            moved = [list(inputs), list(inputs)]
            for which, sign in enumerate((1, -1)):
                moved[which][index] = inputs[index] + sign * step * direction
            ends = [float(function(*x)) for x in moved]
            slope = (ends[0] - ends[1]) / (2 * step)
            assert np.sum(gradient * direction) == pytest.approx(
                slope, rel=2e-3, abs=1e-4
            )


@pytest.mark.parametrize("method", ["quadrature", "pairwise_bhattacharyya"])
@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e15])
@pytest.mark.parametrize("spread", [0.0, 1.0, 1e6])
def test_extreme_parameters_give_finite_results(method, scale, spread):
    logits = np.array([[0, -np.inf, 1], [1e4, 0, -1e4], [0, 0, 0]], "float32")
    inputs = [
        tf.constant(logits),
        tf.constant([0.0, spread, 5 * spread]),
        tf.constant([scale, scale, 3 * scale]),
    ]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        terms = kml.information.mutual_information_terms(
            tfd.Categorical(logits=inputs[0]), tfd.Normal(*inputs[1:]), method
        )
        value = terms.mutual_information
    gradients = tape.gradient(value, inputs)
    for tensor in (*terms, *gradients):
        assert np.isfinite(tensor).all(), (tensor, gradients)
    assert -1e-6 <= value <= np.log(3)
