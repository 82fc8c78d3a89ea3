"""Conversion of network outputs to predicted distributions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_metaloss.losses.ada_loss import AdaLoss
from keras_metaloss.losses.class_number_loss import ClassNumbers
from keras_metaloss.losses.focal import (
    BinaryFocalLoss,
    CategoricalFocalLoss,
    SparseCategoricalFocalLoss,
)
from keras_metaloss.losses.negative_log_likelihood import NegativeLogLikelihood
from keras_metaloss.losses.robust import AdaptiveRobustLoss
from keras_metaloss.per_example import class_of

__all__ = ["HEADS", "Head", "head_for_loss", "is_class_index_loss", "predicted"]

tfd = tfp.distributions

#: A name of `HEADS`, or a function from outputs to a TFP distribution.
Head = str | Callable[[tf.Tensor], tfd.Distribution]

HEADS = (
    "logits",
    "probabilities",
    "binary_logits",
    "binary_probabilities",
    "value",
)

_CLASSES = (
    keras.losses.SparseCategoricalCrossentropy,
    keras.losses.CategoricalCrossentropy,
    keras.losses.CategoricalFocalCrossentropy,
    CategoricalFocalLoss,
    SparseCategoricalFocalLoss,
)
_BINARY = (
    keras.losses.BinaryCrossentropy,
    keras.losses.BinaryFocalCrossentropy,
    BinaryFocalLoss,
)
_VALUES = (
    keras.losses.MeanSquaredError,
    keras.losses.MeanAbsoluteError,
    keras.losses.MeanAbsolutePercentageError,
    keras.losses.MeanSquaredLogarithmicError,
    keras.losses.Huber,
    keras.losses.LogCosh,
    AdaptiveRobustLoss,
)


def head_for_loss(task: str, loss: keras.losses.Loss) -> Head:
    """Returns the kind of output that `loss` expects as predictions.

    Raises:
        ValueError: if the kind of output cannot be inferred from the loss.
    """
    if isinstance(loss, NegativeLogLikelihood):
        return loss.distribution
    logits = "logits" if getattr(loss, "from_logits", False) else "probabilities"
    kind = class_of(loss)
    if issubclass(kind, _CLASSES):
        return logits
    if issubclass(kind, _BINARY):
        return f"binary_{logits}"
    if issubclass(kind, _VALUES):
        return "value"
    raise ValueError(
        f"Invalid value for argument `heads`. Expected an entry for task {task!r}, "
        f"one of {HEADS} or a function from outputs to a distribution, which cannot "
        f"be inferred from its loss. Received: loss={loss!r}"
    )


def is_class_index_loss(loss: keras.losses.Loss) -> bool:
    """Returns whether the targets of the loss are integer labels."""
    if isinstance(loss, AdaLoss):
        loss = loss.loss
    return issubclass(
        class_of(loss), (keras.losses.SparseCategoricalCrossentropy, ClassNumbers)
    )


def predicted(head: Head, outputs: tf.Tensor) -> tfd.Distribution:
    """Returns the predicted distribution of the target of each example.

    Args:
        head: a name of `HEADS`, or a function from outputs to a TFP distribution.
        outputs: outputs of a network, `[N, ...]`. Further axes are a vector of classes
            or values per example, except the last axis for `"logits"` and
            `"probabilities"`, which is the class axis.

    Returns:
        A TFP distribution with batch shape `[N]`.
    """
    outputs = tf.convert_to_tensor(outputs)
    if callable(head):
        return head(outputs)
    if head in ("logits", "probabilities"):
        key = "logits" if head == "logits" else "probs"
        classes = tfd.Categorical(**{key: outputs})
        return _several(classes, outputs.shape.rank - 2)
    if outputs.shape.rank == 2 and outputs.shape[1] == 1:
        outputs = outputs[:, 0]
    if head == "value":
        if outputs.shape.rank == 1:
            return tfd.Deterministic(outputs)
        length = outputs.shape[1:].num_elements()
        return tfd.VectorDeterministic(tf.reshape(outputs, [-1, length]))
    key = "logits" if head == "binary_logits" else "probs"
    return _several(tfd.Bernoulli(**{key: outputs}), outputs.shape.rank - 1)


def _several(distribution: tfd.Distribution, axes: int) -> Any:
    return tfd.Independent(distribution, axes) if axes else distribution
