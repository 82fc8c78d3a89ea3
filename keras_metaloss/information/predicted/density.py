"""Joint distribution p(a, b) on a grid, for plots."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_metaloss.information.predicted._batch import PredictedBatch
from keras_metaloss.information.predicted._methods import (
    check_options,
    information_and_entropies,
)
from keras_metaloss.information.predicted._options import Options
from keras_metaloss.information.predicted._outputs import ScalarOutput
from keras_metaloss.information.predicted._quadrature import (
    MAX_KNOTS_PER_VARIABLE,
    Kernel,
    is_resolved,
    panel_kernel,
    warped_kernel,
)
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
    options = check_options(Options("quadrature", num_points, bandwidth))
    distributions = {"dist_a": dist_a, "dist_b": dist_b}
    batch = PredictedBatch.from_distributions(distributions, sample_weight, bandwidth)
    # Raises for vectors, and for densities that cannot be integrated.
    information_and_entropies(batch, options, [("dist_a", "dist_b")])
    (a, density_a), (b, density_b) = (
        _values_and_densities(batch, name, num_points) for name in distributions
    )
    density = joint_table(batch.cast(density_a), batch.cast(density_b), batch.weights)
    return JointDensity(np.asarray(a), np.asarray(b), np.asarray(density))


def _values_and_densities(
    batch: PredictedBatch, name: str, num_points: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns values `[n]` of a variable and their densities for each input, `[N, n]`.

    The densities of a categorical variable are its class probabilities.
    """
    output = batch.outputs[name]
    if not isinstance(output, ScalarOutput):
        probs = batch.probs(name)
        return tf.range(probs.shape[1]), probs
    kernel = warped_kernel(output, num_points)
    if not is_resolved(kernel, batch.weights):
        kernel = panel_kernel(output, MAX_KNOTS_PER_VARIABLE)
    kernel = _without_empty_cells(kernel)
    widths = tf.exp(kernel.log_widths + output.log_volume(kernel.points))
    return output.value(kernel.points), kernel.mass / widths


def _without_empty_cells(kernel: Kernel) -> Kernel:
    """Removes the cells of zero width between knots that coincide."""
    has_width = kernel.log_widths > -math.inf
    return kernel._replace(
        points=tf.boolean_mask(kernel.points, has_width),
        log_widths=tf.boolean_mask(kernel.log_widths, has_width),
        mass=tf.boolean_mask(kernel.mass, has_width, axis=1),
    )
