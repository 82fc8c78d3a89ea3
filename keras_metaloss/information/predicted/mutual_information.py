"""Mutual information of two predicted distributions, from their joint entropy."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from keras_metaloss.information.predicted._batch import PredictedBatch
from keras_metaloss.information.predicted._methods import (
    check_options,
    information_and_entropies,
)
from keras_metaloss.information.predicted._options import Options

__all__ = ["InformationTerms", "mutual_information", "mutual_information_terms"]

_PAIR = ("dist_a", "dist_b")


class InformationTerms(NamedTuple):
    """Terms of `I(A;B) = H(A) + H(B) - H(A,B)`, four scalars in nats.

    Attributes:
        mutual_information: `I(A;B)`.
        entropy_a: `H(A)`.
        entropy_b: `H(B)`.
        joint_entropy: `H(A,B)`.

    Example:

    >>> import tensorflow_probability as tfp, keras_metaloss as kml
    >>> coin = tfp.distributions.Bernoulli(probs=[1.0, 0.0])
    >>> terms = kml.information.mutual_information_terms(coin, coin)
    >>> type(terms).__name__, round(float(terms.joint_entropy), 4)
    ('InformationTerms', 0.6931)
    """

    mutual_information: tf.Tensor
    entropy_a: tf.Tensor
    entropy_b: tf.Tensor
    joint_entropy: tf.Tensor


def mutual_information(
    dist_a: Any,
    dist_b: Any,
    method: str = "auto",
    num_points: int = 256,
    bandwidth: float | None = None,
    leave_one_out: bool = False,
    sample_weight: Any = None,
    name: str | None = None,
) -> tf.Tensor:
    """Computes the mutual information of two predicted variables over a batch.

    `I(A;B) = H(A) + H(B) - H(A,B)`, in nats, for the joint distribution
    `p(a, b) = sum_i w_i p_i(a) q_i(b)`. `p_i` and `q_i` are the distributions predicted
    for input i, and w are the normalized weights of the N inputs. `I(A;B)` measures how
    much one variable reveals about the other when the input is unknown. It is
    differentiable in the parameters of both distributions. For a categorical variable A
    of k classes, `0 <= I(A;B) <= I(A;X) <= log k`. For two continuous variables,
    `I(A;B) <= log N`.

    - Two categorical variables: closed form.
    - A continuous scalar variable with any density, and a categorical or continuous
      scalar variable: quadrature. In float32 the error is about 1e-4 with 256 points
      and 1e-5 with 512 points while the grid is fine enough for the components. For
      narrower components an adaptive grid with more points is used, at a cost of
      `100 N^2`; its error is 1e-5 up to N = 600.
    - Vectors, including vectors of classes: pairwise divergences (Kolchinsky and
      Tracey), at a cost of `N^2`. This is an approximation, not a bound. Its error is
      about 0.06 nats for one normal variable.

    The batch is treated as the population, which biases the value upwards for small N
    and narrow predictions. With `leave_one_out=True` the class of each input is decoded
    from the other inputs only, which biases the value downwards.

    Args:
        dist_a: TFP distribution of variable A, batch shape `[N]`: `tfd.Categorical`,
            `OneHotCategorical`, `FiniteDiscrete` or `Bernoulli`, or any distribution of
            scalars or vectors with a density. Use `tfd.Deterministic(value)` for
            networks that predict values without a distribution.
        dist_b: TFP distribution of variable B, batch shape `[N]`, of any kind that
            `dist_a` may be.
        method: One of `"auto"`, `"quadrature"`, `"pairwise_bhattacharyya"` and
            `"pairwise_kl"`. Defaults to `"auto"`, which is pairwise Bhattacharyya
            distances for vectors and quadrature otherwise.
        num_points: Number of quadrature points, at least 16. Defaults to `256`.
        bandwidth: Standard deviation of independent normal noise that is added to
            normal and deterministic distributions. Defaults to `None`, which adds no
            noise to normal distributions and the noise of Silverman's rule,
            `1.06 sd N^(-1/5)`, to deterministic ones.
        leave_one_out: Whether to decode the class of each input from the other inputs
            only. Requires quadrature and a categorical variable. With two categorical
            variables, A is decoded from B, which is not symmetric. The memory is
            `N * k * num_points`. Defaults to `False`.
        sample_weight: Non-negative weights of the inputs, `[N]`; an input of weight 0
            is ignored. Defaults to `None`, equal weights.
        name: Name of the operation. Defaults to `None`, which uses
            `"mutual_information"`.

    Returns:
        A scalar in nats; float64 if a distribution is float64, otherwise float32. It is
        0 for a single input.

    Raises:
        ValueError: If a distribution is not supported, if batch sizes differ, if an
            argument is out of range, or if parameters of a distribution are invalid
            (eager execution only).

    Example:

    >>> import tensorflow_probability as tfp, keras_metaloss as kml
    >>> tfd = tfp.distributions
    >>> a = tfd.Categorical(probs=[[1.0, 0.0], [0.0, 1.0]])
    >>> b = tfd.Normal([-1.0, 1.0], [0.1, 0.1])         # separates the classes
    >>> round(float(kml.information.mutual_information(a, b)), 4)    # log 2
    0.6931
    >>> b = tfd.Normal([0.0, 0.0], [1.0, 1.0])          # independent of A
    >>> abs(round(float(kml.information.mutual_information(a, b)), 4))
    0.0

    Reference:
        Equation 3 of the article, `I(A;B) = H(A) + H(B) - H(A,B)`. Pairs:
        Kolchinsky and Tracey, "Estimating mixture entropy with pairwise distances",
        2017, equation 10. Leave-one-out: Barber and Agakov, "The IM algorithm", 2003.
        Two classes: Ji et al., "Invariant information clustering", 2019, equation 3.
    """
    with tf.name_scope(name or "mutual_information"):
        options = Options(method, num_points, bandwidth, leave_one_out)
        (information,), _ = _compute(dist_a, dist_b, options, sample_weight)
        return information


def mutual_information_terms(
    dist_a: Any,
    dist_b: Any,
    method: str = "auto",
    num_points: int = 256,
    bandwidth: float | None = None,
    leave_one_out: bool = False,
    sample_weight: Any = None,
    name: str | None = None,
) -> InformationTerms:
    """Computes `I(A;B)`, `H(A)`, `H(B)` and `H(A,B) = H(A) + H(B) - I(A;B)`.

    Entropies are those of the mixture over all inputs. For continuous variables they
    are differential entropies.

    Args:
        dist_a: TFP distribution of variable A, batch shape `[N]`: `tfd.Categorical`,
            `OneHotCategorical`, `FiniteDiscrete` or `Bernoulli`, or any distribution of
            scalars or vectors with a density. Use `tfd.Deterministic(value)` for
            networks that predict values without a distribution.
        dist_b: TFP distribution of variable B, batch shape `[N]`, of any kind that
            `dist_a` may be.
        method: One of `"auto"`, `"quadrature"`, `"pairwise_bhattacharyya"` and
            `"pairwise_kl"`. Defaults to `"auto"`, which is pairwise Bhattacharyya
            distances for vectors and quadrature otherwise.
        num_points: Number of quadrature points, at least 16. Defaults to `256`.
        bandwidth: Standard deviation of independent normal noise that is added to
            normal and deterministic distributions. Defaults to `None`, which adds no
            noise to normal distributions and the noise of Silverman's rule,
            `1.06 sd N^(-1/5)`, to deterministic ones.
        leave_one_out: Whether to decode the class of each input from the other inputs
            only. Requires quadrature and a categorical variable. Defaults to `False`.
        sample_weight: Non-negative weights of the inputs, `[N]`; an input of weight 0
            is ignored. Defaults to `None`, equal weights.
        name: Name of the operation. Defaults to `None`, which uses
            `"mutual_information_terms"`.

    Returns:
        `InformationTerms`, four scalars in nats.

    Raises:
        ValueError: If a distribution is not supported, if batch sizes differ, if an
            argument is out of range, or if parameters of a distribution are invalid
            (eager execution only).

    Example:

    >>> import tensorflow_probability as tfp, keras_metaloss as kml
    >>> coin = tfp.distributions.Bernoulli(probs=[0.0, 1.0])
    >>> terms = kml.information.mutual_information_terms(coin, coin)
    >>> [round(float(term), 4) for term in terms]
    [0.6931, 0.6931, 0.6931, 0.6931]
    """
    with tf.name_scope(name or "mutual_information_terms"):
        options = Options(method, num_points, bandwidth, leave_one_out)
        (information,), (a, b) = _compute(
            dist_a, dist_b, options, sample_weight, names=_PAIR
        )
        return InformationTerms(information, a, b, a + b - information)


def _compute(
    dist_a: Any,
    dist_b: Any,
    options: Options,
    sample_weight: Any,
    names: tuple[str, ...] = (),
) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
    """Returns the information of the pair, and the entropies of the named outputs."""
    check_options(options)
    distributions = dict(zip(_PAIR, (dist_a, dist_b), strict=True))
    batch = PredictedBatch.from_distributions(
        distributions, sample_weight, options.bandwidth
    )
    return information_and_entropies(batch, options, [_PAIR], names)
