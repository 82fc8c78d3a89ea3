"""Estimates that are not bounds for batches of finite size."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_metaloss._utils.checks import check_non_negative
from keras_metaloss.information.variational.bounds._bounded_exp import bounded_exp
from keras_metaloss.information.variational.bounds._scores import as_floats, as_scores

__all__ = [
    "difference_of_entropies",
    "donsker_varadhan",
    "mine",
    "smile",
]


def donsker_varadhan(
    logu: Any,
    joint_sample_mask: Any = None,
    validate_args: bool = False,
    name: str | None = None,
) -> tf.Tensor:
    """Computes the Donsker-Varadhan estimate of mutual information, in nats.

    `mean_joint f - log mean_others exp f`. It is a lower bound in the limit of large
    batches. For a finite batch, it is biased upward, because the logarithm is concave.
    The optimal critic is `log p(y|x) / p(y)` plus a constant. For training, `mine`
    reduces the bias of the gradient.

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
    >>> scores = [[2.0, 0.0], [0.0, 2.0]]
    >>> float(kml.information.bounds.donsker_varadhan(scores))
    2.0

    Reference:
        Donsker and Varadhan, 1983; Belghazi et al., "Mutual information neural
        estimation", ICML 2018, theorem 1.
    """
    with tf.name_scope(name or "donsker_varadhan"):
        scores = as_scores(logu, joint_sample_mask, validate_args)
        return scores.joint_mean() - scores.log_mean_exp_of_others()


def mine(
    logu: Any,
    log_moving_mean: tf.Variable,
    decay: float = 0.99,
    joint_sample_mask: Any = None,
    validate_args: bool = False,
    name: str | None = None,
) -> tf.Tensor:
    """Computes the MINE estimate of mutual information, in nats.

    The value is that of `donsker_varadhan`, but its gradient has less bias: the
    gradient of `mean exp f` is divided by a moving average of `mean exp f` instead of
    the value of the batch. Each call updates the average, so call it only in training.

    Args:
        logu: Scores of shape `[N, M]`.
        log_moving_mean: Scalar variable that stores the logarithm of the moving
            average. Initialize it to `-inf`, so that the first batch sets it.
        decay: Decay rate of the moving average, at least 0 and less than 1. Defaults to
            `0.99`.
        joint_sample_mask: Boolean tensor of shape `[N, M]` with exactly one true entry
            per row, which marks the pair drawn jointly. Defaults to `None`, which marks
            the diagonal.
        validate_args: Whether to assert the shape and the mask in graph mode. Defaults
            to `False`.
        name: Name of the operation. Defaults to `None`, which uses the function name.

    Returns:
        Scalar tensor.

    Raises:
        TypeError: If `logu` does not have a floating-point dtype.
        ValueError: If the shape of `logu` or of `joint_sample_mask` is invalid, if
            `logu` is a batch of matrices, or if `decay` is out of range. In eager mode,
            also if `logu` contains NaN or if a row of the mask does not have exactly
            one true entry.

    Example:

    >>> import tensorflow as tf, keras_metaloss as kml
    >>> average = tf.Variable(-float("inf"))
    >>> scores = [[2.0, 0.0], [0.0, 2.0]]
    >>> float(kml.information.bounds.mine(scores, average)), float(average)
    (2.0, 0.0)

    Reference:
        Belghazi et al., "Mutual information neural estimation", ICML 2018, section 3.2,
        equation 12.
    """
    if not check_non_negative("decay", decay) < 1:
        raise ValueError(
            "Invalid value for argument `decay`. Expected at least 0 and less than 1. "
            f"Received: decay={decay!r}"
        )
    with tf.name_scope(name or "mine"):
        scores = as_scores(logu, joint_sample_mask, validate_args)
        if scores.logu.shape.rank != 2:
            raise ValueError(
                "Invalid value for argument `logu`. Expected a single matrix of shape "
                f"[N, M]. Received: logu.shape={scores.logu.shape}"
            )
        log_mean = scores.log_mean_exp_of_others()
        batch_mean = tf.stop_gradient(log_mean)
        previous = tf.convert_to_tensor(log_moving_mean)
        weight = tf.constant(decay, previous.dtype)
        terms = [previous + tf.math.log(weight), batch_mean + tf.math.log1p(-weight)]
        updated = tf.reduce_logsumexp(tf.stack(terms))
        average = tf.where(tf.math.is_finite(previous), updated, batch_mean)
        log_moving_mean.assign(average)
        # The value of this term is 0; its gradient is that of `mean exp f / average`.
        ratio = bounded_exp(log_mean - average)
        return scores.joint_mean() - batch_mean - (ratio - tf.stop_gradient(ratio))


def smile(
    logu: Any,
    clip: float = 5.0,
    joint_sample_mask: Any = None,
    validate_args: bool = False,
    name: str | None = None,
) -> tf.Tensor:
    """Computes the SMILE estimate of mutual information, in nats.

    `mean_joint f - log mean_others exp(clip(f, -clip, clip))`. Compared to
    Donsker-Varadhan, the variance is lower and the bias is higher. It is NOT a bound:
    with the optimal critic and `clip=1`, it returns 2.4 for a true value of 2. Clipped
    scores have zero gradient. The authors therefore train the critic with
    `lower_bound_jensen_shannon` and evaluate it with SMILE, as does
    `MutualInformationEstimator`.

    Args:
        logu: Scores of shape `[..., N, M]`.
        clip: Positive number. Infinity gives Donsker-Varadhan. Defaults to `5.0`.
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
            `clip` is not positive. In eager mode, also if `logu` contains NaN or if a
            row of the mask does not have exactly one true entry.

    Example:

    >>> import keras_metaloss as kml
    >>> scores = [[9.0, -9.0], [-9.0, 9.0]]
    >>> float(kml.information.bounds.smile(scores, clip=1.0))
    10.0

    Reference:
        Song and Ermon, "Understanding the limitations of variational mutual information
        estimators", ICLR 2020, equation 8.
    """
    if clip != float("inf") and check_non_negative("clip", clip) == 0:
        raise ValueError(
            "Invalid value for argument `clip`. Expected a positive number. "
            f"Received: clip={clip!r}"
        )
    with tf.name_scope(name or "smile"):
        scores = as_scores(logu, joint_sample_mask, validate_args)
        clipped = tf.clip_by_value(scores.logu, -clip, clip)
        return scores.joint_mean() - scores.log_mean_exp_of_others(clipped)


def difference_of_entropies(
    log_conditional: Any, log_marginal: Any, name: str | None = None
) -> tf.Tensor:
    """Computes the difference-of-entropies estimate of mutual information, in nats.

    `mean_i log q(y_i | x_i) - mean_i log r(y_i)`, the difference of two
    cross-entropies. Each cross-entropy is an upper bound on an entropy, so the
    difference is neither a lower nor an upper bound. It is not limited by `log N`, and
    its variance is low.

    Args:
        log_conditional: `log q(y_i | x_i)` of a fitted model, of shape `[..., N]`.
        log_marginal: `log r(y_i)` of another fitted model, of shape `[..., N]`.
        name: Name of the operation. Defaults to `None`, which uses the function name.

    Returns:
        Tensor of shape `[...]`.

    Raises:
        TypeError: If `log_conditional` does not have a floating-point dtype.
        ValueError: If the shapes differ.

    Example:

    >>> import keras_metaloss as kml
    >>> bounds = kml.information.bounds
    >>> float(bounds.difference_of_entropies([-1.0, -2.0], [-3.0, -3.0]))
    1.5

    Reference:
        McAllester and Stratos, "Formal limitations on the measurement of mutual
        information", AISTATS 2020, equation 4.
    """
    with tf.name_scope(name or "difference_of_entropies"):
        log_conditional = as_floats("log_conditional", log_conditional)
        log_marginal = tf.convert_to_tensor(log_marginal, log_conditional.dtype)
        if not log_conditional.shape.is_compatible_with(log_marginal.shape):
            raise ValueError(
                "Invalid value for arguments `log_conditional` and `log_marginal`. "
                "Expected equal shapes. "
                f"Received: log_conditional.shape={log_conditional.shape}, "
                f"log_marginal.shape={log_marginal.shape}"
            )
        return tf.reduce_mean(log_conditional - log_marginal, axis=-1)
