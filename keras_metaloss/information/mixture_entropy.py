"""Entropy of mixture distributions, which TFP does not implement."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from keras_metaloss._utils.checks import (
    check_choice,
    check_positive_integer,
    check_seed,
)
from keras_metaloss.information._core.linalg import half_log_det

__all__ = ["entropy_mixture"]

_METHODS = ("pairwise_kl", "pairwise_bhattacharyya", "quadrature", "monte_carlo")
_NODES = 8
# Breakpoints of the integral, in units of a component's scale. They are dense in the
# center and extend far enough for the tails of a Cauchy distribution.
_BREAKPOINTS = np.sinh(np.linspace(-20, 20, 81))
_MASS_TOLERANCE = 1e-3


def entropy_mixture(
    dist: tfd.Distribution,
    method: str = "pairwise_kl",
    num_samples: int = 10_000,
    seed: int = 0,
    name: str | None = None,
) -> tf.Tensor:
    """Computes the differential entropy of a mixture distribution, in nats.

    For components `p_i` with weights `c_i`:

    - `"pairwise_kl"`: `sum_i c_i [H(p_i) - log sum_j c_j exp(-KL(p_i || p_j))]`, an
      upper bound, for any family whose KL divergence TFP implements.
    - `"pairwise_bhattacharyya"`: the same formula with the Bhattacharyya distance, a
      lower bound, for scalar or vector Gaussian components.
    - `"quadrature"`: `-int p log p`, by Gauss-Legendre quadrature on panels around each
      component, for scalar mixtures. Time and memory grow with the square of the number
      of components.
    - `"monte_carlo"`: `-mean log p` of random samples, for any mixture. The gradient
      through the samples is available only for reparameterized distributions.

    Args:
        dist: A `tfd.MixtureSameFamily`. `"monte_carlo"` accepts any distribution with
            `sample` and `log_prob`.
        method: One of the methods above. Defaults to `"pairwise_kl"`.
        num_samples: Number of samples of `"monte_carlo"`. Defaults to `10_000`.
        seed: Non-negative integer, the seed of `"monte_carlo"`. Defaults to `0`.
        name: Name of the operation. Defaults to `None`, which uses the function name.

    Returns:
        Tensor with the batch shape of `dist`. Entries where `"quadrature"` misses more
        than 0.001 of the probability mass are NaN in graph mode and under XLA.

    Raises:
        TypeError: If the method does not support `dist`.
        ValueError: If `method` is unknown or, in eager mode, if `"quadrature"` misses
            more than 0.001 of the probability mass.

    Example:

    >>> import tensorflow_probability as tfp, keras_metaloss as kml
    >>> tfd = tfp.distributions
    >>> far_apart = tfd.MixtureSameFamily(
    ...     tfd.Categorical(logits=[0.0, 0.0]), tfd.Normal([-50.0, 50.0], [1.0, 1.0]))
    >>> value = kml.information.entropy_mixture(far_apart)
    >>> round(float(value), 4)                           # 1.4189 + log 2
    2.1121

    Reference:
        Kolchinsky and Tracey, "Estimating mixture entropy with pairwise distances",
        Entropy 19 (2017), equations 10, 15 and 20.
    """
    check_choice("method", method, _METHODS)
    with tf.name_scope(name or "entropy_mixture"):
        if method == "monte_carlo":
            number = check_positive_integer("num_samples", num_samples)
            samples = dist.sample(number, seed=[check_seed(seed), 0])
            return -tf.reduce_mean(dist.log_prob(samples), axis=0)
        if not isinstance(dist, tfd.MixtureSameFamily):
            raise TypeError(
                "Invalid value for argument `dist`. Expected a `tfd.MixtureSameFamily` "
                f"with method={method!r}. Received: dist={dist}"
            )
        if method == "quadrature":
            return _quadrature(dist)
        components = dist.components_distribution
        if method == "pairwise_kl":
            distances = _kl(components)
        else:
            distances = _bhattacharyya(components)
        return _pairwise(dist.mixture_distribution, components, distances)


def _pairwise(
    mixture: tfd.Distribution, components: tfd.Distribution, distances: tf.Tensor
) -> tf.Tensor:
    log_weights = tf.math.log_softmax(mixture.logits_parameter())
    weights = tf.exp(log_weights)
    log_affinity = tf.reduce_logsumexp(
        log_weights[..., tf.newaxis, :] - distances, axis=-1
    )
    return tf.reduce_sum(weights * (components.entropy() - log_affinity), axis=-1)


def _kl(components: tfd.Distribution) -> tf.Tensor:
    """Computes KL divergences `[..., K, K]` between all pairs of components."""
    rows, columns = components[..., tf.newaxis], components[..., tf.newaxis, :]
    return tfd.kl_divergence(rows, columns)


def _bhattacharyya(components: tfd.Distribution) -> tf.Tensor:
    """Computes Bhattacharyya distances `[..., K, K]` of Gaussian components."""
    inner = components
    while isinstance(inner, tfd.Independent):
        inner = inner.distribution
    gaussian = (tfd.Normal, tfd.MultivariateNormalLinearOperator)
    if not isinstance(inner, gaussian):
        raise TypeError(
            "Invalid value for argument `dist`. Expected Gaussian components with "
            "method='pairwise_bhattacharyya'. "
            f"Received: dist.components_distribution={components}"
        )
    mean = components.mean()
    if isinstance(inner, tfd.MultivariateNormalLinearOperator):
        covariance = components.covariance()
    elif components.event_shape.rank == 0:
        mean = mean[..., tf.newaxis]
        covariance = components.variance()[..., tf.newaxis, tf.newaxis]
    elif components.event_shape.rank == 1:
        covariance = tf.linalg.diag(components.variance())
    else:
        raise TypeError(
            "Invalid value for argument `dist`. Expected scalar or vector components. "
            f"Received: dist.components_distribution={components}"
        )
    difference = mean[..., :, tf.newaxis, :] - mean[..., tf.newaxis, :, :]
    pooled = (
        covariance[..., :, tf.newaxis, :, :] + covariance[..., tf.newaxis, :, :, :]
    ) / 2
    factor = tf.linalg.cholesky(pooled)
    whitened = tf.linalg.triangular_solve(factor, difference[..., tf.newaxis])[..., 0]
    log_dets = half_log_det(tf.linalg.cholesky(covariance))
    log_dets = (log_dets[..., :, tf.newaxis] + log_dets[..., tf.newaxis, :]) / 2
    return tf.reduce_sum(whitened**2, axis=-1) / 8 + half_log_det(factor) - log_dets


def _quadrature(dist: tfd.Distribution) -> tf.Tensor:
    components = dist.components_distribution
    if components.event_shape.rank != 0:
        raise TypeError(
            "Invalid value for argument `dist`. Expected scalar components with "
            "method='quadrature'. "
            f"Received: dist.components_distribution={components}"
        )
    location, scale = _location_and_scale(components)
    location, scale = tf.stop_gradient(location), tf.stop_gradient(scale)
    dtype = location.dtype
    breakpoints = location[..., tf.newaxis] + scale[..., tf.newaxis] * tf.constant(
        _BREAKPOINTS, dtype
    )
    batch = tf.shape(breakpoints)[:-2]
    breakpoints = tf.reshape(breakpoints, tf.concat([batch, [-1]], axis=0))
    # 0 and 1 are the finite ends of the supports of TFP's families.
    support = tf.ones(tf.concat([batch, [2]], axis=0), dtype) * tf.constant(
        [0.0, 1.0], dtype
    )
    breakpoints = tf.sort(tf.concat([breakpoints, support], axis=-1), axis=-1)
    low, width = breakpoints[..., :-1], breakpoints[..., 1:] - breakpoints[..., :-1]
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    nodes = tf.constant((nodes + 1) / 2, dtype)
    points = low[..., tf.newaxis] + width[..., tf.newaxis] * nodes
    points = tf.reshape(points, tf.concat([batch, [-1]], axis=0))
    measure = width[..., tf.newaxis] * tf.constant(weights / 2, dtype)
    measure = tf.reshape(measure, tf.concat([batch, [-1]], axis=0))
    rank = points.shape.rank
    log_p = dist.log_prob(tf.transpose(points, [rank - 1, *range(rank - 1)]))
    log_p = tf.transpose(log_p, [*range(1, rank), 0])
    # Some families return NaN outside their support; the mass is checked below.
    inside = tf.math.is_finite(log_p)
    log_p = tf.where(inside, log_p, tf.zeros_like(log_p))
    p = tf.where(inside, tf.exp(log_p), tf.zeros_like(log_p))
    mass = tf.reduce_sum(measure * p, axis=-1)
    value = -tf.reduce_sum(measure * p * log_p, axis=-1)
    missed = ~(tf.abs(mass - 1) <= _MASS_TOLERANCE)
    if tf.executing_eagerly() and tf.reduce_any(missed):
        raise ValueError(
            "Invalid value for argument `dist`. Expected a smooth density with "
            "method='quadrature'; otherwise use method='monte_carlo'. "
            f"Received: dist={dist}, with an integrated mass of {mass.numpy()}"
        )
    return tf.where(missed, tf.constant(math.nan, dtype), value)


def _location_and_scale(
    components: tfd.Distribution,
) -> tuple[tf.Tensor, tf.Tensor]:
    parameters = components.parameters
    if parameters.get("loc") is not None and parameters.get("scale") is not None:
        shape = components.batch_shape_tensor()
        location = tf.broadcast_to(tf.convert_to_tensor(components.loc), shape)
        return location, tf.broadcast_to(tf.convert_to_tensor(components.scale), shape)
    return components.mean(), components.stddev()
