"""Bounds on mutual information, computed from a matrix of scores.

A score matrix `logu` of shape `[..., N, M]`, with `N <= M`, holds the critic's scores
`logu[i, j] = f(x_i, y_j)` of all pairs. One entry per row belongs to a pair drawn
jointly, by default the entry on the diagonal. The other entries represent independent
pairs. The scores of the optimal critic are the log density ratio `log p(y|x) / p(y)`,
up to the terms given in each docstring.

Values are in nats and may be averaged over batches. Batch dimensions, unknown sizes,
masks of any batch shape, gradients and XLA are supported. Half precision is cast to
float32.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from keras_metaloss._utils.checks import check_non_negative
from keras_metaloss.information.variational._scores import floats_of, scores_of

__all__ = [
    "club",
    "difference_of_entropies",
    "donsker_varadhan",
    "interpolated",
    "leave_one_out_upper_bound",
    "lower_bound_barber_agakov",
    "lower_bound_info_nce",
    "lower_bound_jensen_shannon",
    "lower_bound_nguyen_wainwright_jordan",
    "mine",
    "smile",
    "tuba",
]

# Above this exponent, `exp` is replaced by its tangent, so that the scores of an
# untrained critic give finite values and squared gradients do not overflow float32.
_LARGEST_EXPONENT = 40.0


def _bounded_exp(x):
    capped = tf.minimum(x, _LARGEST_EXPONENT)
    return tf.exp(capped) * (1 + tf.maximum(x - _LARGEST_EXPONENT, 0))


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
    >>> float(kml.information.lower_bound_barber_agakov([-1.0, -2.0], 2.0))
    0.5

    Reference:
        Barber and Agakov, "The IM algorithm", NeurIPS 2003.
        Implemented in `tfp.vi.mutual_information`.
    """
    logu = floats_of("logu", logu)
    return tfp.vi.mutual_information.lower_bound_barber_agakov(logu, entropy, name)


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
    >>> round(float(kml.information.lower_bound_info_nce(scores)), 4)      # log 2
    0.6931

    Reference:
        van den Oord, Li and Vinyals, "Representation learning with contrastive
        predictive coding", 2018; Poole et al. (2019), equation 12.
    """
    with tf.name_scope(name or "lower_bound_info_nce"):
        scores = scores_of(logu, joint_sample_mask, validate_args)
        log_mean = tf.reduce_logsumexp(scores.logu, axis=-1)
        log_mean -= tf.math.log(scores.columns())
        return tf.reduce_mean(scores.joint() - log_mean, axis=-1)


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
    >>> round(float(kml.information.lower_bound_jensen_shannon(scores)), 4)  # -log 4
    -1.3863

    Reference:
        Nowozin, Cseke and Tomioka, "f-GAN", NeurIPS 2016, equations 7 and 8.
    """
    with tf.name_scope(name or "lower_bound_jensen_shannon"):
        scores = scores_of(logu, joint_sample_mask, validate_args)
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
    >>> float(kml.information.lower_bound_nguyen_wainwright_jordan(scores))
    0.0

    Reference:
        Nguyen, Wainwright and Jordan, "Estimating divergence functionals and the
        likelihood ratio by convex risk minimization", 2010; Poole et al. (2019),
        equation 6.
    """
    with tf.name_scope(name or "lower_bound_nguyen_wainwright_jordan"):
        scores = scores_of(logu, joint_sample_mask, validate_args)
        return scores.joint_mean() - _bounded_exp(scores.log_mean_exp_of_others() - 1)


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
    >>> float(kml.information.tuba(scores))
    0.0

    Reference:
        Poole, Ozair, van den Oord, Alemi and Tucker, "On variational bounds of mutual
        information", ICML 2019, equation 5.
    """
    with tf.name_scope(name or "tuba"):
        scores = scores_of(logu, joint_sample_mask, validate_args)
        log_baseline = tf.convert_to_tensor(log_baseline, scores.logu.dtype)
        reduced = scores.logu - log_baseline[..., tf.newaxis]
        joint = tf.reduce_mean(scores.joint() - log_baseline, axis=-1)
        return 1 + joint - _bounded_exp(scores.log_mean_exp_of_others(reduced))


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
    >>> round(float(kml.information.interpolated(scores)), 4) + 0.0
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
        scores = scores_of(logu, joint_sample_mask, validate_args)
        dtype = scores.logu.dtype
        alpha = tf.convert_to_tensor(alpha, dtype)
        log_baseline = tf.convert_to_tensor(log_baseline, dtype)[..., tf.newaxis]
        # Entry j of a row is the mean of its exponentiated scores without entry j.
        log_sums, _ = tfp.stats.log_loosum_exp(scores.logu, axis=-1)
        log_means = log_sums - tf.math.log(scores.columns() - 1)
        from_scores = tf.math.log(alpha) + log_means
        given = tf.broadcast_to(
            tf.math.log1p(-alpha) + log_baseline, tf.shape(from_scores)
        )
        baseline = tf.reduce_logsumexp(tf.stack([from_scores, given]), axis=0)
        joint = scores.mean_of_others(scores.joint()[..., tf.newaxis] - baseline)
        # The baseline of independent pairs must not include the joint sample.
        zeros = tf.zeros_like(baseline)
        own = tf.reduce_sum(tf.where(scores.mask, baseline, zeros), axis=-1)
        reduced = scores.logu - own[..., tf.newaxis]
        return 1 + joint - _bounded_exp(scores.log_mean_exp_of_others(reduced))


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
    >>> float(kml.information.donsker_varadhan(scores))
    2.0

    Reference:
        Donsker and Varadhan, 1983; Belghazi et al., "Mutual information neural
        estimation", ICML 2018, theorem 1.
    """
    with tf.name_scope(name or "donsker_varadhan"):
        scores = scores_of(logu, joint_sample_mask, validate_args)
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
    >>> float(kml.information.mine(scores, average)), float(average)
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
        scores = scores_of(logu, joint_sample_mask, validate_args)
        if scores.logu.shape.rank != 2:
            raise ValueError(
                "Invalid value for argument `logu`. Expected a single matrix of shape "
                f"[N, M]. Received: logu.shape={scores.logu.shape}"
            )
        log_mean = scores.log_mean_exp_of_others()
        now = tf.stop_gradient(log_mean)
        before = tf.convert_to_tensor(log_moving_mean)
        keep = tf.constant(decay, before.dtype)
        moved = tf.reduce_logsumexp(
            tf.stack([before + tf.math.log(keep), now + tf.math.log1p(-keep)])
        )
        average = tf.where(tf.math.is_finite(before), moved, now)
        log_moving_mean.assign(average)
        # The value of this term is 0; its gradient is that of `mean exp f / average`.
        ratio = _bounded_exp(log_mean - average)
        return scores.joint_mean() - now - (ratio - tf.stop_gradient(ratio))


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
    >>> float(kml.information.smile(scores, clip=1.0))
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
        scores = scores_of(logu, joint_sample_mask, validate_args)
        clipped = tf.clip_by_value(scores.logu, -clip, clip)
        return scores.joint_mean() - scores.log_mean_exp_of_others(clipped)


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
    >>> float(kml.information.leave_one_out_upper_bound(log_p))
    2.0

    Reference:
        Poole et al., "On variational bounds of mutual information", ICML 2019,
        equation 13.
    """
    with tf.name_scope(name or "leave_one_out_upper_bound"):
        scores = scores_of(
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
    >>> float(kml.information.club([[-1.0, -3.0], [-3.0, -1.0]]))
    2.0

    Reference:
        Cheng et al., "CLUB: a contrastive log-ratio upper bound of mutual information",
        ICML 2020, equation 9.
    """
    with tf.name_scope(name or "club"):
        scores = scores_of(
            log_conditional, joint_sample_mask, validate_args, "log_conditional"
        )
        return scores.joint_mean() - scores.mean_of_others(scores.logu)


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
    >>> float(kml.information.difference_of_entropies([-1.0, -2.0], [-3.0, -3.0]))
    1.5

    Reference:
        McAllester and Stratos, "Formal limitations on the measurement of mutual
        information", AISTATS 2020, equation 4.
    """
    with tf.name_scope(name or "difference_of_entropies"):
        log_conditional = floats_of("log_conditional", log_conditional)
        log_marginal = tf.convert_to_tensor(log_marginal, log_conditional.dtype)
        if not log_conditional.shape.is_compatible_with(log_marginal.shape):
            raise ValueError(
                "Invalid value for arguments `log_conditional` and `log_marginal`. "
                "Expected equal shapes. "
                f"Received: log_conditional.shape={log_conditional.shape}, "
                f"log_marginal.shape={log_marginal.shape}"
            )
        return tf.reduce_mean(log_conditional - log_marginal, axis=-1)
