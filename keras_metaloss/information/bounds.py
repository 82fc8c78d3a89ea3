"""Bounds of mutual information from a matrix of scores.

A score matrix `logu [..., N, M]`, N <= M, holds `logu[i, j] = f(x_i, y_j)`: a critic's
score of every pair. One entry in each row belongs to a pair drawn jointly, by default
the diagonal; the others stand for independent pairs. With the best critic scores are
the log density ratio `log p(y|x) / p(y)`, up to what each docstring says. Values are in
nats and may be averaged over batches. Batch dimensions, unknown sizes, masks of any
batch shape, gradients and XLA all work. Half precision becomes float32.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from keras_metaloss.checks import check_non_negative
from keras_metaloss.information._scores import floats_of, scores_of

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

# Beyond this exponent `exp` goes on as its tangent: scores of an untrained critic then
# give finite values, with gradients whose squares an optimizer can hold in float32.
_LARGEST_EXPONENT = 40.0


def _bounded_exp(x):
    capped = tf.minimum(x, _LARGEST_EXPONENT)
    return tf.exp(capped) * (1 + tf.maximum(x - _LARGEST_EXPONENT, 0))


def lower_bound_barber_agakov(
    logu: Any, entropy: Any, name: str | None = None
) -> tf.Tensor:
    """Lower bound from a decoder, `mean_i log q(x_i | y_i) + H(X)`.

    Args:
        logu: `log q(x_i | y_i)`, `[..., N]`.
        entropy: `H(X)`.
        name: name of the operation.

    Returns:
        `[...]`.

    Raises:
        TypeError: if `logu` is not of a float dtype.

    Example:

    >>> import keras_metaloss as kml
    >>> float(kml.information.lower_bound_barber_agakov([-1.0, -2.0], 2.0))
    0.5

    Reference:
        Barber and Agakov, "The IM algorithm", NeurIPS 2003. From
        `tfp.vi.mutual_information`.
    """
    logu = floats_of("logu", logu)
    return tfp.vi.mutual_information.lower_bound_barber_agakov(logu, entropy, name)


def lower_bound_info_nce(
    logu: Any,
    joint_sample_mask: Any = None,
    validate_args: bool = False,
    name: str | None = None,
) -> tf.Tensor:
    """InfoNCE, `mean_i [f_ii - log mean_j exp f_ij]`: a lower bound, at most `log M`.

    Low variance; of information above `log M` it sees nothing. Adding a constant to a
    row changes nothing. The same value as TFP's function, which fails with an unknown
    number of columns and is wrong for masked batches of matrices.

    Args:
        logu: scores `[..., N, M]`.
        joint_sample_mask: boolean `[..., N, M]` or `[N, M]`, one true in each row;
            default the diagonal.
        validate_args: whether to assert shape and mask in a graph.
        name: name of the operation.

    Returns:
        `[...]`.

    Raises:
        TypeError: if `logu` is not of a float dtype.
        ValueError: if shapes do not fit; run eagerly, on NaN or a wrong mask.

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
    """Lower bound of a Jensen-Shannon divergence: NOT on the scale of information.

    `mean_joint[-softplus(-f)] - mean_others[softplus(f)]`, at most
    `2 JSD(p(x, y), p(x) p(y)) - log 4 <= 0`. Good for training a critic: the best one
    is `f = log p(y|x) / p(y)`, whose information another bound then reads off.

    Args:
        logu: scores `[..., N, M]`.
        joint_sample_mask: as in `lower_bound_info_nce`.
        validate_args: as in `lower_bound_info_nce`.
        name: name of the operation.

    Returns:
        `[...]`.

    Raises:
        TypeError, ValueError: as `lower_bound_info_nce`.

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
    """NWJ, `mean_joint f - mean_others exp(f - 1)`: a lower bound, unbiased.

    The best critic is `1 + log p(y|x) / p(y)`. Variance grows with the exponential of
    the information. Where `log mean exp(f - 1)` exceeds 40 the exponential goes on as
    its tangent, so that a bad critic gives a finite value and gradient.

    Args:
        logu: scores `[..., N, M]`.
        joint_sample_mask: as in `lower_bound_info_nce`.
        validate_args: as in `lower_bound_info_nce`.
        name: name of the operation.

    Returns:
        `[...]`.

    Raises:
        TypeError, ValueError: as `lower_bound_info_nce`.

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
    """TUBA, `1 + mean_joint[f - log a] - mean_others[exp(f) / a]`: a lower bound.

    The best critic is `log p(y|x) / p(y)` plus anything that the baseline takes away
    again. `log_baseline=1` is NWJ.

    Args:
        logu: scores `[..., N, M]`.
        log_baseline: `log a`, a number or one of each row, `[..., N]`; a function of
            what belongs to the row.
        joint_sample_mask: as in `lower_bound_info_nce`.
        validate_args: as in `lower_bound_info_nce`.
        name: name of the operation.

    Returns:
        `[...]`.

    Raises:
        TypeError, ValueError: as `lower_bound_info_nce`.

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
    """`I_alpha`, between TUBA (alpha 0) and InfoNCE (alpha 1): a lower bound.

    TUBA with the baseline `alpha m_i + (1 - alpha) a_i`, where `m_i` is the mean of
    exponentiated scores of row i without the pair at hand. At most
    `log((M - 1) / alpha)`; alpha trades that bias for variance.

    Args:
        logu: scores `[..., N, M]`.
        alpha: from 0 to 1, a number or a scalar tensor (which may be trained).
        log_baseline: `log a`, a number or one of each row, `[..., N]`.
        joint_sample_mask: as in `lower_bound_info_nce`.
        validate_args: as in `lower_bound_info_nce`.
        name: name of the operation.

    Returns:
        `[...]`.

    Raises:
        TypeError, ValueError: as `lower_bound_info_nce`; also if `alpha` is a number
            not from 0 to 1.

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
            "Invalid value for argument `alpha`. Expected a number from 0 to 1. "
            f"Received: alpha={alpha!r}"
        )
    with tf.name_scope(name or "interpolated"):
        scores = scores_of(logu, joint_sample_mask, validate_args)
        dtype = scores.logu.dtype
        alpha = tf.convert_to_tensor(alpha, dtype)
        log_baseline = tf.convert_to_tensor(log_baseline, dtype)[..., tf.newaxis]
        # Entry j of a row: the row's mean of exponentiated scores without entry j.
        log_sums, _ = tfp.stats.log_loosum_exp(scores.logu, axis=-1)
        log_means = log_sums - tf.math.log(scores.columns() - 1)
        from_scores = tf.math.log(alpha) + log_means
        given = tf.broadcast_to(
            tf.math.log1p(-alpha) + log_baseline, tf.shape(from_scores)
        )
        baseline = tf.reduce_logsumexp(tf.stack([from_scores, given]), axis=0)
        joint = scores.mean_of_others(scores.joint()[..., tf.newaxis] - baseline)
        # Independent pairs must not meet the joint sample in their baseline.
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
    """Donsker-Varadhan, `mean_joint f - log mean_others exp f`.

    A lower bound in the limit; of a finite batch it comes out too high on average, for
    the logarithm is concave. The best critic is `log p(y|x) / p(y)` plus a constant.
    For training, `mine` takes the bias out of its gradient.

    Args:
        logu: scores `[..., N, M]`.
        joint_sample_mask: as in `lower_bound_info_nce`.
        validate_args: as in `lower_bound_info_nce`.
        name: name of the operation.

    Returns:
        `[...]`.

    Raises:
        TypeError, ValueError: as `lower_bound_info_nce`.

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
    """MINE: the value of `donsker_varadhan` with a gradient of less bias.

    The gradient of `log mean exp f` is divided by a moving average of `mean exp f` in
    place of the batch's own. Each call updates the average; call it in training only.

    Args:
        logu: scores `[N, M]`.
        log_moving_mean: scalar variable that keeps the logarithm of the average. Start
            it at `-inf`: the first batch then sets it.
        decay: of the moving average, from 0 to below 1.
        joint_sample_mask: as in `lower_bound_info_nce`.
        validate_args: as in `lower_bound_info_nce`.
        name: name of the operation.

    Returns:
        Scalar.

    Raises:
        TypeError, ValueError: as `lower_bound_info_nce`; also if `logu` is a batch of
            matrices or `decay` is out of range.

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
            "Invalid value for argument `decay`. Expected a number from 0 to below 1. "
            f"Received: decay={decay!r}"
        )
    with tf.name_scope(name or "mine"):
        scores = scores_of(logu, joint_sample_mask, validate_args)
        if scores.logu.shape.rank != 2:
            raise ValueError(
                "Expected argument `logu` to be one matrix, for there is one moving "
                f"average. Received: logu.shape={scores.logu.shape}"
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
        # Worth 0, with the gradient of mean exp f / average.
        ratio = _bounded_exp(log_mean - average)
        return scores.joint_mean() - now - (ratio - tf.stop_gradient(ratio))


def smile(
    logu: Any,
    clip: float = 5.0,
    joint_sample_mask: Any = None,
    validate_args: bool = False,
    name: str | None = None,
) -> tf.Tensor:
    """SMILE, `mean_joint f - log mean_others exp(clip(f, -clip, clip))`.

    Less variance than Donsker-Varadhan for more bias. It is NOT a bound: with
    the best critic and `clip=1` it gives 2.4 where the truth is 2. Clipped scores get
    no gradient, so its authors train the critic by `lower_bound_jensen_shannon` and
    read the information off here; so does `MutualInformationEstimator`.

    Args:
        logu: scores `[..., N, M]`.
        clip: positive number; infinity is Donsker-Varadhan.
        joint_sample_mask: as in `lower_bound_info_nce`.
        validate_args: as in `lower_bound_info_nce`.
        name: name of the operation.

    Returns:
        `[...]`.

    Raises:
        TypeError, ValueError: as `lower_bound_info_nce`; also if `clip` is not
            positive.

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
    """Upper bound from a known conditional, `mean_i[l_ii - log mean_{j!=i} exp l_ij]`.

    An upper bound in expectation if `log_conditional` is the true one; from a fitted
    one it is an estimate.

    Args:
        log_conditional: `l_ij = log p(y_i | x_j)`, `[..., N, M]`.
        joint_sample_mask: as in `lower_bound_info_nce`.
        validate_args: as in `lower_bound_info_nce`.
        name: name of the operation.

    Returns:
        `[...]`.

    Raises:
        TypeError, ValueError: as `lower_bound_info_nce`.

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
    """CLUB, `mean_i l_ii - mean_{i!=j} l_ij`: an upper bound for a known conditional.

    Loose: twice the truth and more for Gaussians. The mean is over pairs of different
    samples only, which makes it unbiased; the paper's sum takes in the joint pairs.

    Args:
        log_conditional: `l_ij = log p(y_i | x_j)`, `[..., N, M]`.
        joint_sample_mask: as in `lower_bound_info_nce`.
        validate_args: as in `lower_bound_info_nce`.
        name: name of the operation.

    Returns:
        `[...]`.

    Raises:
        TypeError, ValueError: as `lower_bound_info_nce`.

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
    """`mean_i log q(y_i | x_i) - mean_i log r(y_i)`: two cross entropies apart.

    Each cross entropy is an upper bound of its entropy, so the difference is neither a
    lower nor an upper bound; it has no limit of `log N` and little variance.

    Args:
        log_conditional: `log q(y_i | x_i)` of a fitted model, `[..., N]`.
        log_marginal: `log r(y_i)` of another fitted model, `[..., N]`.
        name: name of the operation.

    Returns:
        `[...]`.

    Raises:
        TypeError: if `log_conditional` is not of a float dtype.
        ValueError: if shapes differ.

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
                "Expected arguments `log_conditional` and `log_marginal` of one shape. "
                f"Received: log_conditional.shape={log_conditional.shape}, "
                f"log_marginal.shape={log_marginal.shape}"
            )
        return tf.reduce_mean(log_conditional - log_marginal, axis=-1)
