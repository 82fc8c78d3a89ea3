"""Entropies from counts and from samples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_metaloss.checks import check_choice
from keras_metaloss.information._neighbors import as_points, nearest
from keras_metaloss.information._samples import (
    as_samples,
    check_neighbors,
    in_units_of_range,
    nan_unless_finite,
)

__all__ = [
    "entropy_gaussian",
    "entropy_kozachenko_leonenko",
    "entropy_miller_madow",
    "entropy_plug_in",
]


def entropy_plug_in(counts_or_probs: Any, name: str | None = None) -> tf.Tensor:
    """Entropy of counts or probabilities, `-sum_k p_k log p_k`, in nats.

    The last axis is divided by its sum, so counts and probabilities both do. From
    counts of n samples the entropy comes out about `(K - 1) / (2 n)` too low; see
    `entropy_miller_madow`. Gradients are finite at zero.

    Args:
        counts_or_probs: `[..., K]`, not below zero, of any numeric dtype.
        name: name of the operation.

    Returns:
        `[...]`, float32 for integers, else of the dtype given.

    Raises:
        ValueError: run eagerly, if a value is negative or not finite, or a sum is zero;
            in a graph such rows give NaN.

    Example:

    >>> import keras_metaloss as kml
    >>> round(float(kml.information.entropy_plug_in([5, 5, 0])), 4)      # log 2
    0.6931

    Reference:
        Paninski, "Estimation of entropy and mutual information", Neural Computation 15
        (2003), section 3.
    """
    with tf.name_scope(name or "entropy_plug_in"):
        counts = _as_counts("counts_or_probs", counts_or_probs)
        p = counts / tf.reduce_sum(counts, axis=-1, keepdims=True)
        # 0 log 0 is 0 and its gradient is taken as 0.
        positive = p > 0
        log_p = tf.math.log(tf.where(positive, p, tf.ones_like(p)))
        value = -tf.reduce_sum(p * log_p, axis=-1)
        invalid = tf.reduce_any((counts < 0) | ~tf.math.is_finite(counts), axis=-1)
        return tf.where(invalid, tf.constant(np.nan, value.dtype), value)


def entropy_miller_madow(counts: Any, name: str | None = None) -> tf.Tensor:
    """Entropy of counts with the Miller-Madow correction of bias, in nats.

    `H = H_plug_in + (K_seen - 1) / (2 n)`, with n samples in `K_seen` classes.

    Args:
        counts: `[..., K]`, whole numbers not below zero.
        name: name of the operation.

    Returns:
        `[...]`, float32 for integers, else of the dtype given.

    Raises:
        ValueError: run eagerly, if counts are not whole numbers from zero on, or sum to
            zero.

    Example:

    >>> import keras_metaloss as kml
    >>> round(float(kml.information.entropy_miller_madow([5, 5])), 4)
    0.7431

    Reference:
        Miller, "Note on the bias of information estimates", 1955.
    """
    with tf.name_scope(name or "entropy_miller_madow"):
        counts = _as_counts("counts", counts)
        if tf.executing_eagerly() and tf.reduce_any(counts != tf.round(counts)):
            raise ValueError(
                "Expected argument `counts` to hold whole numbers, for the correction "
                "depends on how many there are; `entropy_plug_in` takes probabilities. "
                f"Received: counts={counts.numpy()}"
            )
        seen = tf.math.count_nonzero(counts, axis=-1, dtype=counts.dtype)
        total = tf.reduce_sum(counts, axis=-1)
        return entropy_plug_in(counts) + (seen - 1) / (2 * total)


def _as_counts(name, counts):
    counts = tf.convert_to_tensor(counts)
    if not counts.dtype.is_floating:
        counts = tf.cast(counts, tf.float32)
    if counts.shape.rank == 0:
        raise ValueError(
            f"Expected argument `{name}` to have shape [..., K]. "
            f"Received: {name}.shape={counts.shape}"
        )
    if tf.executing_eagerly():
        valid = tf.reduce_all(tf.math.is_finite(counts) & (counts >= 0))
        if not (valid and tf.reduce_all(tf.reduce_sum(counts, axis=-1) > 0)):
            raise ValueError(
                f"Expected argument `{name}` to hold finite numbers not below zero "
                f"with a positive sum. Received: {name}={counts.numpy()}"
            )
    return counts


def entropy_gaussian(
    x: Any, validate_args: bool = False, name: str | None = None
) -> tf.Tensor:
    """Entropy of the Gaussian with the covariance of the samples, in nats.

    `H = log det(2 pi e S) / 2`, an upper bound of the entropy of any variable with
    covariance S. Constant or linearly dependent columns give -inf.

    Args:
        x: samples, `[N]` or `[N, D]`, of a float dtype.
        validate_args: whether to assert finite data in a graph.
        name: name of the operation.

    Returns:
        Scalar of the dtype of `x`.

    Raises:
        TypeError: if `x` is not of a float dtype.
        ValueError: if the shape does not fit or, run eagerly, data are not finite.

    Example:

    >>> import keras_metaloss as kml
    >>> round(float(kml.information.entropy_gaussian([-1.0, 1.0])), 4)
    1.4189

    Reference:
        Cover and Thomas, "Elements of information theory", theorem 8.4.1.
    """
    with tf.name_scope(name or "entropy_gaussian"):
        x, size = in_units_of_range(as_samples("x", x, validate_args))
        spread = tf.linalg.eigvalsh(tfp.stats.covariance(x))
        # What rounding leaves of a zero eigenvalue counts as zero.
        floor = x.shape[1] * np.finfo(x.dtype.as_numpy_dtype).eps * spread[-1]
        spread = tf.where(spread > floor, spread, tf.zeros_like(spread))
        value = tf.reduce_sum(tf.math.log(2 * math.pi * math.e * spread)) / 2
        value += tf.reduce_sum(tf.math.log(size))
        return nan_unless_finite(value, x)


def entropy_kozachenko_leonenko(
    x: Any,
    n_neighbors: int = 3,
    norm: str = "max",
    validate_args: bool = False,
    name: str | None = None,
) -> tf.Tensor:
    """Differential entropy of samples by nearest neighbours, in nats.

    `H = psi(N) - psi(k) + log c_D + (D / N) sum_i log r_i`, with `r_i` the distance of
    the k-th neighbour and `c_D` the volume of the unit ball. Differentiable where
    neighbours are unique. Samples with k or more duplicates give -inf, the differential
    entropy of an atom.

    Args:
        x: samples, `[N]` or `[N, D]`, of a float dtype.
        n_neighbors: k.
        norm: `"max"` or `"euclidean"`.
        validate_args: whether to assert finite data in a graph; run eagerly this is
            checked always.
        name: name of the operation.

    Returns:
        Scalar of the dtype of `x`.

    Raises:
        TypeError: if `x` is not of a float dtype.
        ValueError: if shapes or arguments do not fit, or data are not finite.

    Example:

    >>> import numpy as np, keras_metaloss as kml
    >>> x = np.random.default_rng(0).uniform(0, 2, size=2000)      # truth: log 2
    >>> round(float(kml.information.entropy_kozachenko_leonenko(x)), 1)
    0.7

    Reference:
        Kozachenko and Leonenko, 1987; Kraskov, Stoegbauer and Grassberger, Physical
        Review E 69 (2004), equation 20.
    """
    check_choice("norm", norm, ("max", "euclidean"))
    with tf.name_scope(name or "entropy_kozachenko_leonenko"):
        x = as_samples("x", x, validate_args)
        k, x = check_neighbors(n_neighbors, x)
        _, index = nearest(as_points(x), k, norm)
        dimensions = x.shape[1]
        # Computed again from the samples, for the gradient.
        gap = tf.cast(x, tf.float64)
        gap = tf.gather(gap, index[:, -1]) - gap
        if norm == "max":
            log_radius = tf.math.log(tf.reduce_max(tf.abs(gap), axis=1))
            log_volume = dimensions * math.log(2)
        else:
            log_radius = tf.math.log(tf.reduce_sum(gap**2, axis=1)) / 2
            log_volume = dimensions / 2 * math.log(math.pi) - math.lgamma(
                dimensions / 2 + 1
            )
        size = tf.cast(tf.shape(x)[0], gap.dtype)
        value = tf.math.digamma(size) - tf.math.digamma(tf.constant(k, gap.dtype))
        value += log_volume + dimensions * tf.reduce_mean(log_radius)
        return nan_unless_finite(tf.cast(value, x.dtype), x)
