"""Table of task weightings, with one row per weighting, for tests of all weightings.

A row is a function of the names of three tasks that returns a new weighting.
"""

from __future__ import annotations

import numpy as np
import scipy.optimize
import tensorflow as tf

import keras_metaloss as kml

W = kml.losses.weighting

WEIGHTINGS = {
    "equal": lambda tasks: W.FixedWeighting(),
    "fixed": lambda tasks: W.FixedWeighting(
        dict(zip(tasks, (1.0, 0.5, 2.0), strict=True))
    ),
    "uncertainty": lambda tasks: W.UncertaintyWeighting(tasks[:2]),
    "dwa": lambda tasks: W.DynamicWeightAverage(),
    "gradnorm": lambda tasks: W.GradNorm(),
    "gls": lambda tasks: W.GeometricLossStrategy(),
    "imtl": lambda tasks: W.IMTL(),
    "imtl-l": lambda tasks: W.IMTL("loss"),
    "imtl-g": lambda tasks: W.IMTL("gradient"),
    "pcgrad": lambda tasks: W.PCGrad(seed=5),
    "mgda": lambda tasks: W.MGDA(),
    "mgda-l2": lambda tasks: W.MGDA("l2"),
    "cagrad": lambda tasks: W.CAGrad(0.3),
    "rlw": lambda tasks: W.RandomLossWeighting(seed=5),
}
# Weightings that draw random numbers in the order of the tasks.
RANDOM = {"pcgrad", "rlw"}

NAMES = ("a", "b", "c", "d", "e", "f")


def attached(weighting, count=3):
    """Returns the weighting, attached to the first tasks of `NAMES`."""
    weighting.build_for(NAMES[:count])
    return weighting


def random_gradients(count=3, size=5, seed=0, conflict=False):
    """Returns gradients `[K, P]`; with `conflict` the last opposes the others."""
    rng = np.random.default_rng(seed)
    gradients = rng.normal(size=(count, size)) * np.geomspace(0.3, 3.0, count)[:, None]
    if conflict:
        gradients[-1] = -gradients[0] - 0.3 * gradients[1] + 0.1 * gradients[-1]
    return gradients


def shared_and_specific_weights(weighting, losses, gradients):
    """Computes weights for losses `[K]` and gradients `[K, P]`."""
    losses = tf.constant(losses, weighting.variable_dtype)
    products = tf.constant(gradients @ gradients.T, weighting.variable_dtype)
    return weighting.compute_weights(losses, products)


def minimize_on_simplex(function, count):
    """Minimizes a function over the simplex with SciPy from several starts."""
    starts = [np.full(count, 1 / count), *(np.eye(count) * 0.8 + 0.2 / count)]
    results = [
        scipy.optimize.minimize(
            function,
            start,
            method="SLSQP",
            bounds=[(0, 1)] * count,
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
            options={"ftol": 1e-14, "maxiter": 500},
        )
        for start in starts
    ]
    return min(results, key=lambda r: r.fun)
