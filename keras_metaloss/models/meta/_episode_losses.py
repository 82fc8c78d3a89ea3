"""Outer and inner loss of a `MetaModel`."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss.adaptation import Adaptation
from keras_metaloss.adaptation._core.inner_loss import InnerLoss
from keras_metaloss.losses._core.loss_context import LossContext
from keras_metaloss.losses._core.meta_loss import required_context
from keras_metaloss.losses._core.trainable_loss import check_no_parameters
from keras_metaloss.models._shared.model_mixin import ModelMixin
from keras_metaloss.models.meta._checks import check_losses
from keras_metaloss.models.meta._outer_loss import query_weights

__all__ = ["EpisodeLossesMixin"]


class EpisodeLossesMixin(ModelMixin):
    """Mix-in that computes the outer loss and resolves the inner loss."""

    learner: keras.Model
    adaptation: Adaptation

    @property
    def output_names(self) -> list[str] | None:
        """Names of the outputs of the learner, for losses in a dictionary."""
        return getattr(self.learner, "output_names", None)

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        **kwargs: Any,
    ) -> None:
        """Configures the model for training.

        Args:
            optimizer: The outer optimizer or its name. Defaults to `"rmsprop"`.
            loss: The outer loss: any loss that `keras.Model.compile` accepts. It is
                also the inner loss if the adaptation has no `loss`. Defaults to `None`.
            loss_weights: Weights of the outputs. Defaults to `None`.
            metrics: Metrics computed on the queries. Defaults to `None`.
            weighted_metrics: Metrics that use sample weights. Defaults to `None`.
            **kwargs: Other arguments of `keras.Model.compile`.

        Raises:
            ValueError: If a loss has trained parameters.
        """
        check_no_parameters(loss, self)
        super().compile(
            optimizer, loss, loss_weights, metrics, weighted_metrics, **kwargs
        )

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
        *,
        context: LossContext | None = None,
    ) -> tf.Tensor:
        """Computes the compiled loss of the queries; masked queries are ignored.

        Training minimizes this value. An override may omit `context`, unless the
        compiled loss compares tasks by their gradients.

        Args:
            x: The episodes. Defaults to `None`.
            y: Query targets, `[T, Q, ...]`. Defaults to `None`.
            y_pred: Predictions of the queries, `[T, Q, ...]`. Defaults to `None`.
            sample_weight: Weights of tasks, `[T]`, or queries, `[T, Q]`. Defaults to
                `None`.
            training: Whether the model is being trained. Defaults to `True`.
            context: A `kml.losses.LossContext` with the gradients of the tasks, if the
                loss requires them. Defaults to `None`.

        Returns:
            A scalar.
        """
        weights = query_weights((x or {}).get("query_mask"), sample_weight, y_pred)
        return super().compute_loss(x, y, y_pred, weights, training, context=context)

    def validate_losses(self, episode: dict[str, Any], query_y: Any) -> None:
        """Validates that the losses accept predictions and targets."""
        support_loss = self._inner_loss()
        query_loss = self._compiled_as_inner_loss() if self.compiled else None
        check_losses(self.learner, self, support_loss, query_loss, episode, query_y)

    def _inner_loss(self) -> InnerLoss | None:
        if not self.adaptation.uses_inner_loss:
            return None
        if self.adaptation.loss is not None:
            return InnerLoss(
                self.adaptation.loss,
                output_names=self.output_names,
                context=self.loss_context(),
            )
        if not self.compiled or self.loss is None:
            raise ValueError(
                "Invalid value for argument `loss`. Expected an inner loss: call "
                "`compile(loss=...)` first, or pass `loss` to the adaptation. "
                "Received: adaptation.loss=None and no compiled loss"
            )
        return self._compiled_as_inner_loss()

    def _compiled_as_inner_loss(self) -> InnerLoss:
        weights = _compat.compiled_loss_weights(self)
        context = self.loss_context()
        return InnerLoss(self.loss, weights, self.output_names, context)

    def _needs_task_gradients(self) -> bool:
        needed = "task_gradients" in required_context(self.loss)
        if needed and not self.adaptation.provides_task_gradients:
            raise ValueError(
                "Invalid value for argument `loss`. Expected a loss that does not "
                "compare tasks by their gradients, which "
                f"{type(self.adaptation).__name__} does not provide; "
                "`kml.adaptation.MAML` does. "
                f"Received: loss={self.loss!r}"
            )
        return needed
