"""Representations of predicted distributions: categorical, scalar and vector."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_metaloss import _compat
from keras_metaloss.information.predicted._checks import check_finite, check_rows

__all__ = ["ClassHead", "ScalarHead", "VectorHead", "head_of", "add_kernel_noise"]

tfd = tfp.distributions

_CLASSES = (tfd.Categorical, tfd.OneHotCategorical, tfd.FiniteDiscrete)
_HEAVY_TAILS = (tfd.StudentT, tfd.Cauchy)
_LOC_SCALE = (tfd.Normal, tfd.Laplace, tfd.Logistic, tfd.Gumbel, *_HEAVY_TAILS)
_MVN = (
    tfd.MultivariateNormalDiag,
    tfd.MultivariateNormalTriL,
    tfd.MultivariateNormalFullCovariance,
)
# Smallest scale of a component relative to the spread of the batch that float32
# resolves.
_SMALLEST_SCALE = 1e-6
# Smaller log densities are ignored, because their derivatives may be infinite.
_LOWEST_LOG_DENSITY, _NOTHING = -1e3, -1e30
_LARGEST_Z = 1e12


@dataclasses.dataclass(frozen=True)
class ClassHead:
    """A categorical variable of k classes.

    Attributes:
        probs: Class probabilities, `[N, k]`.
        distribution: The TFP distribution.
    """

    probs: tf.Tensor
    distribution: tfd.Distribution


@dataclasses.dataclass(frozen=True)
class ScalarHead:
    """A continuous scalar variable.

    Attributes:
        locs, scales: locations and scales of all components, `[M]`, in the head's
            coordinate, in which the batch is centered at 0 with a spread of about 1.
        log_density: Function from points `[G]` to log densities `[N, G]` in the head's
            coordinate.
        value: Function from points `[G]` to values of the variable.
        log_volume: Function from points `[G]` to `log |d value / d point|`.
        reach: Extent of the tails in units of the scale.
        knots: Panel boundaries in units of the scale.
        edges: Possible discontinuities of the densities, `[E]`, in the head's
            coordinate.
        distribution: The TFP distribution.
    """

    locs: tf.Tensor
    scales: tf.Tensor
    log_density: Callable[[tf.Tensor], tf.Tensor]
    value: Callable[[tf.Tensor], tf.Tensor]
    log_volume: Callable[[tf.Tensor], tf.Tensor]
    reach: float
    knots: tuple[float, ...]
    edges: tf.Tensor
    distribution: tfd.Distribution


@dataclasses.dataclass(frozen=True)
class VectorHead:
    """A vector of continuous or categorical variables."""

    distribution: tfd.Distribution


def head_of(
    name: str, distribution: Any, bandwidth: float | None = None
) -> ClassHead | ScalarHead | VectorHead:
    """Converts a distribution to the head of its kind of variable.

    Args:
        name: Name of the argument, for error messages.
        distribution: A TFP distribution with batch shape `[N]`.
        bandwidth: Standard deviation of normal noise to add, or `None`.

    Raises:
        ValueError: If the distribution is not supported or its parameters are out of
            range.
    """
    if not isinstance(distribution, tfd.Distribution):
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected a distribution of "
            f"`tensorflow_probability`. Received: {name}={distribution!r}"
        )
    distribution = _without_units(distribution)
    check_rows(name, distribution)
    check_finite(name, distribution)
    if isinstance(distribution, tfd.Bernoulli):
        probs = _wide(distribution.probs_parameter())
        return ClassHead(tf.stack([1 - probs, probs], axis=-1), distribution)
    if isinstance(distribution, _CLASSES):
        return ClassHead(_wide(distribution.probs_parameter()), distribution)
    distribution = add_kernel_noise(name, distribution, bandwidth)
    if distribution.event_shape.rank == 0:
        _check_precision(name, distribution)
        if not distribution.dtype.is_floating or _is_discrete(distribution):
            raise ValueError(
                f"Invalid value for argument `{name}`. Expected a distribution over "
                "finitely many classes, or a distribution with a density. Received: "
                f"{name}={distribution!r}"
            )
        return _scalar_head(distribution)
    return VectorHead(distribution)


def _check_precision(name, distribution):
    if distribution.dtype in (tf.float16, tf.bfloat16) and not isinstance(
        distribution, tfd.Normal
    ):
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected a distribution of dtype "
            f"float32 or float64. Received: {name}={distribution!r}"
        )


def add_kernel_noise(
    name: str, distribution: tfd.Distribution, bandwidth: float | None
) -> tfd.Distribution:
    """Returns the distribution of the variable plus independent normal noise.

    Deterministic predictions need noise to have a density. If `bandwidth` is `None`,
    the standard deviation of the noise follows Silverman's rule: `1.06 sd N^(-1/5)`, or
    `sd N^(-1/(D+4))` for vectors of length D, with the standard deviation sd of the
    batch. It scales with the predictions, so that scaling all predictions does not
    change the mutual information.
    """
    if isinstance(distribution, (tfd.Deterministic, tfd.VectorDeterministic)):
        loc = _wide(distribution.loc)
        if bandwidth is None:
            scale = _rule_of_thumb(loc)
        else:
            scale = tf.zeros_like(loc) + tf.cast(bandwidth, loc.dtype)
        normal = tfd.Normal(loc, scale)
        return normal if loc.shape.rank == 1 else tfd.Independent(normal, 1)
    if not bandwidth:
        return distribution
    if isinstance(distribution, tfd.Normal):
        return tfd.Normal(distribution.loc, _add(distribution.scale, bandwidth))
    if _is_independent_normal(distribution):
        inner = distribution.distribution
        return tfd.Independent(
            tfd.Normal(inner.loc, _add(inner.scale, bandwidth)),
            distribution.reinterpreted_batch_ndims,
        )
    raise ValueError(
        "Invalid value for argument `bandwidth`. Expected None: noise can be added "
        "to normal and deterministic distributions only. Received: "
        f"bandwidth={bandwidth}, {name}={distribution!r}"
    )


def _rule_of_thumb(loc):
    count = tf.cast(tf.shape(loc)[0], loc.dtype)
    variance = tf.math.reduce_variance(loc, axis=0, keepdims=True)
    # A positive lower bound keeps the gradient of the square root finite for constant
    # predictions. Its value does not matter.
    size = tf.stop_gradient(tf.reduce_max(tf.abs(loc), axis=0, keepdims=True))
    least = tf.maximum(1e-6 * size, 1e-18)
    spread = tf.sqrt(tf.maximum(variance, tf.square(least)))
    if loc.shape.rank == 1:
        return 1.06 * spread * count**-0.2 + tf.zeros_like(loc)
    power = -1.0 / (4.0 + math.prod(loc.shape[1:]))
    return spread * count**power + tf.zeros_like(loc)


def _scalar_head(distribution):
    if isinstance(distribution, tfd.Normal):
        return _normal_head(distribution)
    if _is_pushed(distribution):
        return _pushed_head(distribution)
    return _density_head(distribution)


def _is_pushed(distribution):
    """Returns whether one bijector transforms all rows, as in `LogNormal`."""
    return (
        isinstance(distribution, tfd.TransformedDistribution)
        and distribution.bijector.experimental_batch_shape().rank == 0
        and _compat.is_injective(distribution.bijector)
        and distribution.distribution.batch_shape.rank == 1
        and distribution.distribution.event_shape.rank == 0
    )


def _pushed_head(distribution):
    """Returns the head of the base distribution, with transformed values.

    A bijector does not change the density in the head's coordinate.
    """
    head, bijector = _scalar_head(distribution.distribution), distribution.bijector

    def log_volume(points):
        slope = bijector.forward_log_det_jacobian(head.value(points), event_ndims=0)
        return head.log_volume(points) + slope

    return dataclasses.replace(
        head,
        value=lambda points: bijector.forward(head.value(points)),
        log_volume=log_volume,
        distribution=distribution,
    )


def _normal_head(distribution):
    loc, scale = _wide(distribution.loc), _wide(distribution.scale)
    loc, scale = tf.broadcast_to(loc, _rows(distribution)), scale + tf.zeros_like(loc)
    centre, spread = _centre_and_spread(loc, scale)
    locs, scales = (loc - centre) / spread, scale / spread
    scales = tf.maximum(scales, tf.cast(_SMALLEST_SCALE, loc.dtype))

    def log_density(points):
        z = (points - locs[:, tf.newaxis]) / scales[:, tf.newaxis]
        z = tf.clip_by_value(z, -_LARGEST_Z, _LARGEST_Z)
        constant = tf.math.log(scales) + 0.5 * math.log(2 * math.pi)
        return -0.5 * tf.square(z) - constant[:, tf.newaxis]

    return ScalarHead(
        tf.stop_gradient(locs),
        tf.stop_gradient(scales),
        log_density,
        lambda points: centre + spread * points,
        lambda points: tf.math.log(spread) + tf.zeros_like(points),
        6.5,
        (-6.0, -3.0, -1.0, 1.0, 3.0, 6.0),
        tf.zeros([0], loc.dtype),
        distribution,
    )


def _density_head(distribution):
    """Returns the head of any density, with points mapped to its support."""
    distribution = _with_room(distribution)
    loc, scale = _places(distribution)
    bijector = _event_bijector(distribution)
    low, high = (tf.constant([x], distribution.dtype) for x in (-math.inf, math.inf))
    if bijector is not None and bijector.experimental_batch_shape().rank != 0:
        low, high = _support(bijector)
        bijector = None
    if bijector is None:
        # All rows share the points, which a bijector per row would not allow.
        bijector = tfp.bijectors.Identity()
    places = bijector.inverse(loc)
    widths = scale * tf.exp(bijector.inverse_log_det_jacobian(loc, event_ndims=0))
    centre, spread = _centre_and_spread(places, widths)

    def value(points):
        return bijector.forward(centre + spread * points)

    def log_volume(points):
        at = centre + spread * points
        slope = bijector.forward_log_det_jacobian(at, event_ndims=0)
        return slope + tf.math.log(spread) + tf.zeros_like(points)

    # Slightly off the center, where a density may have a cusp.
    inside = _one_a_row(distribution, bijector.forward(places + 0.1 * widths))
    edges = tf.concat([low, high], axis=0)
    edges = _wide(tf.where(tf.math.is_finite(edges), edges, inside[0]))

    def log_density(points):
        values, volumes = value(points)[:, tf.newaxis], log_volume(points)
        first = tf.stop_gradient(distribution.log_prob(values))
        # Outside of the support TFP returns minus infinity, NaN, or an extrapolation
        # of the formula. NaN inside the support is due to NaN parameters and is kept.
        counts = (first > _LOWEST_LOG_DENSITY) & (first < math.inf)
        counts &= (values >= low) & (values <= high)
        counts |= tf.math.is_nan(distribution.log_prob(inside))
        log_prob = distribution.log_prob(tf.where(counts, values, inside))
        log_prob = tf.where(counts, log_prob, _NOTHING)
        return tf.transpose(_wide(log_prob) + volumes[:, tf.newaxis])

    part = _component(distribution)
    knots = (1.0, 3.0, 6.0)
    if isinstance(part, _HEAVY_TAILS):
        knots = (*knots, 20.0, 100.0, 1e3, 1e4)
    else:
        knots = (*knots, 12.0, 25.0)
    if not isinstance(part, _LOC_SCALE):
        # Most of the mass of a skewed density may lie in a narrow interval.
        knots = (0.03, 0.1, 0.3, *knots)
    return ScalarHead(
        tf.stop_gradient((places - centre) / spread),
        tf.stop_gradient(widths / spread),
        log_density,
        value,
        log_volume,
        knots[-1],
        (*(-knot for knot in reversed(knots)), 0.0, *knots),
        (bijector.inverse(edges) - centre) / spread,
        distribution,
    )


def _with_room(distribution):
    """Limits the scales of all components to what the dtype resolves."""
    part = _component(distribution)
    if not isinstance(part, _LOC_SCALE):
        return distribution
    loc, scale = _places(distribution)
    centre, spread = _centre_and_spread(loc, scale)
    # Points are converted to values of the variable and rounded to its dtype.
    places = tf.stop_gradient(_wide(part.loc))
    rounding = 8 * np.finfo(loc.dtype.as_numpy_dtype).eps
    least = rounding * (tf.abs(places - centre) + tf.abs(centre))
    least = tf.maximum(least, _SMALLEST_SCALE**2 * spread)
    part = part.copy(scale=tf.maximum(part.scale, tf.cast(least, part.dtype)))
    if _is_mixture(distribution):
        return distribution.copy(components_distribution=part)
    return part


def _event_bijector(distribution):
    """Returns the bijector from the reals to the support, or `None`."""
    try:
        bijector = distribution.experimental_default_event_space_bijector()
    except NotImplementedError:
        return None
    is_usable = bijector is not None and _compat.is_injective(bijector)
    return bijector if is_usable else None


def _support(bijector):
    """Returns the limits of the support of each row, `[N]`."""
    far = tf.constant([[-1e30], [1e30]], bijector.dtype)
    low, high = tf.unstack(tf.stop_gradient(bijector.forward(far)))
    known = low < high
    return tf.where(known, low, -math.inf), tf.where(known, high, math.inf)


def _one_a_row(distribution, places):
    """Returns one value per row within its support, `[N]`."""
    rows = tf.reshape(places, [distribution.batch_shape_tensor()[0], -1])
    return tf.cast(rows[:, 0], distribution.dtype)


def _places(distribution):
    """Returns locations and scales of all components, `[M]`."""
    part = _component(distribution)
    if isinstance(part, _LOC_SCALE):
        loc, scale = part.loc, part.scale
    else:
        loc, scale = _mean_and_width(part)
    loc = tf.broadcast_to(loc, part.batch_shape_tensor())
    flat = (tf.reshape(_wide(x), [-1]) for x in (loc, scale + tf.zeros_like(loc)))
    return tuple(tf.stop_gradient(x) for x in flat)


def _mean_and_width(distribution):
    try:
        mean, width = distribution.mean(), distribution.stddev()
    except NotImplementedError:
        return _middle_and_width(distribution)
    exists = tf.math.is_finite(mean) & tf.math.is_finite(width)

    def instead():
        middle, half = _middle_and_width(distribution)
        return tf.where(exists, mean, middle), tf.where(exists, width, half)

    # Quantiles are expensive, and few densities lack a mean.
    return tf.cond(tf.reduce_all(exists), lambda: (mean, width), instead)


def _middle_and_width(distribution):
    """Returns the median and half the central 70% interval; NaN if unknown."""
    try:
        low, middle, high = (
            distribution.quantile(tf.constant(q, distribution.dtype))
            for q in (0.15, 0.5, 0.85)
        )
    except NotImplementedError:
        nothing = tf.fill(_rows(distribution), np.nan)
        return (tf.cast(nothing, distribution.dtype),) * 2
    return middle, (high - low) / 2


def _component(distribution):
    if _is_mixture(distribution):
        return distribution.components_distribution
    return distribution


def _is_mixture(distribution):
    return isinstance(distribution, tfd.MixtureSameFamily)


def _centre_and_spread(loc, scale):
    """Returns the median, and the larger of interquartile range and median scale."""
    ordered, count = tf.sort(tf.stop_gradient(loc)), tf.size(loc)
    quartiles = ordered[(3 * count) // 4] - ordered[count // 4]
    middle = tf.sort(tf.stop_gradient(scale))[count // 2]
    return ordered[count // 2], tf.maximum(quartiles, middle)


def _without_units(distribution):
    """Removes axes of length one from batch and event shapes.

    Outputs of `Dense(1)` give batch shapes `[N, 1]` or events of length one, including
    deterministic vectors of length one and `Independent` distributions of one class.
    """
    if distribution.batch_shape.rank == 2 and distribution.batch_shape[1] == 1:
        return _without_units(distribution[:, 0])
    if distribution.event_shape != [1]:
        return distribution
    if isinstance(distribution, tfd.VectorDeterministic):
        return tfd.Deterministic(distribution.loc[..., 0])
    if isinstance(distribution, _MVN):
        return tfd.Normal(distribution.loc[..., 0], distribution.stddev()[..., 0])
    if isinstance(distribution, tfd.Independent):
        inner = distribution.distribution
        if inner.event_shape.rank == 0 and inner.batch_shape.rank == 2:
            return inner[:, 0]
    return distribution


def _is_independent_normal(distribution):
    return isinstance(distribution, tfd.Independent) and isinstance(
        distribution.distribution, tfd.Normal
    )


def _is_discrete(distribution):
    bijector = _event_bijector(distribution)
    return bijector is None and not _is_mixture(distribution)


def _rows(distribution):
    return distribution.batch_shape_tensor()


def _add(scale, bandwidth):
    return tf.sqrt(tf.square(scale) + tf.cast(bandwidth, scale.dtype) ** 2)


def _wide(x):
    """Casts half precision to float32."""
    x = tf.convert_to_tensor(x)
    return x if x.dtype == tf.float64 else tf.cast(x, tf.float32)
