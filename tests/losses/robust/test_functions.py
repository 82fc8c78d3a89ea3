"""Barron's robust loss and its normalized likelihood are exact."""

from __future__ import annotations

import keras
import mpmath
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

import keras_metaloss as kml
from keras_metaloss.losses.robust.functions import log_partition, robust_energy
from tests.helpers.robust import (
    ALPHAS,
    RESIDUALS,
    exact_robust_loss,
    exact_robust_slope,
)


@pytest.mark.parametrize(
    ("dtype", "value_error", "slope_error"),
    [("float32", 1e-5, 1e-4), ("float64", 1e-10, 1e-10)],
)
@pytest.mark.parametrize("alpha", ALPHAS)
def test_value_and_slope_are_exact(alpha, dtype, value_error, slope_error):
    alpha = np.array(alpha, dtype)
    x = np.array([r for r in RESIDUALS if alpha < 3 or r < 1e3], dtype)
    tensor = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        values = robust_energy(tensor, tf.constant(alpha))
    slopes = tape.gradient(values, tensor)
    with mpmath.workdps(60):
        reference = [float(exact_robust_loss(float(r), float(alpha))) for r in x]
        slope = [float(exact_robust_slope(float(r), float(alpha))) for r in x]
    np.testing.assert_allclose(values, reference, rtol=value_error, atol=1e-30)
    np.testing.assert_allclose(slopes, slope, rtol=slope_error, atol=1e-30)


@pytest.mark.parametrize("alpha", [a for a in ALPHAS if abs(a) < 100 and a != 2.0])
def test_derivative_by_alpha_is_exact(alpha):
    x = np.array([r for r in RESIDUALS if alpha < 3 or r < 1e3])[1:]
    shape = tf.constant(np.full(len(x), alpha))
    with tf.GradientTape() as tape:
        tape.watch(shape)
        values = robust_energy(tf.constant(x), shape)
    slopes = tape.gradient(values, shape)
    with mpmath.workdps(60):
        step = mpmath.mpf(10) ** -25
        reference = [
            float(
                (
                    exact_robust_loss(r, alpha + step)
                    - exact_robust_loss(r, alpha - step)
                )
                / (2 * step)
            )
            for r in x
        ]
    # For small x, two terms of the derivative cancel up to rounding errors of `scale`.
    scale = np.array([float(exact_robust_loss(r, alpha)) for r in x]) * (
        1 + 1 / abs(alpha - 2)
    )
    error = np.abs(slopes - np.array(reference))
    assert (error < 1e-7 * np.abs(reference) + 1e-14 * scale).all()


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_derivatives_are_finite_everywhere(alpha, jit_compile):
    @tf.function(jit_compile=jit_compile)
    def derivatives(x, shape):
        with tf.GradientTape() as tape:
            tape.watch([x, shape])
            value = tf.reduce_sum(robust_energy(x, shape))
        return tape.gradient(value, [x, shape])

    x = np.array([r for r in RESIDUALS if alpha < 3 or r < 1e3], "float32")
    results = derivatives(tf.constant(x), tf.constant(alpha, tf.float32))
    assert all(np.isfinite(result).all() for result in results)


def exact_log_partition(alpha):
    nodes = [0, 0.01, 0.1, 1, 3, 10, 100, 1e4, 1e8, 1e16, mpmath.inf]
    return mpmath.log(
        2
        * mpmath.quad(
            lambda x: mpmath.exp(-exact_robust_loss(x, alpha)), nodes, maxdegree=9
        )
    )


@pytest.mark.parametrize("alpha", [0.001, 0.3, 1.0, 1.7, 1.999])
def test_log_partition_and_derivative_are_exact(alpha):
    shape = tf.constant(alpha, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(shape)
        value = log_partition(shape)
    slope = float(tape.gradient(value, shape))
    assert float(value) == pytest.approx(float(exact_log_partition(alpha)), abs=1e-10)
    step = 1e-5
    numeric = (
        exact_log_partition(alpha + step) - exact_log_partition(alpha - step)
    ) / (2 * step)
    assert slope == pytest.approx(float(numeric), rel=1e-3, abs=1e-7)


def test_log_partition_matches_closed_forms():
    closed = {
        0.0: np.log(np.pi * np.sqrt(2)),
        1.0: float(mpmath.log(2 * mpmath.e * mpmath.besselk(1, 1))),
        2.0: 0.5 * np.log(2 * np.pi),
    }
    values = log_partition(tf.constant(list(closed), tf.float64))
    np.testing.assert_allclose(values, list(closed.values()), atol=1e-12)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (kml.losses.robust_negative_log_likelihood, {"alpha": 2.0}, "`alpha`.*2.0"),
        (kml.losses.robust_negative_log_likelihood, {"alpha": [-1]}, "`alpha`.*-1"),
        (kml.losses.robust_negative_log_likelihood, {"scale": 0.0}, "`scale`.*0.0"),
        (kml.losses.general_robust_loss, {"scale": np.zeros(1)}, "`scale`"),
    ],
)
def test_functions_validate_arguments(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function([[0.0]], [[1.0]], **arguments)


def test_likelihood_gradients_of_keras_variables():
    alpha, scale = keras.Variable(1.0), keras.Variable([0.5, 2.0])
    with tf.GradientTape() as tape:
        value = kml.losses.robust_negative_log_likelihood(
            [[0.0, 1.0]], [[3.0, 1.0]], alpha, scale
        )
    for gradient in tape.gradient(value, [alpha.value, scale.value]):
        assert np.isfinite(gradient).all() and np.any(gradient)


def test_integer_inputs_and_unknown_alpha_length():
    assert float(kml.losses.general_robust_loss([[0]], [[1]])[0]) == pytest.approx(
        2**0.5 - 1
    )

    @tf.function(input_signature=[tf.TensorSpec([None])])
    def value(alpha):
        return kml.losses.general_robust_loss([[0.0, 0.0]], [[1.0, 1.0]], alpha)

    assert float(value([1.0, 1.0])[0]) == pytest.approx(2**0.5 - 1)


def test_likelihood_near_alpha_2_is_normal():
    residual = np.linspace(-3, 3, 13)[:, np.newaxis]
    value = kml.losses.robust_negative_log_likelihood(
        np.zeros_like(residual), residual, alpha=2 - 1e-9, scale=0.5**0.5
    )
    # At alpha = 2, the density is normal with standard deviation c.
    expected = -scipy.stats.norm.logpdf(residual[:, 0], 0, 0.5**0.5)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
