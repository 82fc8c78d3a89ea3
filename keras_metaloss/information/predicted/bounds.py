"""Between which values the information of two predicted variables lies."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from keras_metaloss.information.predicted.engine import Options, Predictions

__all__ = ["InformationBounds", "mutual_information_bounds"]


class InformationBounds(NamedTuple):
    """Three scalars in nats, from pessimistic to optimistic."""

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
    """I(A;B) from other rows, I(A;B) of the batch, and I(A;X), which bounds it.

    `leave_one_out` is below the information of the population on average. `in_batch`
    takes the batch for the population: too high when little depends on anything.
    `input_information`, `I(A;X) = H(A) - mean_i H(A | x_i)`, is never below it: no
    variable B says more about A than the input does.

    Args:
        dist_a: a single class, see `mutual_information`; batch shape `[N]`.
        dist_b: a single class or number.
        num_points: points of the quadrature.
        bandwidth: as in `mutual_information`.
        sample_weight: weights of the inputs, `[N]`.
        name: name of the operation.

    Returns:
        `InformationBounds`, three scalars in nats.

    Raises:
        ValueError: as `mutual_information`, and if A is not a single class.

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
        options = Options(num_points=num_points, bandwidth=bandwidth)
        predictions = Predictions(distributions, sample_weight, options)
        if not predictions.is_class("dist_a"):
            raise ValueError(
                "Invalid value for argument `dist_a`. Expected a single class. "
                f"Received: dist_a={dist_a!r}"
            )
        in_batch = predictions.information("dist_a", "dist_b")
        predictions.options = options._replace(leave_one_out=True)
        return InformationBounds(
            predictions.information("dist_a", "dist_b"),
            in_batch,
            predictions.input_information("dist_a"),
        )
