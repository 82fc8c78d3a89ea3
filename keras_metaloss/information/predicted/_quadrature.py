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

from keras_metaloss.information.predicted._outputs import ScalarHead

__all__ = ["Kernel", "is_resolved", "panel_kernel", "warped_kernel"]

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
        points: Midpoint of each cell in the head's coordinate, `[G]`.
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


def warped_kernel(head: ScalarHead, num_points: int) -> Kernel:
    """Returns cells evenly spaced in asinh of the head's coordinate."""
    low = tf.asinh(tf.reduce_min(head.locs - head.reach * head.scales))
    high = tf.asinh(tf.reduce_max(head.locs + head.reach * head.scales))
    step = (high - low) / (num_points - 1)
    warped = low + step * tf.range(num_points, dtype=head.locs.dtype)
    points = tf.stop_gradient(tf.sinh(warped))
    log_widths = tf.stop_gradient(tf.math.log(step * tf.cosh(warped)))
    at_components = step * tf.sqrt(1.0 + tf.square(head.locs)) / head.scales
    return _kernel(head, points, log_widths, tf.stop_gradient(at_components))


def panel_kernel(head: ScalarHead, max_knots: int) -> Kernel:
    """Returns cells at Gauss-Legendre nodes between the knots of all components."""
    dtype = head.locs.dtype
    offsets = tf.constant(head.knots, dtype)
    knots = head.locs[:, tf.newaxis] + head.scales[:, tf.newaxis] * offsets
    knots = tf.sort(tf.concat([tf.reshape(knots, [-1]), head.edges], axis=0))
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
        head,
        tf.stop_gradient(points),
        tf.stop_gradient(tf.math.log(widths)),
        tf.zeros_like(head.locs),
    )


def is_resolved(kernel: Kernel, weights: tf.Tensor) -> tf.Tensor:
    """Returns whether the cells resolve all components, a scalar bool."""
    found = tf.reduce_all((kernel.error <= _MASS_TOLERANCE) | (weights <= 0))
    points = tf.cast(tf.maximum(tf.size(kernel.points), _POINTS), kernel.step.dtype)
    return found & tf.reduce_all(kernel.step <= _STEP_TOLERANCE * _POINTS / points)


def _kernel(head, points, log_widths, step):
    log_mass = head.log_density(points) + log_widths
    top = tf.stop_gradient(tf.reduce_max(log_mass, axis=1, keepdims=True))
    mass = tf.exp(log_mass - top)
    total = tf.reduce_sum(mass, axis=1, keepdims=True)
    found = tf.exp(top) * total
    error = tf.stop_gradient(tf.abs(found[:, 0] - 1))
    return Kernel(points, log_widths, mass / total, error, step)
