"""Continuous scalar outputs: standardized coordinates and log densities."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from keras_metaloss import _compat
from keras_metaloss._utils.dtypes import cast_wide
from keras_metaloss.information.predicted._components import (
    HEAVY_TAILED_FAMILIES,
    LOC_SCALE_FAMILIES,
    SMALLEST_SCALE,
    component_of,
    locations_and_scales,
    median_and_spread,
    with_resolvable_scales,
)
from keras_metaloss.information.predicted._outputs import ScalarOutput

__all__ = ["event_bijector", "scalar_output"]

# Smaller log densities are ignored, because their derivatives may be infinite.
_LOWEST_LOG_DENSITY = -1e3
# Finite replacement for the logarithm of a density of zero.
_ZERO_DENSITY_LOG = -1e30
_LARGEST_Z = 1e12


def scalar_output(distribution: tfd.Distribution) -> ScalarOutput:
    """Returns the standardized coordinate and densities of a scalar variable."""
    if isinstance(distribution, tfd.Normal):
        return _normal_output(distribution)
    if _is_transformed(distribution):
        return _transformed_output(distribution)
    return _density_output(distribution)


def _is_transformed(distribution: tfd.Distribution) -> bool:
    """Returns whether one bijector transforms all rows, as in `LogNormal`."""
    return (
        isinstance(distribution, tfd.TransformedDistribution)
        and distribution.bijector.experimental_batch_shape().rank == 0
        and _compat.is_injective(distribution.bijector)
        and distribution.distribution.batch_shape.rank == 1
        and distribution.distribution.event_shape.rank == 0
    )


def _transformed_output(distribution: tfd.Distribution) -> ScalarOutput:
    """Returns the output of the base distribution, with transformed values.

    A bijector does not change the density in the standardized coordinate.
    """
    base, bijector = scalar_output(distribution.distribution), distribution.bijector

    def log_volume(points: tf.Tensor) -> tf.Tensor:
        slope = bijector.forward_log_det_jacobian(base.value(points), event_ndims=0)
        return base.log_volume(points) + slope

    return dataclasses.replace(
        base,
        value=lambda points: bijector.forward(base.value(points)),
        log_volume=log_volume,
        distribution=distribution,
    )


def _normal_output(distribution: tfd.Distribution) -> ScalarOutput:
    """Returns the output of a normal variable, with densities in closed form."""
    loc, scale = cast_wide(distribution.loc), cast_wide(distribution.scale)
    scale = scale + tf.zeros_like(loc)
    loc = tf.broadcast_to(loc, distribution.batch_shape_tensor())
    center, spread = median_and_spread(loc, scale)
    locs, scales = (loc - center) / spread, scale / spread
    scales = tf.maximum(scales, tf.cast(SMALLEST_SCALE, loc.dtype))

    def log_density(points: tf.Tensor) -> tf.Tensor:
        z = (points - locs[:, tf.newaxis]) / scales[:, tf.newaxis]
        z = tf.clip_by_value(z, -_LARGEST_Z, _LARGEST_Z)
        constant = tf.math.log(scales) + 0.5 * math.log(2 * math.pi)
        return -0.5 * tf.square(z) - constant[:, tf.newaxis]

    return ScalarOutput(
        locs=tf.stop_gradient(locs),
        scales=tf.stop_gradient(scales),
        log_density=log_density,
        value=lambda points: center + spread * points,
        log_volume=lambda points: tf.math.log(spread) + tf.zeros_like(points),
        reach=6.5,
        knots=(-6.0, -3.0, -1.0, 1.0, 3.0, 6.0),
        edges=tf.zeros([0], loc.dtype),
        distribution=distribution,
    )


def _density_output(distribution: tfd.Distribution) -> ScalarOutput:
    """Returns the output of any density, with points mapped to its support."""
    distribution = with_resolvable_scales(distribution)
    loc, scale = locations_and_scales(distribution)
    bijector = event_bijector(distribution)
    low, high = (tf.constant([x], distribution.dtype) for x in (-math.inf, math.inf))
    if bijector is not None and bijector.experimental_batch_shape().rank != 0:
        low, high = _support(bijector)
        bijector = None
    if bijector is None:
        # All rows share the points, which a bijector per row would not allow.
        bijector = tfb.Identity()
    locs = bijector.inverse(loc)
    scales = scale * tf.exp(bijector.inverse_log_det_jacobian(loc, event_ndims=0))
    center, spread = median_and_spread(locs, scales)

    def value(points: tf.Tensor) -> tf.Tensor:
        return bijector.forward(center + spread * points)

    def log_volume(points: tf.Tensor) -> tf.Tensor:
        unconstrained = center + spread * points
        slope = bijector.forward_log_det_jacobian(unconstrained, event_ndims=0)
        return slope + tf.math.log(spread) + tf.zeros_like(points)

    # Slightly off the center, where a density may have a cusp.
    inside = _first_of_each_row(distribution, bijector.forward(locs + 0.1 * scales))
    edges = tf.concat([low, high], axis=0)
    edges = cast_wide(tf.where(tf.math.is_finite(edges), edges, inside[0]))

    def log_density(points: tf.Tensor) -> tf.Tensor:
        values, volumes = value(points)[:, tf.newaxis], log_volume(points)
        unmasked = tf.stop_gradient(distribution.log_prob(values))
        # Outside of the support TFP returns minus infinity, NaN, or an extrapolation
        # of the formula. NaN inside the support is due to NaN parameters and is kept.
        valid = (unmasked > _LOWEST_LOG_DENSITY) & (unmasked < math.inf)
        valid &= (values >= low) & (values <= high)
        valid |= tf.math.is_nan(distribution.log_prob(inside))
        log_prob = distribution.log_prob(tf.where(valid, values, inside))
        log_prob = tf.where(valid, log_prob, _ZERO_DENSITY_LOG)
        return tf.transpose(cast_wide(log_prob) + volumes[:, tf.newaxis])

    knots = _positive_knots(component_of(distribution))
    return ScalarOutput(
        locs=tf.stop_gradient((locs - center) / spread),
        scales=tf.stop_gradient(scales / spread),
        log_density=log_density,
        value=value,
        log_volume=log_volume,
        reach=knots[-1],
        knots=(*(-knot for knot in reversed(knots)), 0.0, *knots),
        edges=(bijector.inverse(edges) - center) / spread,
        distribution=distribution,
    )


def _positive_knots(component: tfd.Distribution) -> tuple[float, ...]:
    """Returns the panel boundaries above the center, in units of the scale."""
    knots: tuple[float, ...] = (1.0, 3.0, 6.0)
    if isinstance(component, HEAVY_TAILED_FAMILIES):
        knots = (*knots, 20.0, 100.0, 1e3, 1e4)
    else:
        knots = (*knots, 12.0, 25.0)
    if not isinstance(component, LOC_SCALE_FAMILIES):
        # Most of the mass of a skewed density may lie in a narrow interval.
        knots = (0.03, 0.1, 0.3, *knots)
    return knots


def event_bijector(distribution: tfd.Distribution) -> Any:
    """Returns the bijector from the reals to the support, or `None`."""
    try:
        bijector = distribution.experimental_default_event_space_bijector()
    except NotImplementedError:
        return None
    is_usable = bijector is not None and _compat.is_injective(bijector)
    return bijector if is_usable else None


def _support(bijector: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the limits of the support of each row, `[N]`."""
    far = tf.constant([[-1e30], [1e30]], bijector.dtype)
    low, high = tf.unstack(tf.stop_gradient(bijector.forward(far)))
    known = low < high
    return tf.where(known, low, -math.inf), tf.where(known, high, math.inf)


def _first_of_each_row(distribution: tfd.Distribution, values: tf.Tensor) -> tf.Tensor:
    """Returns one value per row within its support, `[N]`."""
    rows = tf.reshape(values, [distribution.batch_shape_tensor()[0], -1])
    return tf.cast(rows[:, 0], distribution.dtype)
