"""Traits of losses: a table for Keras losses, attributes for each `MetaLoss`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras

from keras_metaloss.losses._core.meta_loss import MetaLoss, OutputKind
from keras_metaloss.losses._core.standardize import FunctionLoss

__all__ = [
    "KERAS_LOSSES",
    "OUTPUT_KINDS",
    "LossTraits",
    "keras_function",
    "takes_integers",
    "traits_of",
]

#: Meanings of the outputs of a network.
OUTPUT_KINDS = (
    "logits",
    "probabilities",
    "binary_logits",
    "binary_probabilities",
    "value",
)


class LossTraits(NamedTuple):
    """Properties of a loss that models and other losses rely on.

    Attributes:
        per_example: Whether each value depends on one example alone.
        integer_targets: Whether targets are integer labels.
        output_kind: Meaning of the predictions; see `MetaLoss`. `None` if unknown.
        elementwise: Whether targets are compared with predictions element by element,
            so that a target of length one would be broadcast.
        ignores_labels: Whether some labels are ignored, which changes the divisor of
            the mean over a batch.
    """

    per_example: bool = False
    integer_targets: bool = False
    output_kind: OutputKind | None = None
    elementwise: bool = False
    ignores_labels: bool = False


class _KerasLoss(NamedTuple):
    """A Keras loss. `outputs` is "classes", "binary", "value" or `None`."""

    cls: type[keras.losses.Loss]
    outputs: str | None = None
    elementwise: bool = False
    integer_targets: bool = False


# Keras losses whose value for an example depends only on that example, by the function
# that computes them. Other Keras losses (Circle, Dice, Tversky) compare examples.
KERAS_LOSSES: dict[Callable, _KerasLoss] = {
    keras.losses.binary_crossentropy: _KerasLoss(
        keras.losses.BinaryCrossentropy, "binary", elementwise=True
    ),
    keras.losses.binary_focal_crossentropy: _KerasLoss(
        keras.losses.BinaryFocalCrossentropy, "binary"
    ),
    keras.losses.categorical_crossentropy: _KerasLoss(
        keras.losses.CategoricalCrossentropy, "classes"
    ),
    keras.losses.categorical_focal_crossentropy: _KerasLoss(
        keras.losses.CategoricalFocalCrossentropy, "classes"
    ),
    keras.losses.categorical_hinge: _KerasLoss(keras.losses.CategoricalHinge),
    keras.losses.cosine_similarity: _KerasLoss(keras.losses.CosineSimilarity),
    keras.losses.hinge: _KerasLoss(keras.losses.Hinge),
    keras.losses.huber: _KerasLoss(keras.losses.Huber, "value", elementwise=True),
    keras.losses.kl_divergence: _KerasLoss(keras.losses.KLDivergence),
    keras.losses.log_cosh: _KerasLoss(keras.losses.LogCosh, "value", elementwise=True),
    keras.losses.mean_absolute_error: _KerasLoss(
        keras.losses.MeanAbsoluteError, "value", elementwise=True
    ),
    keras.losses.mean_absolute_percentage_error: _KerasLoss(
        keras.losses.MeanAbsolutePercentageError, "value", elementwise=True
    ),
    keras.losses.mean_squared_error: _KerasLoss(
        keras.losses.MeanSquaredError, "value", elementwise=True
    ),
    keras.losses.mean_squared_logarithmic_error: _KerasLoss(
        keras.losses.MeanSquaredLogarithmicError, "value", elementwise=True
    ),
    keras.losses.poisson: _KerasLoss(keras.losses.Poisson, elementwise=True),
    keras.losses.sparse_categorical_crossentropy: _KerasLoss(
        keras.losses.SparseCategoricalCrossentropy, "classes", integer_targets=True
    ),
    keras.losses.squared_hinge: _KerasLoss(keras.losses.SquaredHinge),
}


def keras_function(loss: keras.losses.Loss) -> Callable | None:
    """Returns the Keras function that a loss computes, or `None`.

    Subclasses of Keras losses give `None`, because they may compute something else.
    """
    for function, entry in KERAS_LOSSES.items():
        if type(loss) is entry.cls:
            return function
        # Compared by identity, because not every callable is hashable.
        if isinstance(loss, FunctionLoss) and loss.function is function:
            return function
    return None


def traits_of(loss: keras.losses.Loss) -> LossTraits:
    """Returns the traits of a loss; the defaults for an unknown loss."""
    if isinstance(loss, MetaLoss):
        return LossTraits(loss.per_example, loss.integer_targets, loss.output_kind)
    computed = keras_function(loss)
    for function, entry in KERAS_LOSSES.items():
        if computed is function or isinstance(loss, entry.cls):
            # A subclass keeps the meaning of targets and predictions, but may compare
            # examples.
            return LossTraits(
                per_example=computed is function,
                integer_targets=entry.integer_targets,
                output_kind=_output_kind(entry.outputs, loss),
                elementwise=entry.elementwise,
                ignores_labels=getattr(loss, "ignore_class", None) is not None,
            )
    return LossTraits()


def takes_integers(loss: keras.losses.Loss) -> bool:
    """Returns whether targets reach a loss as integers.

    Keras converts them to floats for other losses, on which a subclass may rely.
    """
    if isinstance(loss, MetaLoss):
        return loss.integer_targets
    return keras_function(loss) is keras.losses.sparse_categorical_crossentropy


def _output_kind(outputs: str | None, loss: Any) -> str | None:
    if outputs in (None, "value"):
        return outputs
    kind = "logits" if getattr(loss, "from_logits", False) else "probabilities"
    return kind if outputs == "classes" else f"binary_{kind}"
