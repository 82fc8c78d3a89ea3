"""Compiled loss of a model, which passes a context to losses that accept one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_metaloss import _compat
from keras_metaloss.losses._core.loss_context import LossContext
from keras_metaloss.losses._core.meta_loss import call_loss

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
    """

    def __init__(
        self,
        loss: Any,
        loss_weights: Any,
        output_names: Any,
        default_context: Callable[[], LossContext],
    ) -> None:
        super().__init__(loss, loss_weights, output_names=output_names)
        self._default_context = default_context

    def build(self, y_true: Any, y_pred: Any) -> None:
        super().build(y_true, y_pred)
        _compat.map_compiled_losses(
            self, lambda loss, path: _WithContext(loss, path, self._default_context)
        )


class _WithContext:
    """Loss of one output, which receives the context.

    Args:
        loss: The loss of one output.
        path: Keys of the output in the structure of the outputs.
        default_context: Returns the context for calls with plain sample weights.
    """

    def __init__(
        self,
        loss: keras.losses.Loss,
        path: Sequence[Any],
        default_context: Callable[[], LossContext],
    ) -> None:
        self._loss = loss
        self._path = path
        self._default_context = default_context

    def __call__(self, y_true: Any, y_pred: Any, weights: Any) -> Any:
        if not isinstance(weights, WeightsAndContext):
            context = self._default_context()
            return call_loss(self._loss, y_true, y_pred, weights, context)
        sample_weight = weights.sample_weight
        if keras.tree.is_nested(sample_weight):
            for key in self._path:
                sample_weight = sample_weight[key]
        return call_loss(self._loss, y_true, y_pred, sample_weight, weights.context)
