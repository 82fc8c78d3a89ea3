"""Rapid generalization loss: a loss within tasks plus a term between tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss._utils.masks import combine_masks
from keras_metaloss._utils.shapes import append_axes, expand_to_same_rank
from keras_metaloss.losses._core.loss_context import LossContext
from keras_metaloss.losses._core.meta_loss import MetaLoss, OutputKind, loss_values
from keras_metaloss.losses._core.reduction import reduce_weighted
from keras_metaloss.losses._core.scheduled_weight import (
    Schedule,
    check_scheduled_weight,
    scheduled_value,
)
from keras_metaloss.losses._core.standardize import standardize_loss
from keras_metaloss.losses._core.traits import (
    LossTraits,
    takes_integers,
    traits_of,
)
from keras_metaloss.losses.cross_task.inter_task_loss import InterTaskLoss

__all__ = ["RapidGeneralizationLoss"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class RapidGeneralizationLoss(MetaLoss):
    """Loss within tasks plus a term between the tasks of a batch.

    `L = mean_t intra_t + lambda * inter`, with `intra_t` the mean loss of task t.

    Targets and predictions have a leading task axis, `[T, N, ...]`. Before reduction
    there is one value per task, `intra_t + lambda * inter`, so that the mean of these
    values is L. With `lambda_weight=0`, L is exactly the intra-task loss. The
    inter-task terms of this package are 0 for a single task and do not depend on the
    order of tasks. The inter-task term depends on which tasks share a batch. With
    several replicas, each replica computes it for its own tasks.

    Use this loss in `kml.MetaModel.compile`, or in the `compile` of any Keras model
    whose batches have a task axis.

    Args:
        intra_task_loss: Loss within a task: a Keras loss, the name of one, or a
            function `(y_true, y_pred) -> [T, N]`. Its reduction is not used.
        inter_task_loss: Term between tasks: `kml.losses.TaskLossVariance()`,
            `kml.losses.TaskSimilarityLoss()`, another `kml.losses.InterTaskLoss`, a
            function `(task_losses [T], y_true, y_pred) -> scalar or [T]`, or `None` for
            no term. Defaults to `None`.
        lambda_weight: Non-negative weight of the inter-task term, or a
            `keras.optimizers.schedules.LearningRateSchedule` of the optimizer's
            iterations. `kml.MetaModel` updates the step of the schedule. For other
            models, add the callback `kml.callbacks.LossSchedule()` to `fit`. Defaults
            to `0.5`.
        name: Name of the loss. Defaults to `"rapid_generalization_loss"`.
        reduction: Reduction of the values of the tasks: `"sum_over_batch_size"`,
            `"sum"`, `"mean"`, `"mean_with_sample_weight"`, `None` or `"none"`. Defaults
            to `"sum_over_batch_size"`.
        dtype: Dtype of the loss computation. Defaults to `None`, which uses
            `keras.config.floatx()`.

    Call arguments:
        y_true: Targets, `[T, N, ...]`.
        y_pred: Predictions, `[T, N, ...]`.
        sample_weight: Weights of tasks, `[T]`, or of examples within tasks, `[T, N]`.
            Defaults to `None`.
        context: A `kml.losses.LossContext`, passed to the inter-task term. Defaults to
            `None`, which is an empty context.

    Returns:
        A scalar, or `[T]` without reduction.

    Raises:
        ValueError: If `lambda_weight` is negative or not a finite number, if
            `intra_task_loss` or `inter_task_loss` is of the wrong type, if predictions
            have no task axis, or if `inter_task_loss` returns neither a scalar nor one
            value per task.

    Example:

    >>> import keras, keras_metaloss as kml
    >>> loss = kml.losses.RapidGeneralizationLoss(
    ...     keras.losses.MeanSquaredError(), kml.losses.TaskLossVariance(),
    ...     lambda_weight=0.5)
    >>> y_true = [[[0.0], [0.0]], [[0.0], [0.0]]]
    >>> y_pred = [[[1.0], [1.0]], [[2.0], [2.0]]]       # task losses 1 and 4
    >>> float(loss(y_true, y_pred))                     # 2.5 + 0.5 * 2.25
    3.625

    Reference:
        "The rapid generalisation cost function in meta-learning", section 3:
        `L_RG = L_intra + lambda L_inter`. In the article the similarity of tasks is a
        constant input without a gradient. Here the term is a function of the
        predictions, losses or gradients of the tasks.
    """

    def __init__(
        self,
        intra_task_loss: keras.losses.Loss | str | Callable,
        inter_task_loss: InterTaskLoss | Callable | None = None,
        lambda_weight: float | Schedule = 0.5,
        name: str = "rapid_generalization_loss",
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.intra_task_loss = standardize_loss("intra_task_loss", intra_task_loss)
        if inter_task_loss is not None and not (
            isinstance(inter_task_loss, InterTaskLoss) or callable(inter_task_loss)
        ):
            raise ValueError(
                "Invalid value for argument `inter_task_loss`. Expected a term such as "
                "`kml.losses.TaskLossVariance()`, a function or None. Received: "
                f"inter_task_loss={inter_task_loss!r}"
            )
        self.inter_task_loss = inter_task_loss
        self.lambda_weight = lambda_weight
        check_scheduled_weight("lambda_weight", lambda_weight)
        if isinstance(lambda_weight, Schedule):
            self.track_step("lambda_step")
        else:
            self.lambda_weight = float(lambda_weight)

    @property
    def looks_across_tasks(self) -> bool:
        """`True` if the value of a task depends on the other tasks of its batch."""
        return self.inter_task_loss is not None and self.lambda_weight != 0

    @property
    def per_example(self) -> bool:
        return not self.looks_across_tasks and self._intra_traits.per_example

    @property
    def integer_targets(self) -> bool:
        return takes_integers(self.intra_task_loss)

    @property
    def output_kind(self) -> OutputKind | None:
        return self._intra_traits.output_kind

    @property
    def requires(self) -> frozenset[str]:
        term = self.inter_task_loss
        if not self.looks_across_tasks or not isinstance(term, InterTaskLoss):
            return frozenset()
        return term.requires

    def task_loss(self) -> keras.losses.Loss:
        return self.intra_task_loss

    @property
    def _intra_traits(self) -> LossTraits:
        return traits_of(self.intra_task_loss)

    def __call__(
        self,
        y_true: Any,
        y_pred: Any,
        sample_weight: Any = None,
        context: LossContext | None = None,
    ) -> tf.Tensor:
        context = self.prepare_context(context, y_pred)
        with tf.name_scope(self.name):
            y_true = self.convert_targets(y_true)
            y_pred = keras.ops.convert_to_tensor(y_pred, dtype=self.dtype)
            if sample_weight is not None:
                sample_weight = tf.cast(sample_weight, self.dtype)
                sample_weight = _squeeze_task_weights(sample_weight, y_pred)
            if not self.looks_across_tasks and self.reduction not in (None, "none"):
                # Reduced like the intra-task loss, so that the result is bit-identical.
                values = self._example_values(y_true, y_pred, context)
                return self._reduce(values, sample_weight, context.mask)
            example_weight = None
            if sample_weight is not None and sample_weight.shape.rank > 1:
                sample_weight, example_weight = None, sample_weight
            values = self.values(y_true, y_pred, context, example_weight)
            return self._reduce(values, sample_weight, None)

    def values(
        self,
        y_true: tf.Tensor,
        y_pred: tf.Tensor,
        context: LossContext,
        sample_weight: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Computes `intra_t + lambda * inter` for each task.

        Args:
            y_true: Targets, `[T, N, ...]`.
            y_pred: Predictions, `[T, N, ...]`.
            context: A `kml.losses.LossContext`. Its `mask`, `[T, N]`, is `False` for
                examples to exclude from all means. The inter-task term receives the
                other entries.
            sample_weight: Weights of examples, `[T, N]`. `intra_t` is the mean over N
                of weight times loss. Defaults to `None`.

        Returns:
            Tensor `[T]`.
        """
        y_true, y_pred = tf.convert_to_tensor(y_true), tf.convert_to_tensor(y_pred)
        values = self._example_values(y_true, y_pred, context)
        # The mask of the values is `False` for labels that `ignore_class` ignores.
        mask = combine_masks(values, _compat.keras_mask(values), context.mask)
        if mask is not None:
            sample_weight = _masked(sample_weight, tf.cast(mask, values.dtype))
        if sample_weight is not None:
            values = values * append_axes(sample_weight, values.shape.rank)
            if context.task_representations is None:
                vectors = _mean_predictions(y_pred, sample_weight)
                context = context._replace(task_representations=vectors)
        intra = tf.reduce_mean(values, axis=list(range(1, values.shape.rank)))
        if not self.looks_across_tasks:
            return intra
        weight = scheduled_value(self.lambda_weight, context.step, intra.dtype)
        return intra + weight * self._inter(intra, y_true, y_pred, context)

    def _reduce(
        self, values: tf.Tensor, sample_weight: Any, mask: tf.Tensor | None
    ) -> tf.Tensor:
        return reduce_weighted(
            values,
            sample_weight,
            mask=mask,
            reduction=self.reduction,
            dtype=self.dtype,
        )

    def _example_values(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, context: LossContext
    ) -> tf.Tensor:
        if y_pred.shape.rank is not None and y_pred.shape.rank < 2:
            raise ValueError(
                "Invalid value for argument `y_pred`. Expected predictions with a "
                "leading task axis, [T, N, ...]. Received: "
                f"y_pred.shape={tuple(y_pred.shape)}"
            )
        y_true, y_pred = expand_to_same_rank(y_true, y_pred)
        values = loss_values(self.intra_task_loss, y_true, y_pred, context)
        if values.shape.rank < 2:
            # For predictions [T, N], the loss averages over N, which leaves values [T].
            values = values[:, tf.newaxis]
        return values

    def _inter(
        self,
        intra: tf.Tensor,
        y_true: tf.Tensor,
        y_pred: tf.Tensor,
        context: LossContext,
    ) -> tf.Tensor:
        term: Any = self.inter_task_loss
        if isinstance(term, InterTaskLoss):
            inter = term.call(intra, y_true, y_pred, context)
        elif context.task_similarity is None:
            inter = term(intra, y_true, y_pred)
        else:
            similarity = context.task_similarity
            inter = term(intra, y_true, y_pred, task_similarity=similarity)
        inter = tf.cast(inter, intra.dtype)
        if inter.shape.rank not in (0, 1):
            raise ValueError(
                "Invalid value for argument `inter_task_loss`. Expected a term that "
                "returns a scalar or one value per task. Received: "
                f"inter_task_loss={term!r}, which returns the shape "
                f"{tuple(inter.shape)}"
            )
        return inter

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "intra_task_loss": serialize(self.intra_task_loss),
            "inter_task_loss": serialize(self.inter_task_loss),
            "lambda_weight": serialize(self.lambda_weight),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> RapidGeneralizationLoss:
        config = dict(config)
        for key in ("intra_task_loss", "inter_task_loss", "lambda_weight"):
            config[key] = keras.saving.deserialize_keras_object(config[key])
        return cls(**config)


