"""Mutual information of random one-dimensional projections."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_metaloss._utils.checks import check_positive_integer, check_seed
from keras_metaloss.information.samples._validation import (
    as_pair,
    check_neighbors,
    nan_unless_finite,
)
from keras_metaloss.information.samples.ksg import mutual_information_ksg

__all__ = ["sliced_mutual_information"]


def sliced_mutual_information(
    x: Any,
    y: Any,
    num_projections: int = 32,
    n_neighbors: int = 3,
    preprocess: str | None = None,
    seed: int = 0,
    validate_args: bool = False,
    name: str | None = None,
) -> tf.Tensor:
    """Computes the mean mutual information of random projections, in nats.

    `SI(X; Y) = E_{u, v} I(u . X; v . Y)`, where `u` and `v` are uniform on unit
    spheres, and each term is estimated by `mutual_information_ksg`, which standardizes
    the projections and supports rounded and repeated values. Sliced mutual
    information is zero if and only if the variables are independent, and at most
    `I(X; Y)`. The accuracy of the estimate does not degrade with the number of
    dimensions. It is NOT an estimate of `I(X; Y)`.

    Args:
        x: Samples of shape `[N]` or `[N, Dx]`, with a floating-point dtype.
        y: Samples paired with `x`, of shape `[N]` or `[N, Dy]`, with a floating-point
            dtype.
        num_projections: Number of random pairs of directions. Defaults to `32`.
        n_neighbors: Number of neighbors `k` of the KSG estimator. Defaults to `3`.
        preprocess: Preprocessing before the projection: `None`, `"standardize"`
            (standardizes each column) or `"rank"` (replaces each column by its normal
            scores). Defaults to `None`.
        seed: Non-negative integer that determines the directions. Defaults to `0`.
        validate_args: Whether to assert in graph mode that the data are finite. Eager
            mode always checks this. Without the assertion, graph mode returns NaN.
            Defaults to `False`.
        name: Name of the operation. Defaults to `None`, which uses the function name.

    Returns:
        Scalar tensor: float64 if `x` or `y` is float64, otherwise float32. Not
        differentiable.

    Raises:
        TypeError: If `x` or `y` does not have a floating-point dtype.
        ValueError: If a shape or an argument is invalid, if the data are not finite, or
            if `n_neighbors` is not less than `N`.

    Example:

    >>> import numpy as np, keras_metaloss as kml
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(1000, 3))
    >>> noise = rng.normal(size=(1000, 3))
    >>> dependent = kml.information.sliced_mutual_information(x, x + 0.1 * noise)
    >>> independent = kml.information.sliced_mutual_information(x, noise)
    >>> bool(dependent > 0.2), bool(abs(independent) < 0.05)
    (True, True)

    Reference:
        Goldfeld and Greenewald, "Sliced mutual information: a scalable measure of
        statistical dependence", NeurIPS 2021, definition 1.
    """
    num_projections = check_positive_integer("num_projections", num_projections)
    seed = check_seed(seed)
    with tf.name_scope(name or "sliced_mutual_information"):
        x, y = as_pair(x, y, preprocess, validate_args)
        _, x = check_neighbors(n_neighbors, x)

        def projected_information(pair: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            u, v = pair
            return mutual_information_ksg(
                tf.linalg.matvec(x, u),
                tf.linalg.matvec(y, v),
                n_neighbors,
                validate_args=validate_args,
            )

        directions = (
            _directions(num_projections, x, [seed, 0]),
            _directions(num_projections, y, [seed, 1]),
        )
        if tf.executing_eagerly():
            # `tf.map_fn` would convert the estimator with AutoGraph.
            values = [
                projected_information(pair) for pair in zip(*directions, strict=True)
            ]
        else:
            values = tf.map_fn(
                projected_information,
                directions,
                fn_output_signature=x.dtype,
                parallel_iterations=1,
            )
        return nan_unless_finite(tf.reduce_mean(values), x, y)


def _directions(number: int, points: tf.Tensor, seed: list[int]) -> tf.Tensor:
    """Returns random unit vectors, `[number, D]`."""
    shape = [number, points.shape[1]]
    normal = tf.random.stateless_normal(shape, seed, dtype=points.dtype)
    return tf.linalg.l2_normalize(normal, axis=-1)
