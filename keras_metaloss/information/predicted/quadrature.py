"""Cells of a real variable that resolve every component of a mixture.

Two grids. The warped one is fixed in size and cheap: trapezoids, evenly spaced in
`asinh` of the standardised variable. Where it cannot resolve the components, which
shows in the mass that it finds in each, Gauss-Legendre panels between the quantiles of
all components take its place; their number grows with the batch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_metaloss.information.predicted.heads import ScalarHead

__all__ = ["Kernel", "is_resolved", "panel_kernel", "warped_kernel"]

# Largest error of the mass of a component, and largest step in units of its scale,
# beyond which panels are used. Masses alone do not tell: they are right long before
# the information is, whose integrand turns within a fraction of the scale.
_MASS_TOLERANCE = 5e-5
# Who asks for 512 points gets half that step, and 1e-5 nats in place of 1e-4.
_STEP_TOLERANCE, _POINTS = 1.0, 256
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(5)


class Kernel(NamedTuple):
    """A mixture cut into G cells.

    Attributes:
        points: middle of each cell in the head's own coordinate, `[G]`.
        log_widths: logarithm of the width of each cell in that coordinate, `[G]`.
        mass: mass of each component found in each cell, `[N, G]`, rows sum to one.
        error: how far the rows were from one before they were made so, `[N]`.
        step: distance of the cells at each component in units of its scale; a row
            may have several.
    """

    points: tf.Tensor
    log_widths: tf.Tensor
    mass: tf.Tensor
    error: tf.Tensor
    step: tf.Tensor


def warped_kernel(head: ScalarHead, num_points: int) -> Kernel:
    """Cells evenly spaced in asinh of the head's coordinate."""
    low = tf.asinh(tf.reduce_min(head.locs - head.reach * head.scales))
    high = tf.asinh(tf.reduce_max(head.locs + head.reach * head.scales))
    step = (high - low) / (num_points - 1)
    warped = low + step * tf.range(num_points, dtype=head.locs.dtype)
    points = tf.stop_gradient(tf.sinh(warped))
    log_widths = tf.stop_gradient(tf.math.log(step * tf.cosh(warped)))
    at_components = step * tf.sqrt(1.0 + tf.square(head.locs)) / head.scales
    return _kernel(head, points, log_widths, tf.stop_gradient(at_components))


def panel_kernel(head: ScalarHead, max_knots: int) -> Kernel:
    """Cells at the Gauss-Legendre nodes between the knots of all components."""
    dtype = head.locs.dtype
    offsets = tf.constant(head.knots, dtype)
    knots = head.locs[:, tf.newaxis] + head.scales[:, tf.newaxis] * offsets
    knots = tf.sort(tf.concat([tf.reshape(knots, [-1]), head.edges], axis=0))
    count = tf.size(knots)
    kept = tf.minimum(count, max_knots)
    # 64 bits: rank times rank overflows 32.
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
    """Whether the cells are fine enough for the components, a scalar bool."""
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
