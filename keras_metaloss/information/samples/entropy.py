"""Entropies of counts and of samples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_metaloss._utils.checks import check_choice
from keras_metaloss.information.samples._neighbors import nearest
from keras_metaloss.information.samples._validation import (
    as_points,
    as_samples,
    check_neighbors,
    nan_unless_finite,
    scale_by_range,
)

__all__ = [
    "entropy_gaussian",
    "entropy_kozachenko_leonenko",
    "entropy_miller_madow",
    "entropy_plug_in",
]


def entropy_plug_in(counts_or_probs: Any, name: str | None = None) -> tf.Tensor:
    """Computes the plug-in entropy of counts or probabilities, in nats.

    `H = -sum_k p_k log p_k`. The last axis is divided by its sum, so counts and
    probabilities are both accepted. The entropy of counts of `n` samples is biased
    downward by about `(K - 1) / (2 n)`. `entropy_miller_madow` corrects this bias.
    Gradients are finite at zero.

    Args:
        counts_or_probs: Non-negative tensor of shape `[..., K]`, of any numeric dtype.
        name: Name of the operation. Defaults to `None`, which uses the function name.

    Returns:
        Tensor of shape `[...]`: float32 for integer inputs, otherwise the dtype of the
        input.

    Raises:
        ValueError: In eager mode, if a value is negative or not finite, or if a sum is
            zero. In graph mode, such rows return NaN.

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
        # 0 log 0 is defined as 0, with zero gradient.
        positive = p > 0
        log_p = tf.math.log(tf.where(positive, p, tf.ones_like(p)))
        value = -tf.reduce_sum(p * log_p, axis=-1)
        invalid = tf.reduce_any((counts < 0) | ~tf.math.is_finite(counts), axis=-1)
        return tf.where(invalid, tf.constant(np.nan, value.dtype), value)


