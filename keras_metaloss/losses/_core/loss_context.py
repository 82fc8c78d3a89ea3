"""The context that a model passes to a loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import tensorflow as tf

__all__ = ["ExampleGradients", "GradientStatistics", "LossContext"]


class GradientStatistics(NamedTuple):
    """Statistics of the gradients of the examples of a batch.

    Attributes:
        norms: Norm of the gradient of each example, `[N]`.
        cosines: Cosine of each gradient with the mean gradient of the batch, `[N]`, or
            `None` if not requested. Defaults to `None`.
        mask: Boolean mask, `[N]`, `True` for examples to include in means over the
            batch. `None` includes all examples. Defaults to `None`.
    """

    norms: tf.Tensor
    cosines: tf.Tensor | None = None
    mask: tf.Tensor | None = None


class ExampleGradients(Protocol):
    """Computes statistics of per-example gradients with respect to network weights."""

    def __call__(
        self,
        values: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
        *,
        weights: str,
        chunk_size: int,
        with_cosines: bool,
    ) -> GradientStatistics:
        """Differentiates `values` for each example of the batch.

        Args:
            values: Function `(y_true, y_pred) -> [N, ...]`.
            weights: Weights to differentiate with respect to, `"last_layer"` or
                `"parameters"`.
            chunk_size: Number of examples whose gradients are held in memory at a
                time.
            with_cosines: Whether to compute the cosines with the mean gradient.
        """


class LossContext(NamedTuple):
    """Inputs of a loss beyond `(y_true, y_pred)`.

    Models fill in the entries that they have and pass the context to a
    `kml.losses.MetaLoss`. Missing entries are `None`. A loss names the entries that it
    requires in `MetaLoss.requires`.

    Attributes:
        step: Number of updates made by the optimizer, an integer scalar. Supplied
            by every model of this package, and by `kml.callbacks.LossSchedule` in other
            models. Defaults to `None`.
        mask: Boolean mask of the predictions, `False` for entries to ignore. `MetaLoss`
            reads it from the predictions. Defaults to `None`.
        example_gradients: Function that computes statistics of the gradient of each
            example with respect to weights of the network. Supplied by
            `kml.AdaptiveLossModel`. Defaults to `None`.
        task_gradients: Gradient of the support loss of each task at the initialization,
            `[T, P]`. Supplied by `kml.MetaModel`. Defaults to `None`.
        task_representations: One vector per task, `[T, D]`. Defaults to `None`.
        task_similarity: Similarity of each pair of tasks, `[T, T]`. Defaults to `None`.
        trains_parameters: Whether the caller trains the parameters of the loss. Set it
            to `True` in a custom training loop that updates
            `loss.trainable_variables`.
            Defaults to `False`.

    Example:

    >>> import numpy as np, keras_metaloss as kml
    >>> loss = kml.losses.RapidGeneralizationLoss(
    ...     "mse", kml.losses.TaskSimilarityLoss(), lambda_weight=1.0)
    >>> y_true, y_pred = [[[0.0]], [[0.0]]], [[[1.0]], [[2.0]]]
    >>> context = kml.losses.LossContext(task_similarity=np.ones((2, 2)))
    >>> float(loss(y_true, y_pred, context=context))    # (1 + 4) / 2 + (2 - 1)^2
    3.5
    """

    step: Any = None
    mask: tf.Tensor | None = None
    example_gradients: ExampleGradients | None = None
    task_gradients: tf.Tensor | None = None
    task_representations: tf.Tensor | None = None
    task_similarity: Any = None
    trains_parameters: bool = False
