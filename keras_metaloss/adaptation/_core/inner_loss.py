"""Inner loss: a scalar loss of one support set."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss._utils.dtypes import wide_dtype
from keras_metaloss._utils.shapes import append_axes
from keras_metaloss.losses._core.loss_context import LossContext
from keras_metaloss.losses._core.meta_loss import (
    MetaLoss,
    loss_values,
    required_context,
)
from keras_metaloss.losses._core.standardize import standardize_loss
from keras_metaloss.losses._core.traits import takes_integers

__all__ = ["InnerLoss"]


class InnerLoss:
    """Mean loss over the support set, summed over the outputs of the learner.

    `sum_o w_o * mean_n loss_o(y_o[n], f_o(x[n])) + penalties`

    Args:
        loss: A Keras loss, its name or a function, or a list or dictionary of losses
            for learners with several outputs.
        loss_weights: Weights of the outputs, with the structure of `loss`. Defaults
            to `None`.
        output_names: Names of the outputs in order, for a learner that returns a list
            while `loss` is a dictionary. Defaults to `None`.
        context: Step of losses with a schedule; see `kml.losses.LossContext`. Defaults
            to an empty context.
    """

    def __init__(
        self,
        loss: Any,
        loss_weights: Any = None,
        output_names: list[str] | None = None,
        context: LossContext | None = None,
    ) -> None:
        self._context = context or LossContext()
        self._losses = keras.tree.map_structure(_resolve, loss)
        self._weights = loss_weights
        self._output_names = output_names

    def __call__(
        self,
        y_true: Any,
        y_pred: Any,
        mask: tf.Tensor | None,
        penalties: list[tf.Tensor],
    ) -> tf.Tensor:
        """Computes the scalar inner loss.

        Args:
            y_true: Support targets, `[S, ...]`, or a structure of such tensors.
            y_pred: Predictions with the structure of `y_true`.
            mask: `[S]`, `True` for real examples. `None` uses all examples.
            penalties: Scalars to add, such as weight regularization losses.
        """
        terms = [
            weight * _mean_loss(loss, target, output, mask, self._context)
            for loss, weight, target, output in self.pairs(y_true, y_pred)
        ]
        total = tf.add_n(terms)
        return tf.add_n([total, *(tf.cast(p, total.dtype) for p in penalties)])

    @property
    def requires(self) -> frozenset[str]:
        """Entries of `LossContext` that the losses require."""
        return required_context(self._losses)

    def pairs(self, y_true: Any, y_pred: Any) -> list[tuple]:
        """Returns loss, weight, target and prediction of each output with a loss."""
        outputs = keras.tree.flatten(y_pred)
        names = self._output_names or []
        if isinstance(y_true, dict) and isinstance(y_pred, (list, tuple)):
            # Flattening a dictionary would sort the targets alphabetically.
            y_true = [y_true[name] for name in names if name in y_true]
        targets = keras.tree.flatten(y_true)
        losses = self._per_output(self._losses, y_pred)
        weights = self._per_output(self._weights, y_pred, default=1.0)
        if not len(outputs) == len(targets) == len(losses):
            raise ValueError(
                "Invalid number of targets or losses. Expected one target and one "
                f"loss per output of the learner. Received: {len(outputs)} outputs, "
                f"{len(targets)} targets, {len(losses)} losses"
            )
        return [
            pair
            for pair in zip(losses, weights, targets, outputs, strict=True)
            if pair[0] is not None
        ]

    def _per_output(self, values: Any, y_pred: Any, default: Any = None) -> list[Any]:
        count = len(keras.tree.flatten(y_pred))
        if values is None:
            return [default] * count
        if not keras.tree.is_nested(values):
            return [values] * count
        if isinstance(values, dict):
            names = sorted(y_pred) if isinstance(y_pred, dict) else self._output_names
            names = names or list(values)
            if not set(values) <= set(names):
                raise ValueError(
                    "Invalid keys of `loss` or `loss_weights`. Expected keys among the "
                    f"output names {sorted(names)}. Received: {sorted(values)}"
                )
            return [values.get(name, default) for name in names]
        return list(values)


def _resolve(loss: Any) -> keras.losses.Loss | None:
    """Converts a loss to the Keras loss of a single task."""
    if loss is None:
        return None
    loss = standardize_loss("loss", loss)
    return loss.task_loss() if isinstance(loss, MetaLoss) else loss


def _mean_loss(
    loss: keras.losses.Loss,
    y_true: tf.Tensor,
    y_pred: tf.Tensor,
    mask: tf.Tensor | None,
    context: LossContext,
) -> tf.Tensor:
    values = _values(loss, y_true, y_pred, context)
    # The mask is `False` for labels equal to `ignore_class`.
    not_ignored = _compat.keras_mask(values)
    if mask is None and not_ignored is None:
        return tf.reduce_mean(values)
    if mask is None:
        weights = tf.cast(not_ignored, values.dtype)
    elif not_ignored is None:
        values = tf.reduce_mean(values, axis=list(range(1, values.shape.rank)))
        weights = tf.cast(mask, values.dtype)
    else:
        real = append_axes(tf.cast(mask, values.dtype), values.shape.rank)
        weights = tf.cast(not_ignored, values.dtype) * real
    return tf.math.divide_no_nan(
        tf.reduce_sum(values * weights), tf.reduce_sum(weights)
    )


def _values(
    loss: keras.losses.Loss, y_true: tf.Tensor, y_pred: tf.Tensor, context: LossContext
) -> tf.Tensor:
    """Computes unreduced losses `[N, ...]` in float32 or float64."""
    dtype = wide_dtype(y_pred.dtype)
    if not takes_integers(loss):
        y_true = tf.cast(y_true, dtype)
    elif not y_true.dtype.is_integer:
        y_true = tf.cast(y_true, tf.int64)
    values = loss_values(loss, y_true, tf.cast(y_pred, dtype), context)
    if values.shape.rank == 0:
        raise ValueError(
            "Invalid value for argument `loss`. Expected a loss whose `call` returns "
            "one value per example, not a scalar. Received: "
            f"loss={loss}"
        )
    return values
