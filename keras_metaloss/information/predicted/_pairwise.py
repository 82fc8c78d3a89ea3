"""Mutual information from pairwise divergences, for distributions of any dimension.

The entropy of a mixture is approximated by
`sum_i w_i H_i - sum_i w_i log sum_j w_j exp(-D_ij)` (Kolchinsky and Tracey, 2017).
The first term cancels in `H(A) + H(B) - H(A,B)`. The divergence of the pair (A, B) is
the sum of the divergences of A and B.
"""

from __future__ import annotations

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from keras_metaloss._utils.dtypes import cast_wide
from keras_metaloss.information._core.linalg import half_log_det
from keras_metaloss.information.predicted._outputs import Output
from keras_metaloss.information.predicted._tables import table_entropy

__all__ = ["class_information", "divergences", "mixture_entropy", "vector_information"]

_CATEGORICAL = (tfd.Categorical, tfd.OneHotCategorical)
_SMALLEST_SCALE = 1e-9


def divergences(name: str, output: Output, kind: str) -> tf.Tensor:
    """Computes the divergences between all pairs of rows, `[N, N]`.

    Args:
        name: Name of the argument, for error messages.
        output: The predicted variable.
        kind: `"kl"`, divergence of row i from row j, or `"bhattacharyya"`.

    Raises:
        ValueError: If the divergence has no closed form.
    """
    distribution = output.distribution
    if kind == "bhattacharyya":
        result = _bhattacharyya(distribution)
        if result is not None:
            return result
    elif _has_normal_components(distribution):
        return _normal_kl(distribution)
    try:
        return cast_wide(
            tfd.kl_divergence(distribution[:, tf.newaxis], distribution[tf.newaxis])
        )
    except NotImplementedError as error:
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected a distribution whose "
            "divergence has a closed form in `tensorflow_probability`, such as a "
            f"normal distribution. Received: {name}={distribution!r}"
        ) from error


def class_information(
    probs: tf.Tensor, divergence: tf.Tensor, weights: tf.Tensor
) -> tf.Tensor:
    """Computes I(A;B) of a categorical variable A and any variable B.

    `H(A) + sum_i w_i sum_a p_i(a) log r_i(a)`, where `r_i` is the mean of the class
    probabilities of all rows j with weights `w_j exp(-D_ij)`.
    """
    decoder = tf.matmul(_affinity(divergence, weights), probs)
    # `<= 0` is false for NaN, which therefore propagates.
    logs = tf.math.log(tf.where(decoder <= 0, tf.ones_like(decoder), decoder))
    per_input = tf.reduce_sum(probs * logs, axis=1)
    return table_entropy(probs, weights) + tf.reduce_sum(weights * per_input)


def vector_information(
    divergence_a: tf.Tensor, divergence_b: tf.Tensor, weights: tf.Tensor
) -> tf.Tensor:
    """Computes `I(A;B) = H(A) + H(B) - H(A,B)` from pairwise divergences."""
    parts = [
        -tf.reduce_sum(weights * _log_affinity(divergence, weights))
        for divergence in (divergence_a, divergence_b, divergence_a + divergence_b)
    ]
    return parts[0] + parts[1] - parts[2]


def mixture_entropy(
    output: Output, divergence: tf.Tensor, weights: tf.Tensor
) -> tf.Tensor:
    """Computes the entropy of the mixture of all rows, a scalar."""
    rows = cast_wide(output.distribution.entropy())
    between = -_log_affinity(divergence, weights)
    return tf.reduce_sum(weights * (rows + between))


