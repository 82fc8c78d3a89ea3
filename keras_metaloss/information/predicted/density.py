"""p(a, b) on a grid, to look at."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_metaloss.information.predicted.engine import Options, Predictions
from keras_metaloss.information.predicted.tables import joint_table

__all__ = ["JointDensity", "joint_density"]


class JointDensity(NamedTuple):
    """p(a, b) as NumPy arrays.

    Attributes:
        a: values of A, class indices or numbers, `[n]`.
        b: values of B, `[m]`.
        density: `[n, m]`, a density in what is a number and a mass in what is a class.
    """

    a: np.ndarray
    b: np.ndarray
    density: np.ndarray


def joint_density(
    dist_a: Any,
    dist_b: Any,
    num_points: int = 256,
    sample_weight: Any = None,
    bandwidth: float | None = None,
) -> JointDensity:
    """The joint distribution of two predicted variables over a batch of inputs.

    `p(a, b) = sum_i w_i p_i(a) q_i(b)`, see `mutual_information`.

    Args:
        dist_a: a single class or number, batch shape `[N]`.
        dist_b: likewise.
        num_points: points at which the density of a number is given, closer together
            where most predictions are; more points where these would miss narrow ones.
        sample_weight: weights of the inputs, `[N]`.
        bandwidth: as in `mutual_information`.

    Returns:
        `JointDensity`, NumPy arrays: outside of a compiled function only.

    Raises:
        ValueError: as `mutual_information`, and for vectors.

    Example:

    >>> import tensorflow_probability as tfp, keras_metaloss as kml
    >>> tfd = tfp.distributions
    >>> a = tfd.Bernoulli(probs=[0.0, 1.0])
    >>> b = tfd.Normal([-1.0, 1.0], 0.5)
    >>> density = kml.information.joint_density(a, b)
    >>> [round(float(density.b[i]), 1) for i in density.density.argmax(axis=1)]
    [-1.0, 1.0]
    """
    options = Options("quadrature", num_points, bandwidth)
    distributions = {"dist_a": dist_a, "dist_b": dist_b}
    predictions = Predictions(distributions, sample_weight, options)
    predictions.information("dist_a", "dist_b")  # refuses vectors
    values, kernels = [], []
    for name in distributions:
        cells = predictions.fine_cells(name)
        if not predictions.is_class(name):
            cells = _with_width(cells)
        if predictions.is_class(name):
            values.append(tf.range(cells.mass.shape[1]))
            kernels.append(cells.mass)
            continue
        head = predictions.heads[name]
        widths = tf.exp(cells.log_widths + head.log_volume(cells.points))
        values.append(head.value(cells.points))
        kernels.append(cells.mass / widths)
    kernels = [tf.cast(kernel, predictions.weights.dtype) for kernel in kernels]
    density = joint_table(*kernels, predictions.weights)
    return JointDensity(*(np.asarray(x) for x in (*values, density)))


def _with_width(cells):
    """Without the empty cells between knots that coincide."""
    wide = cells.log_widths > -math.inf
    return cells._replace(
        points=tf.boolean_mask(cells.points, wide),
        log_widths=tf.boolean_mask(cells.log_widths, wide),
        mass=tf.boolean_mask(cells.mass, wide, axis=1),
    )
