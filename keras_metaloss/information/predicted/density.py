"""Joint distribution p(a, b) on a grid, for plots."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_metaloss.information.predicted._engine import Options, Predictions
from keras_metaloss.information.predicted._tables import joint_table

__all__ = ["JointDensity", "joint_density"]


class JointDensity(NamedTuple):
    """Joint distribution p(a, b) as NumPy arrays.

    Attributes:
        a: Values of A, `[n]`: integer labels, or real values.
        b: Values of B, `[m]`: integer labels, or real values.
        density: `[n, m]`, a probability mass for categorical variables and a
            probability density for continuous ones.

    Example:

    >>> import tensorflow_probability as tfp, keras_metaloss as kml
    >>> coin = tfp.distributions.Bernoulli(probs=[1.0, 0.0])
    >>> joint = kml.information.joint_density(coin, coin)
    >>> type(joint).__name__, joint.density.round(2).tolist()
    ('JointDensity', [[0.5, 0.0], [0.0, 0.5]])
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
    """Computes the joint distribution of two predicted variables over a batch.

    `p(a, b) = sum_i w_i p_i(a) q_i(b)`, where `p_i` and `q_i` are the distributions
    predicted for input i and w are the normalized weights of the N inputs.

    Args:
        dist_a: TFP distribution of a categorical or continuous scalar variable A,
            batch shape `[N]`.
        dist_b: TFP distribution of a categorical or continuous scalar variable B,
            batch shape `[N]`.
        num_points: Number of grid points of a continuous variable, at least 16. Points
            are denser where most predictions lie. An adaptive grid with more points is
            used for components that are too narrow for this grid. Defaults to `256`.
        sample_weight: Non-negative weights of the inputs, `[N]`. Defaults to `None`,
            equal weights.
        bandwidth: Standard deviation of independent normal noise that is added to
            normal and deterministic distributions. Defaults to `None`, which adds no
            noise to normal distributions and the noise of Silverman's rule,
            `1.06 sd N^(-1/5)`, to deterministic ones.

    Returns:
        `JointDensity`, three NumPy arrays. Requires eager execution.

    Raises:
        ValueError: If a variable is a vector, if a distribution is not supported, if
            batch sizes differ, if an argument is out of range, or if parameters of a
            distribution are invalid.

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
    predictions.information("dist_a", "dist_b")  # Raises for vectors.
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
    """Removes the cells of zero width between knots that coincide."""
    wide = cells.log_widths > -math.inf
    return cells._replace(
        points=tf.boolean_mask(cells.points, wide),
        log_widths=tf.boolean_mask(cells.log_widths, wide),
        mass=tf.boolean_mask(cells.mass, wide, axis=1),
    )
