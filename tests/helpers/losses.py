"""Table of losses that return one value per example, for tests of all of them.

`reference` computes the values before reduction from the definition of the loss, in
float64 NumPy, for one example at a time.
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


def case(cls, data, reference, *, frozen=None, function=None, **arguments):
    """Returns the case of a loss class and its function with these arguments."""

    def make(**more):
        return cls(**{**arguments, **more})

    if function is not None:
        taken = {k: v for k, v in arguments.items() if k != "learned"}
        function = functools.partial(function, **taken)
    return Case(make, data, reference, frozen, function)


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
    """Computes equation 8 of Barron's paper, for alpha other than 0 and 2."""
    alpha, scale = np.asarray(alpha), np.asarray(scale)

    def values(y_true, y_pred):
        square, b = ((y_true - y_pred) / scale) ** 2, abs(alpha - 2)
        return (b / alpha * ((square / b + 1) ** (alpha / 2) - 1)).mean(axis=-1)

    return values


def hyperbolic(y_true, y_pred):
    """Computes the likelihood at alpha = 1, a hyperbolic distribution."""
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
    """Computes cross-entropy weighted by its logit gradients, `softmax(z) - y`."""

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
CROSS_ENTROPY = kml.losses.SparseCategoricalFocalLoss(
    0.0, from_logits=True, dtype="float64"
)
# For gradients with respect to the parameters of a loss.
TRAINS = kml.losses.LossContext(trains_parameters=True)


def ada_case(alpha, direction, values):
    return case(
        kml.losses.AdaLoss,
        classes,
        values,
        frozen=ada_frozen(values),
        function=kml.losses.ada_loss,
        loss=CROSS_ENTROPY,
        alpha=alpha,
        direction=direction,
    )


CASES = {
    "binary_focal": case(
        kml.losses.BinaryFocalLoss,
        yes_no,
        binary_focal(),
        function=kml.losses.binary_focal_loss,
        from_logits=True,
    ),
    "binary_focal_alpha": case(
        kml.losses.BinaryFocalLoss,
        yes_no,
        binary_focal(0.5, 0.25, 0.1),
        function=kml.losses.binary_focal_loss,
        gamma=0.5,
        alpha=0.25,
        label_smoothing=0.1,
        from_logits=True,
    ),
    "binary_focal_learned": case(
        kml.losses.BinaryFocalLoss,
        yes_no,
        binary_focal(),
        gamma="learned",
        from_logits=True,
    ),
    "categorical_focal": case(
        kml.losses.CategoricalFocalLoss,
        one_hot,
        focal(),
        function=kml.losses.categorical_focal_loss,
        from_logits=True,
    ),
    "categorical_focal_soft": case(
        kml.losses.CategoricalFocalLoss,
        soft,
        focal(0.7, ALPHA, 0.2),
        function=kml.losses.categorical_focal_loss,
        gamma=0.7,
        alpha=ALPHA,
        label_smoothing=0.2,
        from_logits=True,
    ),
    "categorical_focal_probabilities": case(
        kml.losses.CategoricalFocalLoss,
        probabilities,
        focal(from_logits=False),
        function=kml.losses.categorical_focal_loss,
    ),
    "categorical_focal_learned": case(
        kml.losses.CategoricalFocalLoss,
        one_hot,
        focal(),
        gamma="learned",
        from_logits=True,
    ),
    "sparse_focal": case(
        kml.losses.SparseCategoricalFocalLoss,
        classes,
        focal(),
        function=kml.losses.sparse_categorical_focal_loss,
        from_logits=True,
    ),
    "sparse_focal_alpha": case(
        kml.losses.SparseCategoricalFocalLoss,
        classes,
        focal(1.0, ALPHA, 0.1),
        function=kml.losses.sparse_categorical_focal_loss,
        gamma=1.0,
        alpha=ALPHA,
        label_smoothing=0.1,
        from_logits=True,
    ),
    "sparse_focal_learned": case(
        kml.losses.SparseCategoricalFocalLoss,
        classes,
        focal(),
        gamma="learned",
        from_logits=True,
    ),
    "robust": case(
        kml.losses.AdaptiveRobustLoss,
        residuals,
        robust(-2.0, 1.7),
        function=kml.losses.general_robust_loss,
        alpha=-2.0,
        scale=1.7,
        learned=False,
    ),
    "robust_columns": case(
        kml.losses.AdaptiveRobustLoss,
        residuals,
        robust([0.5, 1, -1], [1, 2, 3]),
        function=kml.losses.general_robust_loss,
        alpha=[0.5, 1, -1],
        scale=[1, 2, 3],
        learned=False,
    ),
    "robust_learned": case(
        kml.losses.AdaptiveRobustLoss,
        residuals,
        hyperbolic,
        function=kml.losses.robust_negative_log_likelihood,
        scale=0.5,
    ),
    "ada_norm_hard": ada_case("norm", "hard", ada("norm")),
    "ada_standardized_easy": ada_case(
        "standardized", "easy", ada("standardized", direction=-1.0)
    ),
    "ada_cosine_hard": ada_case("cosine", "hard", ada("cosine")),
    "contrastive": case(
        kml.losses.ContrastiveLoss,
        embeddings,
        by_anchor(contrastive_anchor),
        function=kml.losses.contrastive_loss,
        margin=1.5,
    ),
    "contrastive_pairs": case(
        kml.losses.ContrastiveLoss,
        pairs,
        contrastive_pairs,
        function=kml.losses.contrastive_loss,
    ),
    "triplet_all": case(
        kml.losses.TripletLoss,
        embeddings,
        triplet_anchor("all"),
        function=kml.losses.triplet_loss,
        mining="all",
    ),
    "triplet_hard": case(
        kml.losses.TripletLoss,
        embeddings,
        triplet_anchor("hard"),
        function=kml.losses.triplet_loss,
        mining="hard",
    ),
    "triplet_semi_hard": case(
        kml.losses.TripletLoss,
        embeddings,
        triplet_anchor("semi-hard", 2),
        function=kml.losses.triplet_loss,
        distance="squared",
    ),
    "n_pair": case(
        kml.losses.NPairLoss,
        embeddings,
        by_anchor(n_pair_anchor),
        function=kml.losses.n_pair_loss,
        regularization=0.02,
    ),
    "multi_similarity": case(
        kml.losses.MultiSimilarityLoss,
        embeddings,
        by_anchor(multi_similarity_anchor),
        function=kml.losses.multi_similarity_loss,
        beta=10.0,
        base=0.5,
        epsilon=0.3,
    ),
}
