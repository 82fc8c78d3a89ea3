"""Distributions represented by the outputs of networks."""

from __future__ import annotations

from typing import TypeAlias

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_metaloss.losses._core.meta_loss import OutputKind
from keras_metaloss.losses._core.traits import OUTPUT_KINDS, traits_of

__all__ = ["output_distribution", "output_kind_of"]

tfd = tfp.distributions

Distribution: TypeAlias = tfp.distributions.Distribution


def output_kind_of(task: str, loss: keras.losses.Loss) -> OutputKind:
    """Returns the kind of output that `loss` expects as predictions.

    Raises:
        ValueError: If the kind of output cannot be inferred from the loss.
    """
    kind = traits_of(loss).output_kind
    if kind is None:
        raise ValueError(
            "Invalid value for argument `output_kinds`. Expected an entry for task "
            f"{task!r}, because its kind of output cannot be inferred from its loss. "
            f"Pass one of {OUTPUT_KINDS} or a function from outputs to a TFP "
            f"distribution. Received: loss={loss!r}"
        )
    return kind


def output_distribution(kind: OutputKind, outputs: tf.Tensor) -> Distribution:
    """Returns the predicted distribution of the target of each example.

    Args:
        kind: One of `OUTPUT_KINDS`, or a function from outputs to a TFP distribution.
        outputs: Outputs of a network, `[N, ...]`. For `"logits"` and
            `"probabilities"`, the last axis is the class axis. All other axes except
            the first hold the variables of one example.

    Returns:
        A TFP distribution with batch shape `[N]`.
    """
    outputs = tf.convert_to_tensor(outputs)
    if callable(kind):
        distribution = kind(outputs)
        if not isinstance(distribution, tfd.Distribution):
            raise ValueError(
                "Invalid value for argument `output_kinds`. Expected a function that "
                "returns a `tensorflow_probability` distribution. Received: a function "
                f"that returns {distribution!r}"
            )
        return distribution
    if kind in ("logits", "probabilities"):
        key = "logits" if kind == "logits" else "probs"
        classes = tfd.Categorical(**{key: outputs})
        return _independent(classes, outputs.shape.rank - 2)
    if outputs.shape.rank == 2 and outputs.shape[1] == 1:
        outputs = outputs[:, 0]
    if kind == "value":
        if outputs.shape.rank == 1:
            return tfd.Deterministic(outputs)
        length = outputs.shape[1:].num_elements()
        return tfd.VectorDeterministic(tf.reshape(outputs, [-1, length]))
    key = "logits" if kind == "binary_logits" else "probs"
    return _independent(tfd.Bernoulli(**{key: outputs}), outputs.shape.rank - 1)


def _independent(distribution: Distribution, axes: int) -> Distribution:
    """Treats the last `axes` batch axes as one event."""
    return tfd.Independent(distribution, axes) if axes else distribution
