"""Cases of `test_loss_matrix.py`: all losses that return one value per example.

`reference` computes the values before reduction from the definition of the loss, in
float64 NumPy, example by example.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

import keras_metaloss as kml


@dataclasses.dataclass(frozen=True)
class Case:
    """A loss, its test data and the reference of its values."""

    make: Callable[..., Any]
    data: Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]
    reference: Callable[[np.ndarray, np.ndarray], np.ndarray]
    #: For a loss with factors that are treated as constants: the function of the
    #: predictions that has the same gradient.
    frozen: Callable | None = None
    #: The function that returns the same values.
    function: Callable | None = None


def case(cls, data, reference, frozen=None, function=None, **arguments):
    def make(**more):
        return cls(**{**arguments, **more})

    if function is not None:
        taken = {k: v for k, v in arguments.items() if k != "learned"}
        function = functools.partial(function, **taken)
    return Case(make, data, reference, frozen, function)


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


def embeddings(random):
    """Returns examples of three classes, one of which has a single example."""
    return np.array([0, 1, 0, 1, 1, 2, 0, 1]), random.normal(size=(8, 3))


def pairs(random):
    return random.integers(0, 2, 6), random.normal(size=(6, 2, 3)) * 0.4


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
    """Equation 8 of Barron's paper, for alpha other than 0 and 2."""
    alpha, scale = np.asarray(alpha), np.asarray(scale)

    def values(y_true, y_pred):
        square, b = ((y_true - y_pred) / scale) ** 2, abs(alpha - 2)
        return (b / alpha * ((square / b + 1) ** (alpha / 2) - 1)).mean(axis=-1)

    return values


def hyperbolic(y_true, y_pred):
    """Likelihood at alpha = 1, a hyperbolic distribution with Z = 2 e K_1(1)."""
    residual = (y_true - y_pred) / 0.5
    z = 2 * np.e * 0.6019072301972346
    return (np.sqrt(residual**2 + 1) - 1 + np.log(0.5 * z)).mean(axis=-1)


def cross_entropy(y_true, y_pred):
    y_true = np.eye(y_pred.shape[-1])[y_true]
    return -(y_true * np.log(softmax(y_pred))).sum(axis=-1)


def ada_frozen(values):
    """Returns the loss with weights held constant."""

    def function(y_true, y_pred):
        weight = values(y_true, y_pred) / cross_entropy(y_true, y_pred)
        return lambda z: (weight * cross_entropy(y_true, z)).mean()

    return function


def ada(alpha, direction=1.0):
    """Cross-entropy weighted by the gradient by the logits, `softmax(z) - y`."""

    def values(y_true, y_pred):
        loss = cross_entropy(y_true, y_pred)
        y_true = np.eye(y_pred.shape[-1])[y_true]
        gradient = softmax(y_pred) - y_true
        norms = np.linalg.norm(gradient, axis=-1)
        mean = gradient.reshape(-1, gradient.shape[-1]).mean(axis=0)
        alphas = {
            "norm": norms,
            "standardized": (norms - norms.mean()) / norms.std(),
            "cosine": gradient @ mean / norms / np.linalg.norm(mean),
        }
        return loss / (1 + np.exp(-direction * alphas[alpha]))

    return values


def by_anchor(function):
    """Returns anchor losses of `function(vectors, anchor, positives, negatives)`."""

    def values(labels, vectors):
        every = np.arange(len(labels))
        return np.array(
            [
                function(
                    vectors,
                    i,
                    every[(labels == labels[i]) & (every != i)],
                    every[labels != labels[i]],
                )
                for i in every
            ]
        )

    return values


def contrastive_anchor(vectors, i, positives, negatives):
    near = [((vectors[i] - vectors[p]) ** 2).sum() / 2 for p in positives]
    far = [
        max(1.5 - np.linalg.norm(vectors[i] - vectors[n]), 0) ** 2 / 2
        for n in negatives
    ]
    return np.mean(near + far)


def contrastive_pairs(y_true, y_pred):
    apart = np.linalg.norm(y_pred[:, 0] - y_pred[:, 1], axis=-1)
    return np.where(y_true == 1, apart**2, np.maximum(1 - apart, 0) ** 2) / 2


def triplet_anchor(mining, power=1):
    def value(vectors, i, positives, negatives):
        if not len(positives) or not len(negatives):
            return 0.0
        apart = np.linalg.norm(vectors - vectors[i], axis=1) ** power
        if mining == "hard":
            return max(apart[positives].max() - apart[negatives].min() + 1, 0)
        losses = []
        for p in positives:
            chosen = negatives
            if mining == "semi-hard":
                farther = [n for n in negatives if apart[n] > apart[p]]
                nearest = min(farther, key=lambda n: apart[n], default=None)
                farthest = max(negatives, key=lambda n: apart[n])
                chosen = [farthest if nearest is None else nearest]
            losses += [max(apart[p] - apart[n] + 1, 0) for n in chosen]
        return np.mean(losses)

    return by_anchor(value)


def n_pair_anchor(vectors, i, positives, negatives):
    product = vectors @ vectors[i]
    terms = [
        np.log(1 + np.exp(product[negatives] - product[p]).sum()) for p in positives
    ]
    return (np.mean(terms) if terms else 0.0) + 0.02 * product[i]


