"""Locations and scales of the components of predicted distributions."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from keras_metaloss._utils.dtypes import cast_wide

__all__ = [
    "HEAVY_TAILED_FAMILIES",
    "LOC_SCALE_FAMILIES",
    "SMALLEST_SCALE",
    "component_of",
    "is_mixture",
    "locations_and_scales",
    "median_and_spread",
    "with_resolvable_scales",
]

HEAVY_TAILED_FAMILIES = (tfd.StudentT, tfd.Cauchy)
LOC_SCALE_FAMILIES = (
    tfd.Normal,
    tfd.Laplace,
    tfd.Logistic,
    tfd.Gumbel,
    *HEAVY_TAILED_FAMILIES,
)
# Smallest scale of a component relative to the spread of the batch that float32
# resolves.
SMALLEST_SCALE = 1e-6


def is_mixture(distribution: tfd.Distribution) -> bool:
    """Returns whether the distribution is a mixture of one family."""
    return isinstance(distribution, tfd.MixtureSameFamily)


def component_of(distribution: tfd.Distribution) -> tfd.Distribution:
    """Returns the distribution of the components of a mixture, or the distribution."""
    if is_mixture(distribution):
        return distribution.components_distribution
    return distribution


def locations_and_scales(distribution: tfd.Distribution) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns locations and scales of all components, `[M]`."""
    component = component_of(distribution)
    if isinstance(component, LOC_SCALE_FAMILIES):
        loc, scale = component.loc, component.scale
    else:
        loc, scale = _mean_and_width(component)
    loc = tf.broadcast_to(loc, component.batch_shape_tensor())
    scale = scale + tf.zeros_like(loc)
    loc, scale = (tf.reshape(cast_wide(x), [-1]) for x in (loc, scale))
    return tf.stop_gradient(loc), tf.stop_gradient(scale)


def median_and_spread(loc: tf.Tensor, scale: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the median, and the larger of interquartile range and median scale."""
    ordered, count = tf.sort(tf.stop_gradient(loc)), tf.size(loc)
    interquartile_range = ordered[(3 * count) // 4] - ordered[count // 4]
    median_scale = tf.sort(tf.stop_gradient(scale))[count // 2]
    return ordered[count // 2], tf.maximum(interquartile_range, median_scale)


def with_resolvable_scales(distribution: tfd.Distribution) -> tfd.Distribution:
    """Limits the scales of all components to what the dtype resolves."""
    component = component_of(distribution)
    if not isinstance(component, LOC_SCALE_FAMILIES):
        return distribution
    loc, scale = locations_and_scales(distribution)
    center, spread = median_and_spread(loc, scale)
    # Points are converted to values of the variable and rounded to its dtype.
    locs = tf.stop_gradient(cast_wide(component.loc))
    rounding = 8 * np.finfo(loc.dtype.as_numpy_dtype).eps
    least = rounding * (tf.abs(locs - center) + tf.abs(center))
    least = tf.maximum(least, SMALLEST_SCALE**2 * spread)
    least = tf.cast(least, component.dtype)
    component = component.copy(scale=tf.maximum(component.scale, least))
    if is_mixture(distribution):
        return distribution.copy(components_distribution=component)
    return component


def _mean_and_width(distribution: tfd.Distribution) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns mean and standard deviation, or quantiles where they do not exist."""
    try:
        mean, width = distribution.mean(), distribution.stddev()
    except NotImplementedError:
        return _median_and_half_width(distribution)
    exists = tf.math.is_finite(mean) & tf.math.is_finite(width)

    def with_quantiles() -> tuple[tf.Tensor, tf.Tensor]:
        median, half_width = _median_and_half_width(distribution)
        return tf.where(exists, mean, median), tf.where(exists, width, half_width)

    # Quantiles are expensive, and few densities lack a mean.
    return tf.cond(tf.reduce_all(exists), lambda: (mean, width), with_quantiles)


def _median_and_half_width(
    distribution: tfd.Distribution,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the median and half the central 70% interval; NaN if unknown."""
    try:
        low, median, high = (
            distribution.quantile(tf.constant(q, distribution.dtype))
            for q in (0.15, 0.5, 0.85)
        )
    except NotImplementedError:
        unknown = tf.fill(distribution.batch_shape_tensor(), np.nan)
        unknown = tf.cast(unknown, distribution.dtype)
        return unknown, unknown
    return median, (high - low) / 2
