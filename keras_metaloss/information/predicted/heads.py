"""What a predicted distribution is, as far as information is concerned."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from keras_metaloss.information.predicted.checks import check_finite, check_rows

__all__ = ["ClassHead", "ScalarHead", "VectorHead", "head_of", "smoothed"]

tfd = tfp.distributions

_CLASSES = (tfd.Categorical, tfd.OneHotCategorical, tfd.FiniteDiscrete)
_HEAVY_TAILS = (tfd.StudentT, tfd.Cauchy)
_LOC_SCALE = (tfd.Normal, tfd.Laplace, tfd.Logistic, tfd.Gumbel, *_HEAVY_TAILS)
_MVN = (
    tfd.MultivariateNormalDiag,
    tfd.MultivariateNormalTriL,
    tfd.MultivariateNormalFullCovariance,
)
# Below this part of the spread of the batch, float32 has no room for a component.
_SMALLEST_SCALE = 1e-6
_LARGEST_Z = 1e12


@dataclasses.dataclass(frozen=True)
class ClassHead:
    """One of k classes for each input.

    Attributes:
        probs: `[N, k]`.
        distribution: the TFP distribution.
    """

    probs: tf.Tensor
    distribution: tfd.Distribution


@dataclasses.dataclass(frozen=True)
class ScalarHead:
    """A density of one real variable for each input.

    Attributes:
        locs, scales: where components lie and how wide they are, `[M]`, in the head's
            own coordinate, in which the batch is centred at 0 with spread about 1.
        log_density: from points `[G]` to log densities `[N, G]` in that coordinate.
        value: from points `[G]` to the variable.
        log_volume: from points `[G]` to `log |d value / d point|`.
        reach: how many scales the tails go.
        knots: multiples of a scale at which panels begin and end.
        distribution: the TFP distribution.
    """

    locs: tf.Tensor
    scales: tf.Tensor
    log_density: Callable[[tf.Tensor], tf.Tensor]
    value: Callable[[tf.Tensor], tf.Tensor]
    log_volume: Callable[[tf.Tensor], tf.Tensor]
    reach: float
    knots: tuple[float, ...]
    distribution: tfd.Distribution


@dataclasses.dataclass(frozen=True)
class VectorHead:
    """A distribution of vectors, or of several classes, for each input."""

    distribution: tfd.Distribution


def head_of(
    name: str, distribution: Any, bandwidth: float | None = None
) -> ClassHead | ScalarHead | VectorHead:
    """Sorts a distribution into one of the three.

    Args:
        name: name of the argument, for messages.
        distribution: a TFP distribution with batch shape `[N]`.
        bandwidth: see `smoothed`.

    Raises:
        ValueError: if it is none of the three or its parameters are out of range.
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
    distribution = smoothed(name, distribution, bandwidth)
    if isinstance(distribution, tfd.Normal):
        return _normal_head(distribution)
    if distribution.event_shape.rank == 0:
        if not distribution.dtype.is_floating or _is_discrete(distribution):
            raise ValueError(
                f"Invalid value for argument `{name}`. Expected a distribution over "
                "finitely many classes or with a density. Received: "
                f"{name}={distribution!r}"
            )
        return _density_head(distribution)
    return VectorHead(distribution)


def smoothed(
    name: str, distribution: tfd.Distribution, bandwidth: float | None
) -> tfd.Distribution:
    """The distribution of the variable plus independent normal noise.

    A point prediction has a density only with noise. Unless `bandwidth` says more, its
    standard deviation is Silverman's, `1.06 sd N^(-1/5)` (`sd N^(-1/(D+4))` for vectors
    of length D), of the batch. It moves with the predictions, so that stretching all of
    them gains nothing.
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
        "Invalid value for argument `bandwidth`. Expected None, or normal or point "
        f"predictions. Received: bandwidth={bandwidth}, {name}={distribution!r}"
    )


def _rule_of_thumb(loc):
    count = tf.cast(tf.shape(loc)[0], loc.dtype)
    variance = tf.math.reduce_variance(loc, axis=0, keepdims=True)
    # What is constant gets some width, which does not matter; the root needs it.
    size = tf.stop_gradient(tf.reduce_max(tf.abs(loc), axis=0, keepdims=True))
    least = tf.maximum(1e-6 * size, 1e-18)
    spread = tf.sqrt(tf.maximum(variance, tf.square(least)))
    if loc.shape.rank == 1:
        return 1.06 * spread * count**-0.2 + tf.zeros_like(loc)
    power = -1.0 / (4.0 + math.prod(loc.shape[1:]))
    return spread * count**power + tf.zeros_like(loc)


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
        distribution,
    )


def _density_head(distribution):
    """Any density: points run over all reals by the bijector of its support."""
    loc, scale = _places(distribution)
    bijector = distribution.experimental_default_event_space_bijector()
    if bijector is None or bijector.experimental_batch_shape().rank != 0:
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

    def log_density(points):
        log_prob = distribution.log_prob(value(points)[:, tf.newaxis])
        return tf.transpose(_wide(log_prob) + log_volume(points)[:, tf.newaxis])

    heavy = isinstance(_component(distribution), _HEAVY_TAILS)
    outer = (20.0, 100.0, 1e3, 1e4) if heavy else (12.0, 25.0)
    knots = (1.0, 3.0, 6.0, *outer)
    return ScalarHead(
        tf.stop_gradient((places - centre) / spread),
        tf.stop_gradient(widths / spread),
        log_density,
        value,
        log_volume,
        knots[-1],
        (*(-knot for knot in reversed(knots)), 0.0, *knots),
        distribution,
    )


def _places(distribution):
    """Locations and scales of all components, `[M]`."""
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
        return distribution.mean(), distribution.stddev()
    except NotImplementedError:
        half = tf.cast(0.5, distribution.dtype)
        low, high = distribution.quantile(0.3 * half), distribution.quantile(1.7 * half)
        return distribution.quantile(half), (high - low) / 2


def _component(distribution):
    mixture = isinstance(distribution, tfd.MixtureSameFamily)
    return distribution.components_distribution if mixture else distribution


def _centre_and_spread(loc, scale):
    """Median, and the distance of the quartiles or the width of a component."""
    ordered, count = tf.sort(tf.stop_gradient(loc)), tf.size(loc)
    quartiles = ordered[(3 * count) // 4] - ordered[count // 4]
    middle = tf.sort(tf.stop_gradient(scale))[count // 2]
    return ordered[count // 2], tf.maximum(quartiles, middle)


def _without_units(distribution):
    """`[N, 1]` batches and events of length one as `[N]`, as Keras's `Dense(1)` gives.

    Deterministic vectors of length one and single classes likewise.
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
    bijector = distribution.experimental_default_event_space_bijector()
    return bijector is None and not isinstance(distribution, tfd.MixtureSameFamily)


def _rows(distribution):
    return distribution.batch_shape_tensor()


def _add(scale, bandwidth):
    return tf.sqrt(tf.square(scale) + tf.cast(bandwidth, scale.dtype) ** 2)


def _wide(x):
    """Half precision as float32."""
    x = tf.convert_to_tensor(x)
    return x if x.dtype == tf.float64 else tf.cast(x, tf.float32)
