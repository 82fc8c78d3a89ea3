"""I(A;B) of two predicted distributions, by the definition of the joint entropy."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from keras_metaloss.information.predicted.engine import Options, Predictions

__all__ = ["InformationTerms", "mutual_information", "mutual_information_terms"]


class InformationTerms(NamedTuple):
    """`I(A;B) = H(A) + H(B) - H(A,B)`, four scalars in nats."""

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
    """Mutual information of two predicted variables over a batch of inputs, in nats.

    `I(A;B) = H(A) + H(B) - H(A,B)` for the joint distribution
    `p(a, b) = sum_i w_i p_i(a) q_i(b)` that N inputs with weights w induce: what a
    prediction of one variable says about the other, without knowing the input. It is
    differentiable in the parameters of both distributions, and for a single class A
    `0 <= I(A;B) <= I(A;X) <= log k`. Two variables with densities are bounded by
    `log N`.

    - Two classes: closed form.
    - A class or a number, and a number with any density: quadrature, exact to about
      1e-4 with 256 points and 1e-5 with 512 in float32 while components are as wide as
      the grid is fine; where they are narrower, more and adaptive points are used
      (at a cost of `100 N^2`), exact to 1e-5 up to N = 600.
    - Vectors, also of classes: pairs of rows (Kolchinsky and Tracey), `N^2`. An
      approximation, not a bound; within about 0.06 nats of the truth for one normal.

    The N inputs are taken for the whole world, which biases the value upwards when N is
    small and predictions are narrow. `leave_one_out=True` asks for the class of each
    row from the other rows only, which is below the truth on average.

    Args:
        dist_a: `tfd.Categorical`, `OneHotCategorical`, `FiniteDiscrete` or `Bernoulli`,
            or a distribution with a density, of numbers or vectors; batch shape `[N]`.
            `tfd.Deterministic(value)` stands for a network that predicts values only.
        dist_b: likewise.
        method: `"auto"`, `"quadrature"`, `"pairwise_bhattacharyya"` or `"pairwise_kl"`.
        num_points: points of the quadrature.
        bandwidth: standard deviation of independent normal noise that is added to
            normal and to value-only predictions. `None` adds none to normal ones, and
            to values the noise of Silverman's rule, `1.06 sd N^(-1/5)`.
        leave_one_out: whether rows are left out of their own decoder; needs a single
            class and a single class or number. Not symmetric in two classes: A is told
            from B. Takes memory `N * k * num_points`.
        sample_weight: weights of the inputs, `[N]`, not below zero; 0 leaves one out.
        name: name of the operation.

    Returns:
        A scalar; float64 if a distribution is, otherwise float32. 0 for one input.

    Raises:
        ValueError: for distributions that do not fit, arguments that are out of range
            and, where values are known, parameters that are.

    Example:

    >>> import tensorflow_probability as tfp, keras_metaloss as kml
    >>> tfd = tfp.distributions
    >>> a = tfd.Categorical(probs=[[1.0, 0.0], [0.0, 1.0]])
    >>> b = tfd.Normal([-1.0, 1.0], [0.1, 0.1])         # tells the classes apart
    >>> round(float(kml.information.mutual_information(a, b)), 4)    # log 2
    0.6931
    >>> b = tfd.Normal([0.0, 0.0], [1.0, 1.0])          # says nothing
    >>> abs(round(float(kml.information.mutual_information(a, b)), 4))
    0.0

    Reference:
        The article's third equation, `I(A;B) = H(A) + H(B) - H(A,B)`. Pairs:
        Kolchinsky and Tracey, "Estimating mixture entropy with pairwise distances",
        2017, equation 10. Leave-one-out: Barber and Agakov, "The IM algorithm", 2003.
        Two classes: Ji et al., "Invariant information clustering", 2019, equation 3.
    """
    with tf.name_scope(name or "mutual_information"):
        options = Options(method, num_points, bandwidth, leave_one_out)
        predictions = _predictions(dist_a, dist_b, sample_weight, options)
        return predictions.information("dist_a", "dist_b")


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
    """`I(A;B)`, `H(A)`, `H(B)` and `H(A,B) = H(A) + H(B) - I(A;B)`.

    Entropies are those of the mixture over all inputs, differential for variables with
    densities.

    Args:
        dist_a: as in `mutual_information`.
        dist_b: likewise.
        method: likewise.
        num_points: likewise.
        bandwidth: likewise.
        leave_one_out: likewise.
        sample_weight: likewise.
        name: name of the operation.

    Returns:
        `InformationTerms`, four scalars in nats.

    Raises:
        ValueError: as `mutual_information`.

    Example:

    >>> import tensorflow_probability as tfp, keras_metaloss as kml
    >>> coin = tfp.distributions.Bernoulli(probs=[0.0, 1.0])
    >>> terms = kml.information.mutual_information_terms(coin, coin)
    >>> [round(float(term), 4) for term in terms]
    [0.6931, 0.6931, 0.6931, 0.6931]
    """
    with tf.name_scope(name or "mutual_information_terms"):
        options = Options(method, num_points, bandwidth, leave_one_out)
        predictions = _predictions(dist_a, dist_b, sample_weight, options)
        pair = ("dist_a", "dist_b")
        (information,), (a, b) = predictions.terms([pair], pair)
        return InformationTerms(information, a, b, a + b - information)


def _predictions(dist_a, dist_b, sample_weight, options):
    distributions = {"dist_a": dist_a, "dist_b": dist_b}
    return Predictions(distributions, sample_weight, options)
