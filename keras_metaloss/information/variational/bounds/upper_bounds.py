"""Upper bounds from a known conditional distribution."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_metaloss.information.variational.bounds._scores import as_scores

__all__ = [
    "club",
    "leave_one_out_upper_bound",
]


def leave_one_out_upper_bound(
    log_conditional: Any,
    joint_sample_mask: Any = None,
    validate_args: bool = False,
    name: str | None = None,
) -> tf.Tensor:
    """Computes the leave-one-out upper bound on mutual information, in nats.

    `mean_i [l_ii - log mean_{j != i} exp l_ij]`. It is an upper bound in expectation if
    `log_conditional` is the true conditional distribution. With a fitted conditional
    distribution, it is an estimate.

    Args:
        log_conditional: `l_ij = log p(y_i | x_j)`, of shape `[..., N, M]`.
        joint_sample_mask: Boolean tensor of shape `[..., N, M]` or `[N, M]` with
            exactly one true entry per row, which marks the pair drawn jointly. Defaults
            to `None`, which marks the diagonal.
        validate_args: Whether to assert the shape and the mask in graph mode. Defaults
            to `False`.
        name: Name of the operation. Defaults to `None`, which uses the function name.

    Returns:
        Tensor of shape `[...]`.

    Raises:
        TypeError: If `log_conditional` does not have a floating-point dtype.
        ValueError: If the shape of `log_conditional` or of `joint_sample_mask` is
            invalid. In eager mode, also if `log_conditional` contains NaN or if a row
            of the mask does not have exactly one true entry.

    Example:

    >>> import keras_metaloss as kml
    >>> log_p = [[-1.0, -3.0], [-3.0, -1.0]]
    >>> float(kml.information.bounds.leave_one_out_upper_bound(log_p))
    2.0

    Reference:
        Poole et al., "On variational bounds of mutual information", ICML 2019,
        equation 13.
    """
    with tf.name_scope(name or "leave_one_out_upper_bound"):
        scores = as_scores(
            log_conditional, joint_sample_mask, validate_args, "log_conditional"
        )
        rows = scores.joint() - scores.row_log_mean_exp_of_others()
        return tf.reduce_mean(rows, axis=-1)


def club(
    log_conditional: Any,
    joint_sample_mask: Any = None,
    validate_args: bool = False,
    name: str | None = None,
) -> tf.Tensor:
    """Computes the CLUB upper bound on mutual information, in nats.

    `mean_i l_ii - mean_{i != j} l_ij`, an upper bound if `log_conditional` is the true
    conditional distribution. The bound is loose: at least twice the truth for Gaussian
    variables. The second mean includes only pairs of different samples, which makes it
    unbiased. The sum in the paper includes the joint pairs.

    Args:
        log_conditional: `l_ij = log p(y_i | x_j)`, of shape `[..., N, M]`.
        joint_sample_mask: Boolean tensor of shape `[..., N, M]` or `[N, M]` with
            exactly one true entry per row, which marks the pair drawn jointly. Defaults
            to `None`, which marks the diagonal.
        validate_args: Whether to assert the shape and the mask in graph mode. Defaults
            to `False`.
        name: Name of the operation. Defaults to `None`, which uses the function name.

    Returns:
        Tensor of shape `[...]`.

    Raises:
        TypeError: If `log_conditional` does not have a floating-point dtype.
        ValueError: If the shape of `log_conditional` or of `joint_sample_mask` is
            invalid. In eager mode, also if `log_conditional` contains NaN or if a row
            of the mask does not have exactly one true entry.

    Example:

    >>> import keras_metaloss as kml
    >>> float(kml.information.bounds.club([[-1.0, -3.0], [-3.0, -1.0]]))
    2.0

    Reference:
        Cheng et al., "CLUB: a contrastive log-ratio upper bound of mutual information",
        ICML 2020, equation 9.
    """
    with tf.name_scope(name or "club"):
        scores = as_scores(
            log_conditional, joint_sample_mask, validate_args, "log_conditional"
        )
        return scores.joint_mean() - scores.mean_of_others(scores.logu)
