"""Entropies of samples compared to closed forms and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats
from scipy.spatial.distance import cdist
from scipy.special import digamma

import keras_metaloss as kml

info = kml.information


tfd = tfp.distributions


CONTINUOUS = {
    "gaussian": info.entropy_gaussian,
    "kde": info.entropy_kde,
    "kozachenko_leonenko": info.entropy_kozachenko_leonenko,
}


def test_plug_in_and_miller_madow_equal_scipy():
    counts = np.array([[5, 3, 0, 2], [1, 1, 1, 1]])
    expected = stats.entropy(counts, axis=-1)
    np.testing.assert_allclose(info.entropy_plug_in(counts), expected, rtol=1e-6)
    np.testing.assert_allclose(info.entropy_plug_in(counts / 10.0), expected)
    corrected = info.entropy_miller_madow(counts) - expected
    np.testing.assert_allclose(corrected, [2 / 20, 3 / 8], rtol=1e-5)


def test_gradient_of_plug_in_is_finite_at_zero():
    p = tf.constant([0.0, 0.3, 0.7], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(p)
        value = info.entropy_plug_in(p)
    # The gradient of the entropy of normalized weights is -log p - H. The derivative of
    # -p log p, which is infinite at zero, is defined as zero there.
    expected = [1 - float(value), *(-np.log([0.3, 0.7]) - float(value))]
    np.testing.assert_allclose(tape.gradient(value, p), expected, rtol=1e-9)


@pytest.mark.parametrize(
    "wrong", [[-1.0, 2.0], [0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]]
)
def test_invalid_counts_raise_or_give_nan_in_graph_mode(wrong):
    for function in (info.entropy_plug_in, info.entropy_miller_madow):
        with pytest.raises(ValueError, match="finite, non-negative"):
            function(wrong)
        assert np.isnan(tf.function(function)(tf.constant(wrong)))
    with pytest.raises(ValueError, match="integer counts.*`entropy_plug_in`"):
        info.entropy_miller_madow([0.5, 0.5])
    with pytest.raises(ValueError, match="\\[..., K\\]"):
        info.entropy_plug_in(3.0)


SAMPLES = np.random.default_rng(0).normal(size=(3000, 2)) @ [[2.0, 0.5], [0.0, 0.3]]


TRUTH = np.log(2 * np.pi * np.e) + np.log(0.6)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_gaussian_samples_in_eager_xla_and_float32(name):
    entropy = CONTINUOUS[name]
    value = float(entropy(SAMPLES))
    assert value == pytest.approx(TRUTH, abs=0.15 if name == "kde" else 0.05)
    compiled = tf.function(entropy, jit_compile=True)
    assert float(compiled(SAMPLES)) == pytest.approx(value, abs=1e-9)
    single = entropy(tf.constant(SAMPLES, tf.float32))
    assert single.dtype == tf.float32
    assert float(single) == pytest.approx(value, abs=1e-4)
    # Scaling adds the logarithm of the scale per dimension.
    scaled = float(entropy(SAMPLES * 1e6))
    assert scaled == pytest.approx(value + 2 * np.log(1e6), abs=1e-6)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_gradients_equal_finite_differences(name):
    entropy, x = CONTINUOUS[name], SAMPLES[:40]
    tensor = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        value = entropy(tensor)
    gradient = tape.gradient(value, tensor).numpy()
    for index in [(0, 0), (17, 1), (30, 0)]:
        step = np.zeros_like(x)
        step[index] = 1e-6
        numeric = (float(entropy(x + step)) - float(entropy(x - step))) / 2e-6
        assert gradient[index] == pytest.approx(numeric, rel=1e-5, abs=1e-8)


def test_gaussian_entropy_equals_scipy():
    covariance = np.cov(SAMPLES.T, bias=True)
    expected = stats.multivariate_normal(cov=covariance).entropy()
    assert float(info.entropy_gaussian(SAMPLES)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("bandwidth", ["scott", "silverman"])
def test_kde_equals_scipy(bandwidth):
    x = SAMPLES[:500, 0]
    density = stats.gaussian_kde(x, bandwidth)
    value = info.entropy_kde(x, bandwidth, leave_one_out=False)
    assert float(value) == pytest.approx(-density.logpdf(x).mean(), rel=1e-12)
    width = float(np.sqrt(density.covariance[0, 0]))
    given = float(info.entropy_kde(x, width, leave_one_out=False))
    assert given == pytest.approx(float(value), rel=1e-12)
    left_out = [
        stats.norm(np.delete(x, i), width).pdf(x[i]).mean() for i in range(x.size)
    ]
    value = float(info.entropy_kde(x, width))
    assert value == pytest.approx(-np.log(left_out).mean(), rel=1e-12)


@pytest.mark.parametrize("norm", ["max", "euclidean"])
@pytest.mark.parametrize("dimensions", [1, 3])
def test_kozachenko_leonenko_equals_its_formula(dimensions, norm):
    x = np.random.default_rng(0).uniform(0, 2, size=(1500, dimensions))
    metric = "chebyshev" if norm == "max" else "euclidean"
    radius = np.sort(cdist(x, x, metric), axis=1)[:, 4]
    ball = {
        ("max", 1): 2,
        ("max", 3): 8,
        ("euclidean", 1): 2,
        ("euclidean", 3): 4 / 3 * np.pi,
    }
    expected = digamma(1500) - digamma(4) + np.log(ball[norm, dimensions])
    expected += dimensions * np.log(radius).mean()
    value = float(info.entropy_kozachenko_leonenko(x, 4, norm))
    assert value == pytest.approx(expected, rel=1e-12)
    # Missing neighbors beyond the border bias the estimate upward.
    assert -0.05 < value - dimensions * np.log(2) < 0.2


def test_entropy_of_atoms_is_minus_infinity():
    for entropy in CONTINUOUS.values():
        assert float(entropy(np.ones(10))) == -np.inf
