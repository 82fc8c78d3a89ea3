"""Lower bounds that contrast each joint sample with several independent ones."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from keras_metaloss._utils.checks import check_non_negative
from keras_metaloss.information.variational.bounds._bounded_exp import bounded_exp
from keras_metaloss.information.variational.bounds._scores import as_scores

__all__ = [
    "interpolated",
    "lower_bound_info_nce",
]


def lower_bound_info_nce(
    logu: Any,
    joint_sample_mask: Any = None,
    validate_args: bool = False,
    name: str | None = None,
) -> tf.Tensor:
    """Computes the InfoNCE lower bound on mutual information, in nats.

    `mean_i [f_ii - log mean_j exp f_ij]`. The variance is low, but the value is at most
    `log M`. Adding a constant to a row does not change the value. Equal to the function
    of TFP, except that TFP raises an error if the number of columns is unknown, and
    returns wrong values for masked batches of matrices.

    Args:
        logu: Scores of shape `[..., N, M]`.
        joint_sample_mask: Boolean tensor of shape `[..., N, M]` or `[N, M]` with
            exactly one true entry per row, which marks the pair drawn jointly. Defaults
            to `None`, which marks the diagonal.
        validate_args: Whether to assert the shape and the mask in graph mode. Defaults
            to `False`.
        name: Name of the operation. Defaults to `None`, which uses the function name.

    Returns:
        Tensor of shape `[...]`.

    Raises:
        TypeError: If `logu` does not have a floating-point dtype.
        ValueError: If the shape of `logu` or of `joint_sample_mask` is invalid. In
            eager mode, also if `logu` contains NaN or if a row of the mask does not
            have exactly one true entry.

    Example:

    >>> import keras_metaloss as kml
    >>> scores = [[100.0, 0.0], [0.0, 100.0]]
    >>> round(float(kml.information.bounds.lower_bound_info_nce(scores)), 4)  # log 2
    0.6931

    Reference:
        van den Oord, Li and Vinyals, "Representation learning with contrastive
        predictive coding", 2018; Poole et al. (2019), equation 12.
    """
    with tf.name_scope(name or "lower_bound_info_nce"):
        scores = as_scores(logu, joint_sample_mask, validate_args)
        log_mean = tf.reduce_logsumexp(scores.logu, axis=-1)
        log_mean -= tf.math.log(scores.columns())
        return tf.reduce_mean(scores.joint() - log_mean, axis=-1)


def interpolated(
    logu: Any,
    alpha: Any = 0.5,
    log_baseline: Any = 0.0,
    joint_sample_mask: Any = None,
    validate_args: bool = False,
    name: str | None = None,
) -> tf.Tensor:
    """Computes the interpolated lower bound on mutual information, in nats.

    `I_alpha` interpolates between TUBA (`alpha=0`) and InfoNCE (`alpha=1`). It is TUBA
    with the baseline `alpha m_i + (1 - alpha) a_i`, where `m_i` is the leave-one-out
    mean of the exponentiated scores of row `i`, without the current pair. The value is
    at most `log((M - 1) / alpha)`. A larger `alpha` reduces the variance and increases
    the bias.

    Args:
        logu: Scores of shape `[..., N, M]`.
        alpha: Number between 0 and 1 (inclusive), or a scalar tensor, which may be
            trainable. Defaults to `0.5`.
        log_baseline: `log a`, a scalar or one value per row, of shape `[..., N]`.
            Defaults to `0.0`.
        joint_sample_mask: Boolean tensor of shape `[..., N, M]` or `[N, M]` with
            exactly one true entry per row, which marks the pair drawn jointly. Defaults
            to `None`, which marks the diagonal.
        validate_args: Whether to assert the shape and the mask in graph mode. Defaults
            to `False`.
        name: Name of the operation. Defaults to `None`, which uses the function name.

    Returns:
        Tensor of shape `[...]`.

    Raises:
        TypeError: If `logu` does not have a floating-point dtype.
        ValueError: If the shape of `logu` or of `joint_sample_mask` is invalid, or if
            `alpha` is a number that is not between 0 and 1. In eager mode, also if
            `logu` contains NaN or if a row of the mask does not have exactly one true
            entry.

    Example:

    >>> import keras_metaloss as kml
    >>> scores = [[0.0, 0.0, 0.0]] * 3
    >>> round(float(kml.information.bounds.interpolated(scores)), 4) + 0.0
    0.0

    Reference:
        Poole et al., "On variational bounds of mutual information", ICML 2019,
        equation 14.
    """
    if not tf.is_tensor(alpha) and check_non_negative("alpha", alpha) > 1:
        raise ValueError(
            "Invalid value for argument `alpha`. Expected a number between 0 and 1. "
            f"Received: alpha={alpha!r}"
        )
    with tf.name_scope(name or "interpolated"):
        scores = as_scores(logu, joint_sample_mask, validate_args)
        dtype = scores.logu.dtype
        alpha = tf.convert_to_tensor(alpha, dtype)
        log_baseline = tf.convert_to_tensor(log_baseline, dtype)[..., tf.newaxis]
        # Entry j of a row is the mean of its exponentiated scores without entry j.
        log_sums, _ = tfp.stats.log_loosum_exp(scores.logu, axis=-1)
        log_means = log_sums - tf.math.log(scores.columns() - 1)
        from_scores = tf.math.log(alpha) + log_means
        from_baseline = tf.broadcast_to(
            tf.math.log1p(-alpha) + log_baseline, tf.shape(from_scores)
        )
        baseline = tf.reduce_logsumexp(tf.stack([from_scores, from_baseline]), axis=0)
        joint = scores.mean_of_others(scores.joint()[..., tf.newaxis] - baseline)
        # The baseline of independent pairs must not include the joint sample.
        zeros = tf.zeros_like(baseline)
        joint_baseline = tf.reduce_sum(tf.where(scores.mask, baseline, zeros), axis=-1)
        reduced = scores.logu - joint_baseline[..., tf.newaxis]
        return 1 + joint - bounded_exp(scores.log_mean_exp_of_others(reduced))
