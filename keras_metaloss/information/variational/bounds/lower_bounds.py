"""Lower bounds from a decoder or from unnormalized density ratios."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from keras_metaloss.information.variational.bounds._bounded_exp import bounded_exp
from keras_metaloss.information.variational.bounds._scores import as_floats, as_scores

__all__ = [
    "lower_bound_barber_agakov",
    "lower_bound_jensen_shannon",
    "lower_bound_nguyen_wainwright_jordan",
    "tuba",
]


def lower_bound_barber_agakov(
    logu: Any, entropy: Any, name: str | None = None
) -> tf.Tensor:
    """Computes the Barber-Agakov lower bound on mutual information, in nats.

    `mean_i log q(x_i | y_i) + H(X)`, where `q` is a decoder.

    Args:
        logu: `log q(x_i | y_i)`, of shape `[..., N]`.
        entropy: `H(X)`, a scalar or a tensor of shape `[...]`.
        name: Name of the operation. Defaults to `None`, which uses the function name.

    Returns:
        Tensor of shape `[...]`.

    Raises:
        TypeError: If `logu` does not have a floating-point dtype.

    Example:

    >>> import keras_metaloss as kml
    >>> float(kml.information.bounds.lower_bound_barber_agakov([-1.0, -2.0], 2.0))
    0.5

    Reference:
        Barber and Agakov, "The IM algorithm", NeurIPS 2003.
        Implemented in `tfp.vi.mutual_information`.
    """
    logu = as_floats("logu", logu)
    return tfp.vi.mutual_information.lower_bound_barber_agakov(logu, entropy, name)


def lower_bound_jensen_shannon(
    logu: Any,
    joint_sample_mask: Any = None,
    validate_args: bool = False,
    name: str | None = None,
) -> tf.Tensor:
    """Computes a lower bound on a Jensen-Shannon divergence.

    `mean_joint[-softplus(-f)] - mean_others[softplus(f)]`, which is at most
    `2 JSD(p(x, y), p(x) p(y)) - log 4 <= 0`. The value is NOT a bound on mutual
    information. It is suitable for training a critic: the optimal critic is
    `f = log p(y|x) / p(y)`, and another bound then evaluates its mutual information.

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
    >>> scores = [[0.0, 0.0], [0.0, 0.0]]
    >>> bounds = kml.information.bounds
    >>> round(float(bounds.lower_bound_jensen_shannon(scores)), 4)        # -log 4
    -1.3863

    Reference:
        Nowozin, Cseke and Tomioka, "f-GAN", NeurIPS 2016, equations 7 and 8.
    """
    with tf.name_scope(name or "lower_bound_jensen_shannon"):
        scores = as_scores(logu, joint_sample_mask, validate_args)
        joint = -tf.reduce_mean(tf.math.softplus(-scores.joint()), axis=-1)
        return joint - scores.mean_of_others(tf.math.softplus(scores.logu))


def lower_bound_nguyen_wainwright_jordan(
    logu: Any,
    joint_sample_mask: Any = None,
    validate_args: bool = False,
    name: str | None = None,
) -> tf.Tensor:
    """Computes the Nguyen-Wainwright-Jordan (NWJ) lower bound, in nats.

    `mean_joint f - mean_others exp(f - 1)`, an unbiased estimate of a lower bound on
    mutual information. The optimal critic is `1 + log p(y|x) / p(y)`. The variance
    grows exponentially with the mutual information. If `log mean exp(f - 1)` exceeds
    40, the exponential is replaced by its tangent, so that the value and the gradient
    of a poor critic stay finite.

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
    >>> scores = [[1.0, 1.0], [1.0, 1.0]]                 # independence: ratio 1
    >>> float(kml.information.bounds.lower_bound_nguyen_wainwright_jordan(scores))
    0.0

    Reference:
        Nguyen, Wainwright and Jordan, "Estimating divergence functionals and the
        likelihood ratio by convex risk minimization", 2010; Poole et al. (2019),
        equation 6.
    """
    with tf.name_scope(name or "lower_bound_nguyen_wainwright_jordan"):
        scores = as_scores(logu, joint_sample_mask, validate_args)
        return scores.joint_mean() - bounded_exp(scores.log_mean_exp_of_others() - 1)


def tuba(
    logu: Any,
    log_baseline: Any = 0.0,
    joint_sample_mask: Any = None,
    validate_args: bool = False,
    name: str | None = None,
) -> tf.Tensor:
    """Computes the TUBA lower bound on mutual information, in nats.

    `1 + mean_joint[f - log a] - mean_others[exp(f) / a]`. The optimal critic is
    `log p(y|x) / p(y) + log a`. `log_baseline=1` gives the NWJ bound.

    Args:
        logu: Scores of shape `[..., N, M]`.
        log_baseline: `log a`, a scalar or one value per row, of shape `[..., N]`. It
            may depend only on the sample of the row. Defaults to `0.0`.
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
    >>> scores = [[0.0, 0.0], [0.0, 0.0]]
    >>> float(kml.information.bounds.tuba(scores))
    0.0

    Reference:
        Poole, Ozair, van den Oord, Alemi and Tucker, "On variational bounds of mutual
        information", ICML 2019, equation 5.
    """
    with tf.name_scope(name or "tuba"):
        scores = as_scores(logu, joint_sample_mask, validate_args)
        log_baseline = tf.convert_to_tensor(log_baseline, scores.logu.dtype)
        reduced = scores.logu - log_baseline[..., tf.newaxis]
        joint = tf.reduce_mean(scores.joint() - log_baseline, axis=-1)
        return 1 + joint - bounded_exp(scores.log_mean_exp_of_others(reduced))
