"""Compiled loss of a model, which passes a context to losses that accept one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss.losses._core.loss_context import LossContext
from keras_metaloss.losses._core.meta_loss import call_loss
from keras_metaloss.losses._core.missing_labels import (
    Labels,
    call_labeled_loss,
    labels_of,
)

__all__ = ["ContextualCompileLoss", "WeightsAndContext"]


class WeightsAndContext:
    """Sample weights and a loss context, passed to Keras as sample weights.

    Keras passes only `(y, y_pred, sample_weight)` to its compiled loss.

    Args:
        sample_weight: Weights, a structure of them, or `None`.
        context: Context for the losses.
    """

    def __init__(self, sample_weight: Any, context: LossContext) -> None:
        self.sample_weight = sample_weight
        self.context = context


class ContextualCompileLoss(_compat.CompileLoss):
    """Keras's compiled loss, which passes a context to the losses that take one.

    It accepts `WeightsAndContext` in place of sample weights.

    Args:
        loss: Argument `loss` of `compile`.
        loss_weights: Argument `loss_weights` of `compile`.
        output_names: Names of the outputs of the model.
        default_context: Returns the context for calls with plain sample weights.
        masks_missing: Whether missing labels are left out. Defaults to `False`.
    """

    def __init__(
        self,
        loss: Any,
        loss_weights: Any,
        output_names: Any,
        default_context: Callable[[], LossContext],
        masks_missing: bool = False,
    ) -> None:
        super().__init__(loss, loss_weights, output_names=output_names)
        self._default_context = default_context
        self._masks_missing = masks_missing
        self._losses_by_path: dict[tuple, keras.losses.Loss] = {}

    def build(self, y_true: Any, y_pred: Any) -> None:
        super().build(y_true, y_pred)
        _compat.map_compiled_losses(self, self._with_context)

    def labels(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the `Labels` of the outputs in the structure of the predictions.

        Returns `None` if the structures of targets and predictions differ.

        Args:
            y_true: Targets.
            y_pred: Predictions: a tensor, or a list or dictionary of tensors.
        """
        if not self.built:
            self.build(y_true, y_pred)

        def labels(path: tuple, target: Any, output: Any) -> Any:
            loss = self._losses_by_path.get(path)
            if loss is None:
                return Labels(tf.convert_to_tensor(target))
            return labels_of(loss, target, output)

        if tf.is_tensor(y_pred):
            is_single = not keras.tree.is_nested(y_true)
            return labels((), y_true, y_pred) if is_single else None
        if isinstance(y_pred, dict) and isinstance(y_true, dict):
            if set(y_pred) == set(y_true):
                return {k: labels((k,), y_true[k], v) for k, v in y_pred.items()}
        elif isinstance(y_pred, (list, tuple)) and isinstance(y_true, (list, tuple)):
            if len(y_pred) == len(y_true):
                pairs = zip(y_true, y_pred, strict=True)
                return [labels((i,), *pair) for i, pair in enumerate(pairs)]
        return None

    def _with_context(
        self, loss: keras.losses.Loss, path: Sequence[Any]
    ) -> _WithContext:
        self._losses_by_path[tuple(path)] = loss
        return _WithContext(loss, path, self._default_context, self._masks_missing)


class _WithContext:
    """Loss of one output, which receives the context.

    Args:
        loss: The loss of one output.
        path: Keys of the output in the structure of the outputs.
        default_context: Returns the context for calls with plain sample weights.
        masks_missing: Whether missing labels are left out.
    """

    def __init__(
        self,
        loss: keras.losses.Loss,
        path: Sequence[Any],
        default_context: Callable[[], LossContext],
        masks_missing: bool,
    ) -> None:
        self._loss = loss
        self._path = path
        self._default_context = default_context
        self._masks_missing = masks_missing

    def __call__(self, y_true: Any, y_pred: Any, weights: Any) -> Any:
        if not isinstance(weights, WeightsAndContext):
            return self._call(y_true, y_pred, weights, self._default_context())
        sample_weight = weights.sample_weight
        if keras.tree.is_nested(sample_weight):
            for key in self._path:
                sample_weight = sample_weight[key]
        return self._call(y_true, y_pred, sample_weight, weights.context)

    def _call(
        self, y_true: Any, y_pred: Any, sample_weight: Any, context: LossContext
    ) -> Any:
        if not self._masks_missing:
            return call_loss(self._loss, y_true, y_pred, sample_weight, context)
        labels = labels_of(self._loss, y_true, y_pred)
        return call_labeled_loss(self._loss, labels, y_pred, sample_weight, context)
