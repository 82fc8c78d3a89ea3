"""Normal noise that gives deterministic predictions a density."""

from __future__ import annotations

import math

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from keras_metaloss._utils.dtypes import cast_wide

__all__ = ["add_kernel_noise"]


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
        loc = cast_wide(distribution.loc)
        if bandwidth is None:
            scale = _silverman_bandwidth(loc)
        else:
            scale = tf.zeros_like(loc) + tf.cast(bandwidth, loc.dtype)
        normal = tfd.Normal(loc, scale)
        return normal if loc.shape.rank == 1 else tfd.Independent(normal, 1)
    if not bandwidth:
        return distribution
    if isinstance(distribution, tfd.Normal):
        return tfd.Normal(
            distribution.loc, _add_variance(distribution.scale, bandwidth)
        )
    if _is_independent_normal(distribution):
        inner = distribution.distribution
        return tfd.Independent(
            tfd.Normal(inner.loc, _add_variance(inner.scale, bandwidth)),
            distribution.reinterpreted_batch_ndims,
        )
    raise ValueError(
        "Invalid value for argument `bandwidth`. Expected None: noise can be added "
        "to normal and deterministic distributions only. Received: "
        f"bandwidth={bandwidth}, {name}={distribution!r}"
    )


def _silverman_bandwidth(loc: tf.Tensor) -> tf.Tensor:
    """Returns the standard deviation of the noise by Silverman's rule, as `loc`."""
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


def _is_independent_normal(distribution: tfd.Distribution) -> bool:
    return isinstance(distribution, tfd.Independent) and isinstance(
        distribution.distribution, tfd.Normal
    )


def _add_variance(scale: tf.Tensor, bandwidth: float) -> tf.Tensor:
    """Returns the standard deviation of the sum of independent variables."""
    return tf.sqrt(tf.square(scale) + tf.cast(bandwidth, scale.dtype) ** 2)