def entropy_miller_madow(counts: Any, name: str | None = None) -> tf.Tensor:
    """Computes the entropy of counts with the Miller-Madow bias correction, in nats.

    `H = H_plug_in + (K_seen - 1) / (2 n)`, where `n` samples belong to `K_seen`
    distinct classes.

    Args:
        counts: Non-negative integer counts of shape `[..., K]`, of any numeric dtype.
        name: Name of the operation. Defaults to `None`, which uses the function name.

    Returns:
        Tensor of shape `[...]`: float32 for integer inputs, otherwise the dtype of the
        input.

    Raises:
        ValueError: In eager mode, if the counts are not non-negative integers, or if a
            sum is zero.

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
                "Invalid value for argument `counts`. Expected integer counts, because "
                "the correction depends on the number of samples. For probabilities, "
                "use `entropy_plug_in`. "
                f"Received: counts={counts.numpy()}"
            )
        seen = tf.math.count_nonzero(counts, axis=-1, dtype=counts.dtype)
        total = tf.reduce_sum(counts, axis=-1)
        return entropy_plug_in(counts) + (seen - 1) / (2 * total)


def _as_counts(name: str, counts: Any) -> tf.Tensor:
    """Validates counts and converts them to a floating-point dtype."""
    counts = tf.convert_to_tensor(counts)
    if not counts.dtype.is_floating:
        counts = tf.cast(counts, tf.float32)
    if counts.shape.rank == 0:
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected shape [..., K]. "
            f"Received: {name}.shape={counts.shape}"
        )
    if tf.executing_eagerly():
        valid = tf.reduce_all(tf.math.is_finite(counts) & (counts >= 0))
        if not (valid and tf.reduce_all(tf.reduce_sum(counts, axis=-1) > 0)):
            raise ValueError(
                f"Invalid value for argument `{name}`. Expected finite, non-negative "
                f"values with a positive sum. Received: {name}={counts.numpy()}"
            )
    return counts


def entropy_gaussian(
    x: Any, validate_args: bool = False, name: str | None = None
) -> tf.Tensor:
    """Computes the entropy of a Gaussian fitted to the samples, in nats.

    `H = log det(2 pi e S) / 2`, where `S` is the covariance matrix of the samples. It
    is an upper bound on the entropy of any variable with covariance `S`. Constant or
    linearly dependent columns give `-inf`.

    Args:
        x: Samples of shape `[N]` or `[N, D]`, with a floating-point dtype.
        validate_args: Whether to assert in graph mode that the data are finite. Eager
            mode always checks this. Defaults to `False`.
        name: Name of the operation. Defaults to `None`, which uses the function name.

    Returns:
        Scalar tensor: float64 if `x` is float64, otherwise float32. Differentiable.

    Raises:
        TypeError: If `x` does not have a floating-point dtype.
        ValueError: If the shape is invalid or, in eager mode, if the data are not
            finite.

    Example:

    >>> import keras_metaloss as kml
    >>> round(float(kml.information.entropy_gaussian([-1.0, 1.0])), 4)
    1.4189

    Reference:
        Cover and Thomas, "Elements of information theory", theorem 8.4.1.
    """
    with tf.name_scope(name or "entropy_gaussian"):
        x, scale = scale_by_range(as_samples("x", x, validate_args))
        spread = tf.linalg.eigvalsh(tfp.stats.covariance(x))
        # Rounding errors turn zero eigenvalues into tiny ones; treat these as zero.
        floor = x.shape[1] * np.finfo(x.dtype.as_numpy_dtype).eps * spread[-1]
        spread = tf.where(spread > floor, spread, tf.zeros_like(spread))
        value = tf.reduce_sum(tf.math.log(2 * math.pi * math.e * spread)) / 2
        value += tf.reduce_sum(tf.math.log(scale))
        return nan_unless_finite(value, x)


def entropy_kozachenko_leonenko(
    x: Any,
    n_neighbors: int = 3,
    norm: str = "max",
    validate_args: bool = False,
    name: str | None = None,
) -> tf.Tensor:
    """Computes the differential entropy of samples from nearest neighbors, in nats.

    `H = psi(N) - psi(k) + log c_D + (D / N) sum_i log r_i`, where `r_i` is the distance
    to the k-th neighbor and `c_D` is the volume of the unit ball. The estimate is
    differentiable where the neighbors are unique. Samples with at least `k` duplicates
    give `-inf`, the differential entropy of an atom.

    Args:
        x: Samples of shape `[N]` or `[N, D]`, with a floating-point dtype.
        n_neighbors: Number of neighbors `k`. Defaults to `3`.
        norm: `"max"` or `"euclidean"`. Defaults to `"max"`.
        validate_args: Whether to assert in graph mode that the data are finite. Eager
            mode always checks this. Defaults to `False`.
        name: Name of the operation. Defaults to `None`, which uses the function name.

    Returns:
        Scalar tensor: float64 if `x` is float64, otherwise float32.

    Raises:
        TypeError: If `x` does not have a floating-point dtype.
        ValueError: If a shape or an argument is invalid, or if the data are not finite.

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
        # Recompute the distances from the samples to obtain their gradients.
        difference = tf.cast(x, tf.float64)
        difference = tf.gather(difference, index[:, -1]) - difference
        if norm == "max":
            log_radius = tf.math.log(tf.reduce_max(tf.abs(difference), axis=1))
            log_volume = dimensions * math.log(2)
        else:
            log_radius = tf.math.log(tf.reduce_sum(difference**2, axis=1)) / 2
            log_volume = dimensions / 2 * math.log(math.pi) - math.lgamma(
                dimensions / 2 + 1
            )
        size = tf.cast(tf.shape(x)[0], difference.dtype)
        neighbors = tf.constant(k, difference.dtype)
        value = tf.math.digamma(size) - tf.math.digamma(neighbors)
        value += log_volume + dimensions * tf.reduce_mean(log_radius)
        return nan_unless_finite(tf.cast(value, x.dtype), x)