def _squeeze_task_weights(weight: Any, y_pred: tf.Tensor) -> Any:
    """Returns weights `[T, 1, ...]` of tasks with several examples as `[T]`."""
    several = y_pred.shape.rank > 1 and y_pred.shape[1] != 1
    if weight.shape.rank > 1 and several and set(weight.shape[1:]) == {1}:
        return tf.reshape(weight, [-1])
    return weight


def _masked(weight: Any, mask: tf.Tensor) -> tf.Tensor:
    """Returns weights `[T, N, ...]` that turn the mean over N into a masked mean."""
    axes = list(range(1, mask.shape.rank))
    mask = tf.math.divide_no_nan(mask, tf.reduce_mean(mask, axis=axes, keepdims=True))
    if weight is None:
        return mask
    return append_axes(weight, mask.shape.rank) * mask


def _mean_predictions(y_pred: tf.Tensor, sample_weight: Any) -> tf.Tensor:
    """Returns mean predictions `[T, D]` over examples with nonzero weight."""
    counts = tf.cast(sample_weight != 0, y_pred.dtype)
    counts = tf.reshape(counts, tf.concat([tf.shape(counts)[:2], [-1]], 0))
    flat = tf.reshape(y_pred, tf.concat([tf.shape(y_pred)[:2], [-1]], 0))
    # An example counts once, even if its weights have one entry per output.
    counts = tf.reduce_max(counts, axis=-1, keepdims=True)
    return tf.math.divide_no_nan(
        tf.reduce_sum(flat * counts, axis=1), tf.reduce_sum(counts, axis=1)
    )
