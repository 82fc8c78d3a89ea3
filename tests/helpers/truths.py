"""Samples with known mutual information."""

from __future__ import annotations

import numpy as np
from scipy.integrate import quad
from scipy.special import gammaln
from scipy.stats import norm, poisson

SIZE = 10_000


def gaussian(dimensions, rho, seed=0, size=SIZE):
    """Returns pairs of correlated coordinates, with `I = -d log(1 - rho^2) / 2`."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(size, dimensions))
    noise = rng.normal(size=(size, dimensions))
    return (
        x,
        rho * x + np.sqrt(1 - rho**2) * noise,
        -dimensions / 2 * np.log1p(-(rho**2)),
    )


def dense_gaussian(dimensions, rho, seed=0):
    """Returns samples whose coordinates all have pairwise correlation rho."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(SIZE, 1))
    own = rng.normal(size=(SIZE, 2 * dimensions))
    values = np.sqrt(rho) * common + np.sqrt(1 - rho) * own

    def log_det(n):
        return (n - 1) * np.log1p(-rho) + np.log1p((n - 1) * rho)

    truth = log_det(dimensions) - log_det(2 * dimensions) / 2
    return values[:, :dimensions], values[:, dimensions:], truth


def bimodal():
    """Returns a Gaussian with bimodal margins; its mutual information is unchanged."""
    x, y, truth = gaussian(1, 0.75)

    def bent(z):
        u = norm.cdf(z)
        return np.where(u < 0.3, -3 + u / 0.3, 5 * (u - 0.3))

    return bent(x), bent(y), truth


def half_cube():
    """Returns a Gaussian transformed by `z |z|^(1/2)`."""
    x, y, truth = gaussian(1, 0.75)
    return x * np.sqrt(np.abs(x)), y * np.sqrt(np.abs(y)), truth


def additive_noise(epsilon=0.75):
    """Returns `Y = X + N`, X uniform on [0, 1], N uniform on [-epsilon, epsilon]."""
    rng = np.random.default_rng(3)
    x = rng.uniform(size=SIZE)
    y = x + rng.uniform(-epsilon, epsilon, size=SIZE)

    def density(t):
        return max(0, min(1, t + epsilon) - max(0, t - epsilon)) / (2 * epsilon)

    def integrand(t):
        p = density(t)
        return -p * np.log(p) if p > 0 else 0.0

    points = [epsilon, 1 - epsilon]
    entropy = quad(integrand, -epsilon, 1 + epsilon, points=points, limit=200)[0]
    return x, y, entropy - np.log(2 * epsilon)


def student(degrees=5, seed=4):
    """Returns uncorrelated bivariate Student-t samples, dependent by a common scale."""
    rng = np.random.default_rng(seed)
    scale = np.sqrt(degrees / rng.chisquare(degrees, size=SIZE))
    x, y = rng.normal(size=(2, SIZE)) * scale

    def entropy(dimensions):
        # The log density at radius r is linear in log(1 + r^2 / degrees).
        log_norm = (
            gammaln((degrees + dimensions) / 2)
            - gammaln(degrees / 2)
            - dimensions / 2 * np.log(degrees * np.pi)
        )
        surface = np.log(2) + dimensions / 2 * np.log(np.pi) - gammaln(dimensions / 2)
        power = -(degrees + dimensions) / 2

        def integrand(r):
            log_p = log_norm + power * np.log1p(r**2 / degrees)
            return -log_p * np.exp(log_p + surface) * r ** (dimensions - 1)

        return quad(integrand, 0, np.inf, limit=400)[0]

    return x, y, 2 * entropy(1) - entropy(2)


def uniform_discrete(m=5):
    """Returns X uniform on 0..m-1 and Y uniform on [X, X + 2] (Gao et al. 2017).

    The density of Y is 1/(2m) on the two outer unit intervals and 1/m on the m - 1
    inner ones.
    """
    rng = np.random.default_rng(5)
    x = rng.integers(0, m, size=SIZE)
    density = np.array([0.5, *np.ones(m - 1), 0.5]) / m
    truth = -np.sum(density * np.log(density)) - np.log(2)
    return x, x + rng.uniform(0, 2, size=SIZE), truth


def zero_inflated_poisson(p=0.15):
    """Returns X exponential and Y Poisson of mean X, but 0 with probability p.

    Inflated zeros are not observed as such, so the mutual information is not `(1 - p)`
    times that of p = 0, the value in Gao et al. 2017.
    """
    rng = np.random.default_rng(6)
    x = rng.exponential(size=SIZE)
    y = rng.poisson(x) * (rng.uniform(size=SIZE) >= p)
    # A Poisson variable with exponential mean has P(Y = y) = 2^-(y + 1).
    marginal = (1 - p) * 0.5 ** np.arange(1, 61)
    marginal[0] += p
    conditional = 0.0
    for value in range(60):

        def integrand(t, value=value):
            q = (1 - p) * poisson.pmf(value, t) + p * (value == 0)
            return -np.exp(-t) * q * np.log(q) if q > 0 else 0.0

        conditional += quad(integrand, 0, 60, limit=200)[0]
    return x, y, -np.sum(marginal * np.log(marginal)) - conditional
