"""Random predictions, and their mutual information computed by SciPy in float64."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import integrate, special, stats

tfd = tfp.distributions

KINDS = ["typical", "different", "narrow", "very narrow", "wide"]


def predictions(kind="typical", rows=8, classes=4, seed=0):
    """Returns class probabilities `[N, k]`, locations and scales `[N]`, in float64."""
    rng = np.random.default_rng(seed)
    probs = special.softmax(2 * rng.normal(size=(rows, classes)), axis=1)
    loc = 2 * rng.normal(size=rows)
    scale = {
        "typical": lambda: 0.5 * np.exp(0.3 * rng.normal(size=rows)),
        "different": lambda: np.exp(rng.uniform(np.log(0.02), np.log(2), rows)),
        "narrow": lambda: np.full(rows, 0.05),
        "very narrow": lambda: np.full(rows, 1e-3),
        "wide": lambda: np.full(rows, 3.0),
    }[kind]()
    return probs, loc, scale


def integrated(probs, density, knots, weights=None):
    """Integrates I(A;B) of class probabilities and `density(b) -> [N]`."""
    rows = len(probs)
    weights = np.full(rows, 1 / rows) if weights is None else weights
    prior = weights @ probs

    def integrand(b):
        joint = (weights * density(b)) @ probs
        return np.sum(special.xlogy(joint, joint) - special.xlogy(joint, prior)) - (
            special.xlogy(joint.sum(), joint.sum())
        )

    return panels(integrand, knots)


def panels(integrand, knots):
    knots = np.unique(knots)
    values = [
        integrate.quad(integrand, low, high, epsabs=1e-11, epsrel=1e-9)[0]
        for low, high in zip(knots[:-1], knots[1:], strict=True)
    ]
    return float(np.sum(values))


def normal(loc, scale):
    """Returns density and knots of normal components."""
    steps = np.array([-9, -4, -1, 1, 4, 9])
    knots = (loc[:, np.newaxis] + scale[:, np.newaxis] * steps).ravel()
    return lambda b: stats.norm.pdf(b, loc, scale), knots


def predicted_pair(probs, loc, scale, dtype="float32"):
    """Returns a categorical and a normal distribution per row."""
    probs, loc, scale = (tf.constant(x, dtype) for x in (probs, loc, scale))
    return tfd.Categorical(probs=probs), tfd.Normal(loc, scale)
