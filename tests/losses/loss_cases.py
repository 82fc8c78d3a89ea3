"""Every loss of the package that gives a value an example: one row each.

The rows drive `test_loss_matrix.py`. `reference` computes the values before reduction
in float64 NumPy, example by example, from the definition of the loss.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

import keras_metaloss as kml


@dataclasses.dataclass(frozen=True)
class Case:
    """A loss, data that it takes, and what its values should be."""

    make: Callable[..., Any]
    data: Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]
    reference: Callable[[np.ndarray, np.ndarray], np.ndarray]
    #: Whether its values have a time axis when targets and predictions have one.
    timesteps: bool = True
    #: Whether an example's value depends on the other examples of the batch.
    across: bool = False


def case(cls, data, reference, *, timesteps=True, across=False, **arguments):
    def make(**more):
        return cls(**{**arguments, **more})

    return Case(make, data, reference, timesteps, across)


# Data


def classes(random, shape=(6, 4), count=5):
    return random.integers(0, count, shape), random.normal(size=(*shape, count)) * 2


def one_hot(random):
    labels, logits = classes(random)
    return np.eye(5)[labels], logits


def soft(random):
    _, logits = classes(random)
    return random.dirichlet(np.ones(5), size=(6, 4)), logits


def probabilities(random):
    labels, logits = one_hot(random)
    return labels, softmax(logits)


def yes_no(random):
    return random.integers(0, 2, (6, 4, 3)) * 1.0, random.normal(size=(6, 4, 3)) * 2


def residuals(random):
    return random.normal(size=(6, 4, 3)), random.normal(size=(6, 4, 3)) * 3


# Definitions


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def focal(gamma=2.0, alpha=None, smoothing=0.0, from_logits=True):
    def values(y_true, y_pred):
        p = softmax(y_pred) if from_logits else y_pred
        if y_true.ndim < y_pred.ndim:
            y_true = np.eye(y_pred.shape[-1])[y_true.astype(int)]
        y_true = y_true * (1 - smoothing) + smoothing / y_pred.shape[-1]
        weight = 1.0 if alpha is None else np.asarray(alpha)
        return -(weight * y_true * (1 - p) ** gamma * np.log(p)).sum(axis=-1)

    return values


def binary_focal(gamma=2.0, alpha=None, smoothing=0.0):
    def values(y_true, y_pred):
        p = 1 / (1 + np.exp(-y_pred))
        y_true = y_true * (1 - smoothing) + smoothing / 2
        one, zero = (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)
        yes = -one * y_true * (1 - p) ** gamma * np.log(p)
        no = -zero * (1 - y_true) * p**gamma * np.log(1 - p)
        return (yes + no).mean(axis=-1)

    return values


def robust(alpha, scale):
    """Barron's equation 8, where it is not singular."""
    alpha, scale = np.asarray(alpha), np.asarray(scale)

    def values(y_true, y_pred):
        square, b = ((y_true - y_pred) / scale) ** 2, abs(alpha - 2)
        return (b / alpha * ((square / b + 1) ** (alpha / 2) - 1)).mean(axis=-1)

    return values


def hyperbolic(y_true, y_pred):
    """At alpha = 1 the distribution is hyperbolic: Z = 2 e K_1(1)."""
    residual = (y_true - y_pred) / 0.5
    z = 2 * np.e * 0.6019072301972346
    return (np.sqrt(residual**2 + 1) - 1 + np.log(0.5 * z)).mean(axis=-1)


ALPHA = [0.1, 0.2, 0.3, 0.4, 0.5]
LOGITS = {"from_logits": True}
Binary = kml.losses.BinaryFocalLoss
Categorical = kml.losses.CategoricalFocalLoss
Sparse = kml.losses.SparseCategoricalFocalLoss

CASES = {
    "binary_focal": case(Binary, yes_no, binary_focal(), **LOGITS),
    "binary_focal_alpha": case(
        *(Binary, yes_no, binary_focal(0.5, 0.25, 0.1)),
        **(LOGITS | {"gamma": 0.5, "alpha": 0.25, "label_smoothing": 0.1}),
    ),
    "binary_focal_learned": case(
        Binary, yes_no, binary_focal(), gamma="learned", **LOGITS
    ),
    "categorical_focal": case(Categorical, one_hot, focal(), **LOGITS),
    "categorical_focal_soft": case(
        *(Categorical, soft, focal(0.7, ALPHA, 0.2)),
        **(LOGITS | {"gamma": 0.7, "alpha": ALPHA, "label_smoothing": 0.2}),
    ),
    "categorical_focal_probabilities": case(
        Categorical, probabilities, focal(from_logits=False)
    ),
    "categorical_focal_learned": case(
        Categorical, one_hot, focal(), gamma="learned", **LOGITS
    ),
    "sparse_focal": case(Sparse, classes, focal(), **LOGITS),
    "sparse_focal_alpha": case(
        *(Sparse, classes, focal(1.0, ALPHA, 0.1)),
        **(LOGITS | {"gamma": 1.0, "alpha": ALPHA, "label_smoothing": 0.1}),
    ),
    "sparse_focal_learned": case(Sparse, classes, focal(), gamma="learned", **LOGITS),
    "robust": case(
        *(kml.losses.AdaptiveRobustLoss, residuals, robust(-2.0, 1.7)),
        **{"alpha": -2.0, "scale": 1.7, "learned": False},
    ),
    "robust_columns": case(
        *(kml.losses.AdaptiveRobustLoss, residuals, robust([0.5, 1, -1], [1, 2, 3])),
        **{"alpha": [0.5, 1, -1], "scale": [1, 2, 3], "learned": False},
    ),
    "robust_learned": case(
        kml.losses.AdaptiveRobustLoss, residuals, hyperbolic, scale=0.5
    ),
}
