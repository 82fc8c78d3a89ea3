"""Entropies of mixtures compared to SciPy and numerical integration."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats
from scipy.integrate import quad

import keras_metaloss as kml

info = kml.information


tfd = tfp.distributions


def mixture(components, weights):
    return tfd.MixtureSameFamily(
        tfd.Categorical(probs=np.array(weights)), components, validate_args=True
    )


MIXED = mixture(tfd.Normal(np.array([-2.0, 0, 1]), [0.01, 1, 3]), [0.2, 0.5, 0.3])


def integrated(dist, points):
    def integrand(t):
        log_p = float(dist.log_prob(np.float64(t)))
        return -log_p * np.exp(log_p)

    pairs = zip(points[:-1], points[1:], strict=True)
    return sum(quad(integrand, a, b, epsabs=1e-9, limit=60)[0] for a, b in pairs)


def test_quadrature_of_very_different_scales():
    points = [-30, -8, -2.08, -2.02, -2, -1.98, -1.92, 8, 30]
    value = float(info.entropy_mixture(MIXED, "quadrature"))
    assert value == pytest.approx(integrated(MIXED, points), abs=1e-7)


FAMILIES = {
    "student": (tfd.StudentT([1.5, 1.5], np.zeros(2), 1.0), stats.t(1.5)),
    "cauchy": (tfd.Cauchy(np.zeros(2), 1.0), stats.cauchy()),
    "laplace": (tfd.Laplace(np.zeros(2), 1.0), stats.laplace()),
    "gamma": (tfd.Gamma(np.array([2.0, 2.0]), 1.0), stats.gamma(2)),
    "log normal": (tfd.LogNormal(np.zeros(2), 1.0), stats.lognorm(1)),
    "beta": (tfd.Beta(np.array([2.0, 2.0]), 3.0), stats.beta(2, 3)),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_quadrature_equals_scipy_for_each_family(name):
    components, theirs = FAMILIES[name]
    value = float(info.entropy_mixture(mixture(components, [0.4, 0.6]), "quadrature"))
    assert value == pytest.approx(theirs.entropy(), abs=1e-4)


def test_quadrature_rejects_discontinuous_densities():
    dist = mixture(tfd.Uniform(np.array([0.3, 0.4]), [2.0, 3.0]), [0.5, 0.5])
    with pytest.raises(ValueError, match="monte_carlo.*mass"):
        info.entropy_mixture(dist, "quadrature")
    assert np.isnan(tf.function(lambda: info.entropy_mixture(dist, "quadrature"))())


def test_pairwise_bounds_enclose_the_exact_entropy():
    low, exact, high = (
        float(info.entropy_mixture(MIXED, method))
        for method in ("pairwise_bhattacharyya", "quadrature", "pairwise_kl")
    )
    assert low < exact < high
    sampled = float(info.entropy_mixture(MIXED, "monte_carlo"))
    assert sampled == pytest.approx(exact, abs=0.06)


def test_pairwise_bounds_are_exact_for_far_or_equal_components():
    apart = mixture(tfd.Normal(np.array([-1e3, 0, 1e3]), 1.0), [0.2, 0.5, 0.3])
    one = np.log(2 * np.pi * np.e) / 2
    for method in ("pairwise_kl", "pairwise_bhattacharyya"):
        value = float(info.entropy_mixture(apart, method))
        assert value == pytest.approx(one + stats.entropy([0.2, 0.5, 0.3]), abs=1e-9)
        equal = mixture(tfd.Normal(np.zeros(3), 1.0), [0.2, 0.5, 0.3])
        assert float(info.entropy_mixture(equal, method)) == pytest.approx(one)


def bhattacharyya(mean_a, cov_a, mean_b, cov_b):
    """Returns `-log int sqrt(p q)` of two Gaussians."""
    cov, gap = (cov_a + cov_b) / 2, mean_a - mean_b
    ratio = np.linalg.det(cov) / np.sqrt(np.linalg.det(cov_a) * np.linalg.det(cov_b))
    return gap @ np.linalg.solve(cov, gap) / 8 + np.log(ratio) / 2


def test_pairwise_bounds_of_batched_vector_components():
    rng = np.random.default_rng(0)
    mean, root = rng.normal(size=(2, 3, 2)), rng.uniform(0.5, 1, size=(2, 3, 2))
    weights = np.array([0.2, 0.5, 0.3])
    full = tfd.MultivariateNormalDiag(mean, root)
    independent = tfd.Independent(tfd.Normal(mean, root), 1)
    for components in (full, independent):
        dist = tfd.MixtureSameFamily(
            tfd.Categorical(probs=np.stack([weights] * 2)), components
        )
        value = info.entropy_mixture(dist, "pairwise_bhattacharyya")
        for b in range(2):
            cov = [np.diag(r**2) for r in root[b]]
            distance = [
                [
                    bhattacharyya(mean[b, i], cov[i], mean[b, j], cov[j])
                    for j in range(3)
                ]
                for i in range(3)
            ]
            own = [stats.multivariate_normal(cov=c).entropy() for c in cov]
            expected = weights @ (own - np.log(np.exp(-np.array(distance)) @ weights))
            assert float(value[b]) == pytest.approx(expected, rel=1e-9)
        assert np.all(info.entropy_mixture(dist, "pairwise_kl") > value)
        for method in ("pairwise_bhattacharyya", "pairwise_kl"):
            compiled = tf.function(
                lambda dist=dist, method=method: info.entropy_mixture(dist, method),
                jit_compile=True,
            )
            eager = info.entropy_mixture(dist, method)
            np.testing.assert_allclose(compiled(), eager, rtol=1e-9)


@pytest.mark.parametrize(
    "method", ["pairwise_kl", "pairwise_bhattacharyya", "quadrature"]
)
def test_mixture_gradients_equal_finite_differences(method):
    location = np.array([-1.0, 0.2, 1.5])

    def entropy(location):
        scale = np.array([0.5, 1.0, 0.8])
        dist = tfd.MixtureSameFamily(
            tfd.Categorical(probs=np.array([0.2, 0.5, 0.3])),
            tfd.Normal(location, scale),
        )
        return info.entropy_mixture(dist, method)

    tensor = tf.constant(location)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        value = entropy(tensor)
    gradient = tape.gradient(value, tensor).numpy()
    for i in range(3):
        step = np.eye(3)[i] * 1e-5
        numeric = (
            float(entropy(location + step)) - float(entropy(location - step))
        ) / 2e-5
        assert gradient[i] == pytest.approx(numeric, rel=1e-5)


def test_invalid_mixtures_raise():
    with pytest.raises(ValueError, match="`method`.*'exact'"):
        info.entropy_mixture(MIXED, "exact")
    with pytest.raises(TypeError, match="MixtureSameFamily"):
        info.entropy_mixture(tfd.Normal(0.0, 1.0))
    laplace = mixture(tfd.Laplace(np.zeros(2), 1.0), [0.5, 0.5])
    with pytest.raises(TypeError, match="Gaussian components"):
        info.entropy_mixture(laplace, "pairwise_bhattacharyya")
    vectors = mixture(tfd.MultivariateNormalDiag(np.zeros((2, 2))), [0.5, 0.5])
    with pytest.raises(TypeError, match="scalar components"):
        info.entropy_mixture(vectors, "quadrature")