def _affinity(divergence: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    return tf.nn.softmax(_log_weights(weights) - divergence, axis=1)


def _log_affinity(divergence: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    return tf.reduce_logsumexp(_log_weights(weights) - divergence, axis=1)


def _log_weights(weights: tf.Tensor) -> tf.Tensor:
    """Computes log weights; a weight of 0 gives a large finite negative value."""
    return tf.math.log(tf.maximum(weights, 1e-30))


def _bhattacharyya(distribution: tfd.Distribution) -> tf.Tensor | None:
    """Computes `-log integral sqrt(p q)`, or `None` without a closed form."""
    if _has_normal_components(distribution):
        return _normal_bhattacharyya(distribution)
    if isinstance(distribution, tfd.MultivariateNormalTriL):
        return _multivariate_bhattacharyya(distribution)
    inner = distribution
    if isinstance(distribution, tfd.Independent):
        inner = distribution.distribution
    if isinstance(inner, tfd.Bernoulli):
        probs = inner.probs_parameter()
        return _categorical_bhattacharyya(tf.stack([1 - probs, probs], axis=-1))
    if isinstance(inner, _CATEGORICAL):
        return _categorical_bhattacharyya(inner.probs_parameter())
    return None


def _has_normal_components(distribution: tfd.Distribution) -> bool:
    """Returns whether the distribution is normal with independent components."""
    if isinstance(distribution, tfd.Independent):
        return isinstance(distribution.distribution, tfd.Normal)
    return isinstance(distribution, (tfd.Normal, tfd.MultivariateNormalDiag))


def _normal_kl(distribution: tfd.Distribution) -> tf.Tensor:
    """Computes KL divergences of normal distributions, `[N, N]`."""
    loc, scale = _loc_and_scale(distribution)
    difference = (loc[:, tf.newaxis] - loc) / scale
    log_ratio = tf.math.log(scale[:, tf.newaxis]) - tf.math.log(scale)
    variances = tf.math.expm1(2 * log_ratio) - 2 * log_ratio
    return 0.5 * tf.reduce_sum(tf.square(difference) + variances, axis=-1)


def _loc_and_scale(distribution: tfd.Distribution) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns loc and scale, `[N, D]`, rescaled by the range of the batch.

    The rescaling keeps squares within the range of the dtype.
    """
    loc, scale = cast_wide(distribution.mean()), cast_wide(distribution.stddev())
    loc, scale = (tf.reshape(x, [tf.shape(x)[0], -1]) for x in (loc, scale))
    unit = tf.reduce_max(loc, axis=0) - tf.reduce_min(loc, axis=0)
    unit = tf.stop_gradient(tf.maximum(unit, tf.reduce_max(scale, axis=0)))
    return (loc - loc[:1]) / unit, tf.maximum(scale / unit, _SMALLEST_SCALE)


def _normal_bhattacharyya(distribution: tfd.Distribution) -> tf.Tensor:
    """Computes distances of normal distributions with independent components."""
    loc, scale = _loc_and_scale(distribution)
    difference = loc[:, tf.newaxis] - loc
    pooled = tf.sqrt(tf.square(scale[:, tf.newaxis]) + tf.square(scale))
    ratio = scale[:, tf.newaxis] / scale
    spread = 0.5 * tf.math.log(0.5 * (ratio + 1 / ratio))
    return tf.reduce_sum(0.25 * tf.square(difference / pooled) + spread, axis=-1)


def _multivariate_bhattacharyya(distribution: tfd.Distribution) -> tf.Tensor:
    """Computes distances of normal distributions with full covariances."""
    loc, covariance = cast_wide(distribution.loc), cast_wide(distribution.covariance())
    mean = tf.linalg.cholesky((covariance[:, tf.newaxis] + covariance) / 2)
    log_dets = half_log_det(tf.linalg.cholesky(covariance))
    difference = (loc[:, tf.newaxis] - loc)[..., tf.newaxis]
    solved = tf.linalg.triangular_solve(mean, difference)[..., 0]
    distance = tf.reduce_sum(tf.square(solved), axis=-1) / 8
    return distance + half_log_det(mean) - (log_dets[:, tf.newaxis] + log_dets) / 2


def _categorical_bhattacharyya(probs: tf.Tensor) -> tf.Tensor:
    """Computes distances of independent classes from probabilities `[N, ..., k]`."""
    probs = cast_wide(probs)
    # The square root has no derivative at 0.
    roots = tf.sqrt(tf.maximum(probs, 1e-12))
    roots = tf.reshape(roots, [tf.shape(roots)[0], -1, roots.shape[-1]])
    overlap = tf.einsum("ida,jda->dij", roots, roots)
    return -tf.reduce_sum(tf.math.log(tf.clip_by_value(overlap, 1e-12, 1.0)), axis=0)
