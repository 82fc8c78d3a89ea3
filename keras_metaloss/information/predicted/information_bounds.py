"""Bounds on the mutual information of two predicted variables."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from keras_metaloss.information.predicted._batch import PredictedBatch
from keras_metaloss.information.predicted._methods import (
    check_options,
    information_and_entropies,
)
from keras_metaloss.information.predicted._options import Options
from keras_metaloss.information.predicted._tables import input_information

__all__ = ["InformationBounds", "mutual_information_bounds"]


class InformationBounds(NamedTuple):
    """Estimates of `I(A;B)`, scalars in nats, in ascending order on average.

    Attributes:
        leave_one_out: Leave-one-out estimate of `I(A;B)`.
        in_batch: `I(A;B)` of the empirical distribution of the batch.
        input_information: `I(A;X)`, an upper bound of `in_batch`.

    Example:

    >>> import tensorflow_probability as tfp, keras_metaloss as kml
    >>> coin = tfp.distributions.Bernoulli(probs=[1.0, 0.0])
    >>> bounds = kml.information.mutual_information_bounds(coin, coin)
    >>> type(bounds).__name__, round(float(bounds.in_batch), 4)
    ('InformationBounds', 0.6931)
    """

    leave_one_out: tf.Tensor
    in_batch: tf.Tensor
    input_information: tf.Tensor


def mutual_information_bounds(
    dist_a: Any,
    dist_b: Any,
    num_points: int = 256,
    bandwidth: float | None = None,
    sample_weight: Any = None,
    name: str | None = None,
) -> InformationBounds:
    """Computes the leave-one-out and in-batch estimates of I(A;B), and I(A;X).

    `leave_one_out` underestimates the mutual information of the population on average.
    `in_batch` treats the batch as the population, which overestimates weak dependence.
    `input_information` is `I(A;X) = H(A) - mean_i H(A | x_i)`. It is an upper bound of
    `in_batch` by the data processing inequality: no variable B contains more
    information about A than the input X.

    Args:
        dist_a: TFP distribution of a categorical variable A, batch shape `[N]`:
            `tfd.Categorical`, `OneHotCategorical`, `FiniteDiscrete` or `Bernoulli`.
        dist_b: TFP distribution of a categorical or continuous scalar variable B,
            batch shape `[N]`.
        num_points: Number of quadrature points, at least 16. Defaults to `256`.
        bandwidth: Standard deviation of independent normal noise that is added to
            normal and deterministic distributions. Defaults to `None`, which adds no
            noise to normal distributions and the noise of Silverman's rule,
            `1.06 sd N^(-1/5)`, to deterministic ones.
        sample_weight: Non-negative weights of the inputs, `[N]`. Defaults to `None`,
            equal weights.
        name: Name of the operation. Defaults to `None`, which uses
            `"mutual_information_bounds"`.

    Returns:
        `InformationBounds`, three scalars in nats.

    Raises:
        ValueError: If `dist_a` is not categorical, if a distribution is not supported,
            if batch sizes differ, if an argument is out of range, or if parameters of a
            distribution are invalid (eager execution only).

    Example:

    >>> import tensorflow_probability as tfp, keras_metaloss as kml
    >>> tfd = tfp.distributions
    >>> a = tfd.Bernoulli(probs=[0.1, 0.1, 0.9, 0.9])
    >>> b = tfd.Normal([0.0, 0.1, 1.0, 1.1], 0.3)
    >>> bounds = kml.information.mutual_information_bounds(a, b)
    >>> bool(bounds[0] < bounds[1] < bounds[2])
    True

    Reference:
        Barber and Agakov, "The IM algorithm", 2003; data processing inequality.
    """
    with tf.name_scope(name or "mutual_information_bounds"):
        distributions = {"dist_a": dist_a, "dist_b": dist_b}
        options = check_options(Options(num_points=num_points, bandwidth=bandwidth))
        batch = PredictedBatch.from_distributions(
            distributions, sample_weight, bandwidth
        )
        if not batch.is_categorical("dist_a"):
            raise ValueError(
                "Invalid value for argument `dist_a`. Expected the distribution of a "
                f"categorical variable. Received: dist_a={dist_a!r}"
            )
        pair = ("dist_a", "dist_b")
        (in_batch,), _ = information_and_entropies(batch, options, [pair])
        options = options._replace(leave_one_out=True)
        (leave_one_out,), _ = information_and_entropies(batch, options, [pair])
        probs = batch.cast(batch.probs("dist_a"))
        return InformationBounds(
            leave_one_out, in_batch, input_information(probs, batch.weights)
        )
