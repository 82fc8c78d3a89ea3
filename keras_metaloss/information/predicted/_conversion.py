"""Conversion of TFP distributions to predicted outputs."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from keras_metaloss._utils.dtypes import cast_wide
from keras_metaloss.information.predicted._checks import check_finite, check_rows
from keras_metaloss.information.predicted._components import is_mixture
from keras_metaloss.information.predicted._kernel_noise import add_kernel_noise
from keras_metaloss.information.predicted._outputs import (
    CategoricalOutput,
    Output,
    VectorOutput,
)
from keras_metaloss.information.predicted._scalar_outputs import (
    event_bijector,
    scalar_output,
)

__all__ = ["as_output"]

_CATEGORICAL_FAMILIES = (tfd.Categorical, tfd.OneHotCategorical, tfd.FiniteDiscrete)
_MULTIVARIATE_NORMAL_FAMILIES = (
    tfd.MultivariateNormalDiag,
    tfd.MultivariateNormalTriL,
    tfd.MultivariateNormalFullCovariance,
)


def as_output(name: str, distribution: Any, bandwidth: float | None = None) -> Output:
    """Converts a distribution to the output of its kind of variable.

    Args:
        name: Name of the argument, for error messages.
        distribution: A TFP distribution with batch shape `[N]`.
        bandwidth: Standard deviation of normal noise to add, or `None`.

    Raises:
        ValueError: If the distribution is not supported or its parameters are out of
            range.
    """
    if not isinstance(distribution, tfd.Distribution):
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected a distribution of "
            f"`tensorflow_probability`. Received: {name}={distribution!r}"
        )
    distribution = _without_unit_axes(distribution)
    check_rows(name, distribution)
    check_finite(name, distribution)
    if isinstance(distribution, tfd.Bernoulli):
        probs = cast_wide(distribution.probs_parameter())
        return CategoricalOutput(tf.stack([1 - probs, probs], axis=-1), distribution)
    if isinstance(distribution, _CATEGORICAL_FAMILIES):
        return CategoricalOutput(
            cast_wide(distribution.probs_parameter()), distribution
        )
    distribution = add_kernel_noise(name, distribution, bandwidth)
    if distribution.event_shape.rank == 0:
        _check_precision(name, distribution)
        if not distribution.dtype.is_floating or _is_discrete(distribution):
            raise ValueError(
                f"Invalid value for argument `{name}`. Expected a distribution over "
                "finitely many classes, or a distribution with a density. Received: "
                f"{name}={distribution!r}"
            )
        return scalar_output(distribution)
    return VectorOutput(distribution)


def _check_precision(name: str, distribution: tfd.Distribution) -> None:
    if distribution.dtype in (tf.float16, tf.bfloat16) and not isinstance(
        distribution, tfd.Normal
    ):
        raise ValueError(
            f"Invalid value for argument `{name}`. Expected a distribution of dtype "
            f"float32 or float64. Received: {name}={distribution!r}"
        )


def _without_unit_axes(distribution: tfd.Distribution) -> tfd.Distribution:
    """Removes axes of length one from batch and event shapes.

    Outputs of `Dense(1)` give batch shapes `[N, 1]` or events of length one, including
    deterministic vectors of length one and `Independent` distributions of one class.
    """
    if distribution.batch_shape.rank == 2 and distribution.batch_shape[1] == 1:
        return _without_unit_axes(distribution[:, 0])
    if distribution.event_shape != [1]:
        return distribution
    if isinstance(distribution, tfd.VectorDeterministic):
        return tfd.Deterministic(distribution.loc[..., 0])
    if isinstance(distribution, _MULTIVARIATE_NORMAL_FAMILIES):
        return tfd.Normal(distribution.loc[..., 0], distribution.stddev()[..., 0])
    if isinstance(distribution, tfd.Independent):
        inner = distribution.distribution
        if inner.event_shape.rank == 0 and inner.batch_shape.rank == 2:
            return inner[:, 0]
    return distribution


def _is_discrete(distribution: tfd.Distribution) -> bool:
    bijector = event_bijector(distribution)
    return bijector is None and not is_mixture(distribution)
