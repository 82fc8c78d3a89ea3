"""Quadrature cells of a real variable that resolve every component of a mixture.

There are two grids. The warped grid is cheap and has a fixed size: the trapezoidal rule
with points evenly spaced in `asinh` of the standardized variable. If it does not
resolve the components, which shows in the mass that it finds in each, it is replaced by
Gauss-Legendre panels between knots of all components. The number of panels grows with
the batch size.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_metaloss.information.predicted._outputs import ScalarOutput

__all__ = [
    "MAX_KNOTS",
    "MAX_KNOTS_PER_VARIABLE",
    "Kernel",
    "categorical_kernel",
    "is_resolved",
    "panel_kernel",
    "warped_kernel",
]

# Largest number of knots of one continuous variable, and of each of two, whose joint
# table has the product of their cells.
MAX_KNOTS, MAX_KNOTS_PER_VARIABLE = 4096, 512

# Largest error of the mass of a component, and largest step in units of its scale;
# panels are used above either. Masses alone are no sufficient criterion: they converge
# before the information, whose integrand changes within a fraction of the scale.
_MASS_TOLERANCE = 5e-5
# The largest step is inversely proportional to the number of points: 512 points have
# an error of 1e-5 nats instead of 1e-4.
_STEP_TOLERANCE, _POINTS = 1.0, 256
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(5)


class Kernel(NamedTuple):
    """Probability masses of the rows of a mixture in G cells.

    Attributes:
        points: Midpoint of each cell in the standardized coordinate, `[G]`.
        log_widths: Logarithm of the width of each cell in that coordinate, `[G]`.
        mass: Mass of each row in each cell, `[N, G]`; rows sum to one.
        error: Absolute deviation of the row sums from one before normalization, `[N]`.
        step: Distance between cells at each component, in units of its scale, `[M]`; a
            row may have several components.
    """

    points: tf.Tensor
    log_widths: tf.Tensor
    mass: tf.Tensor
    error: tf.Tensor
    step: tf.Tensor


def categorical_kernel(probs: tf.Tensor) -> Kernel:
    """Returns one cell per class of a categorical variable."""
    log_widths = tf.zeros_like(probs[0])
    exact = tf.zeros_like(probs[:, 0])
    return Kernel(log_widths, log_widths, probs, exact, exact)


def warped_kernel(output: ScalarOutput, num_points: int) -> Kernel:
    """Returns cells evenly spaced in asinh of the standardized coordinate."""
    low = tf.asinh(tf.reduce_min(output.locs - output.reach * output.scales))
    high = tf.asinh(tf.reduce_max(output.locs + output.reach * output.scales))
    step = (high - low) / (num_points - 1)
    warped = low + step * tf.range(num_points, dtype=output.locs.dtype)
    points = tf.stop_gradient(tf.sinh(warped))
    log_widths = tf.stop_gradient(tf.math.log(step * tf.cosh(warped)))
    at_components = step * tf.sqrt(1.0 + tf.square(output.locs)) / output.scales
    return _kernel(output, points, log_widths, tf.stop_gradient(at_components))


def panel_kernel(output: ScalarOutput, max_knots: int) -> Kernel:
    """Returns cells at Gauss-Legendre nodes between the knots of all components."""
    dtype = output.locs.dtype
    offsets = tf.constant(output.knots, dtype)
    knots = output.locs[:, tf.newaxis] + output.scales[:, tf.newaxis] * offsets
    knots = tf.sort(tf.concat([tf.reshape(knots, [-1]), output.edges], axis=0))
    count = tf.size(knots)
    kept = tf.minimum(count, max_knots)
    # The product of two ranks overflows 32 bits.
    ranks = tf.range(tf.cast(kept, tf.int64)) * tf.cast(count - 1, tf.int64)
    ranks = ranks // tf.cast(tf.maximum(kept - 1, 1), tf.int64)
    knots = tf.gather(knots, ranks)
    half = (knots[1:] - knots[:-1])[:, tf.newaxis] / 2
    middle = (knots[1:] + knots[:-1])[:, tf.newaxis] / 2
    points = tf.reshape(middle + half * tf.constant(_NODES, dtype), [-1])
    widths = tf.reshape(half * tf.constant(_WEIGHTS, dtype), [-1])
    return _kernel(
        output,
        tf.stop_gradient(points),
        tf.stop_gradient(tf.math.log(widths)),
        tf.zeros_like(output.locs),
    )


def is_resolved(kernel: Kernel, weights: tf.Tensor) -> tf.Tensor:
    """Returns whether the cells resolve all components, a scalar bool."""
    found = tf.reduce_all((kernel.error <= _MASS_TOLERANCE) | (weights <= 0))
    points = tf.cast(tf.maximum(tf.size(kernel.points), _POINTS), kernel.step.dtype)
    return found & tf.reduce_all(kernel.step <= _STEP_TOLERANCE * _POINTS / points)


def _kernel(
    output: ScalarOutput, points: tf.Tensor, log_widths: tf.Tensor, step: tf.Tensor
) -> Kernel:
    """Computes the masses of the cells from the densities at their midpoints."""
    log_mass = output.log_density(points) + log_widths
    largest = tf.stop_gradient(tf.reduce_max(log_mass, axis=1, keepdims=True))
    mass = tf.exp(log_mass - largest)
    total = tf.reduce_sum(mass, axis=1, keepdims=True)
    found = tf.exp(largest) * total
    error = tf.stop_gradient(tf.abs(found[:, 0] - 1))
    return Kernel(points, log_widths, mass / total, error, step)