def multi_similarity_anchor(vectors, i, positives, negatives):
    if not len(positives) or not len(negatives):
        return 0.0
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    s = unit @ unit[i]
    kept_p = [p for p in positives if s[p] < s[negatives].max() + 0.3]
    kept_n = [n for n in negatives if s[n] > s[positives].min() - 0.3]
    pull = np.log(1 + np.exp(-2 * (s[kept_p] - 0.5)).sum()) / 2
    return pull + np.log(1 + np.exp(10 * (s[kept_n] - 0.5)).sum()) / 10


ALPHA = [0.1, 0.2, 0.3, 0.4, 0.5]
LOGITS = {"from_logits": True}
AdaLoss = kml.losses.AdaLoss
CROSS_ENTROPY = kml.losses.SparseCategoricalFocalLoss(
    0.0, from_logits=True, dtype="float64"
)
Triplet = functools.partial(case, kml.losses.TripletLoss, embeddings)
Binary = functools.partial(case, kml.losses.BinaryFocalLoss, yes_no)
Categorical = functools.partial(case, kml.losses.CategoricalFocalLoss)
Sparse = functools.partial(case, kml.losses.SparseCategoricalFocalLoss, classes)

LOSSES = kml.losses

CASES = {
    "binary_focal": Binary(binary_focal(), function=LOSSES.binary_focal_loss, **LOGITS),
    "binary_focal_alpha": Binary(
        binary_focal(0.5, 0.25, 0.1),
        function=LOSSES.binary_focal_loss,
        **(LOGITS | {"gamma": 0.5, "alpha": 0.25, "label_smoothing": 0.1}),
    ),
    "binary_focal_learned": Binary(binary_focal(), gamma="learned", **LOGITS),
    "categorical_focal": Categorical(
        one_hot, focal(), function=LOSSES.categorical_focal_loss, **LOGITS
    ),
    "categorical_focal_soft": Categorical(
        soft,
        focal(0.7, ALPHA, 0.2),
        function=LOSSES.categorical_focal_loss,
        **(LOGITS | {"gamma": 0.7, "alpha": ALPHA, "label_smoothing": 0.2}),
    ),
    "categorical_focal_probabilities": Categorical(
        probabilities,
        focal(from_logits=False),
        function=LOSSES.categorical_focal_loss,
    ),
    "categorical_focal_learned": Categorical(
        one_hot, focal(), gamma="learned", **LOGITS
    ),
    "sparse_focal": Sparse(
        focal(), function=LOSSES.sparse_categorical_focal_loss, **LOGITS
    ),
    "sparse_focal_alpha": Sparse(
        focal(1.0, ALPHA, 0.1),
        function=LOSSES.sparse_categorical_focal_loss,
        **(LOGITS | {"gamma": 1.0, "alpha": ALPHA, "label_smoothing": 0.1}),
    ),
    "sparse_focal_learned": Sparse(focal(), gamma="learned", **LOGITS),
    "robust": case(
        *(LOSSES.AdaptiveRobustLoss, residuals, robust(-2.0, 1.7)),
        function=LOSSES.general_robust_loss,
        **{"alpha": -2.0, "scale": 1.7, "learned": False},
    ),
    "robust_columns": case(
        *(LOSSES.AdaptiveRobustLoss, residuals, robust([0.5, 1, -1], [1, 2, 3])),
        function=LOSSES.general_robust_loss,
        **{"alpha": [0.5, 1, -1], "scale": [1, 2, 3], "learned": False},
    ),
    "robust_learned": case(
        *(LOSSES.AdaptiveRobustLoss, residuals, hyperbolic),
        function=LOSSES.robust_negative_log_likelihood,
        scale=0.5,
    ),
    **{
        f"ada_{alpha}_{direction}": case(
            *(AdaLoss, classes, values, ada_frozen(values)),
            function=LOSSES.ada_loss,
            **{"loss": CROSS_ENTROPY, "alpha": alpha, "direction": direction},
        )
        for alpha, direction, values in (
            ("norm", "hard", ada("norm")),
            ("standardized", "easy", ada("standardized", -1.0)),
            ("cosine", "hard", ada("cosine")),
        )
    },
    "contrastive": case(
        *(LOSSES.ContrastiveLoss, embeddings, by_anchor(contrastive_anchor)),
        function=LOSSES.contrastive_loss,
        margin=1.5,
    ),
    "contrastive_pairs": case(
        *(LOSSES.ContrastiveLoss, pairs, contrastive_pairs),
        function=LOSSES.contrastive_loss,
    ),
    "triplet_all": Triplet(
        triplet_anchor("all"), function=LOSSES.triplet_loss, mining="all"
    ),
    "triplet_hard": Triplet(
        triplet_anchor("hard"), function=LOSSES.triplet_loss, mining="hard"
    ),
    "triplet_semi_hard": Triplet(
        triplet_anchor("semi-hard", 2),
        function=LOSSES.triplet_loss,
        distance="squared",
    ),
    "n_pair": case(
        *(LOSSES.NPairLoss, embeddings, by_anchor(n_pair_anchor)),
        function=LOSSES.n_pair_loss,
        regularization=0.02,
    ),
    "multi_similarity": case(
        *(LOSSES.MultiSimilarityLoss, embeddings),
        by_anchor(multi_similarity_anchor),
        function=LOSSES.multi_similarity_loss,
        **{"beta": 10.0, "base": 0.5, "epsilon": 0.3},
    ),
}
