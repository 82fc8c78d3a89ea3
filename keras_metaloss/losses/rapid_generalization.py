"""A loss within tasks plus a term between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss.as_loss import as_loss
from keras_metaloss.checks import check_non_negative
from keras_metaloss.losses.inter_task import InterTaskLoss
from keras_metaloss.same_rank import with_missing_axis

__all__ = ["RapidGeneralizationLoss"]

Schedule = keras.optimizers.schedules.LearningRateSchedule


@keras.saving.register_keras_serializable(package="keras_metaloss")
class RapidGeneralizationLoss(keras.losses.Loss):
    """Loss within tasks plus a term between the tasks of a batch.

    `L = mean_t intra_t + lambda * inter`, with `intra_t` the mean loss of task t.

    Targets and predictions have a leading task axis, `[T, N, ...]`. The value before
    reduction is one number a task, `intra_t + lambda * inter`, so that its mean is L.
    `lambda_weight=0` gives exactly the intra loss. With the terms of this package a
    single task gives `inter = 0`, and the order of tasks does not matter. The term
    between tasks depends on which tasks share a batch; with several replicas each sees
    its own.

    Use it in `kml.MetaModel.compile`, or in the `compile` of any Keras model whose
    batches have a task axis.

    Args:
        intra_task_loss: loss within a task: a Keras loss, its name, or a function
            `(y_true, y_pred) -> [T, N]`. Its own reduction is not used.
        inter_task_loss: term between tasks: `kml.losses.TaskLossVariance()`,
            `kml.losses.TaskSimilarityLoss()`, a function
            `(task_losses [T], y_true, y_pred) -> scalar or [T]`, or `None`.
        lambda_weight: weight of the term between tasks: a number not below zero, or a
            `keras.optimizers.schedules.LearningRateSchedule` of the optimizer's
            iterations. `kml.MetaModel` keeps count of them; with another model add the
            callback `kml.callbacks.LossSchedule()` to `fit`.
        name: name of the loss.
        reduction: as in Keras.
        dtype: dtype of the computation.

    Call arguments:
        y_true: targets, `[T, N, ...]`.
        y_pred: predictions, `[T, N, ...]`.
        sample_weight: `[T]` weighs tasks, `[T, N]` weighs examples within tasks.
        task_similarity: `[T, T]`, handed to the term between tasks.

    Raises:
        ValueError: if `lambda_weight` is negative or not a number, or predictions have
            no task axis.

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
        `L_RG = L_intra + lambda L_inter`. The article hands over the similarity of
        tasks as a constant, which has no gradient; here the term is a function of
        predictions, losses or gradients of tasks.
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
        self.intra_task_loss = as_loss("intra_task_loss", intra_task_loss)
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
        self.step = None
        if isinstance(lambda_weight, Schedule):
            self.step = keras.Variable(
                0, trainable=False, dtype="int64", name="lambda_step"
            )
        else:
            self.lambda_weight = check_non_negative("lambda_weight", lambda_weight)

    @property
    def representation(self) -> str:
        """What the term between tasks needs: `"prediction"` or `"gradient"`."""
        return getattr(self.inter_task_loss, "representation", "prediction")

    @property
    def looks_across_tasks(self) -> bool:
        """Whether the value of a task depends on the other tasks of its batch."""
        return self.inter_task_loss is not None and self.lambda_weight != 0

    def __call__(
        self,
        y_true: Any,
        y_pred: Any,
        sample_weight: Any = None,
        *,
        task_similarity: Any = None,
        representations: Any = None,
    ) -> tf.Tensor:
        mask = _compat.keras_mask(y_pred)
        with tf.name_scope(self.name):
            y_true = keras.ops.convert_to_tensor(y_true, dtype=self.dtype)
            y_pred = keras.ops.convert_to_tensor(y_pred, dtype=self.dtype)
            reduce = _Reduction(reduction=self.reduction, dtype=self.dtype)
            if sample_weight is not None:
                sample_weight = _of_tasks(tf.cast(sample_weight, self.dtype), y_pred)
            if not self.looks_across_tasks and self.reduction not in (None, "none"):
                # Reduced like the intra loss itself, so that not one bit differs.
                values = self._example_values(y_true, y_pred)
                _compat.add_keras_mask(values, mask)
                return reduce(values, values, sample_weight)
            example_weight = None
            if sample_weight is not None and sample_weight.shape.rank > 1:
                sample_weight, example_weight = None, sample_weight
            values = self.task_values(
                y_true,
                y_pred,
                example_weight,
                mask=mask,
                task_similarity=task_similarity,
                representations=representations,
            )
            return reduce(values, values, sample_weight)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return self.task_values(y_true, y_pred)

    def task_values(
        self,
        y_true: tf.Tensor,
        y_pred: tf.Tensor,
        sample_weight: tf.Tensor | None = None,
        *,
        mask: tf.Tensor | None = None,
        task_similarity: tf.Tensor | None = None,
        representations: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """`intra_t + lambda * inter` of each task.

        Args:
            y_true: targets, `[T, N, ...]`.
            y_pred: predictions, `[T, N, ...]`.
            sample_weight: `[T, N]`; `intra_t` is the mean over N of weight times loss.
            mask: `[T, N]`, false for what does not count in any mean.
            task_similarity: `[T, T]`, for terms that take it.
            representations: `[T, D]`, for terms that need it; without it the mean
                prediction over the examples of weight above zero.

        Returns:
            Tensor `[T]`.
        """
        y_true, y_pred = tf.convert_to_tensor(y_true), tf.convert_to_tensor(y_pred)
        values = self._example_values(y_true, y_pred)
        _compat.add_keras_mask(values, mask)
        mask = _compat.keras_mask(values)  # also false for what `ignore_class` says
        if mask is not None:
            sample_weight = _masked(sample_weight, tf.cast(mask, values.dtype))
        if sample_weight is not None:
            rank = values.shape.rank
            shape = tf.concat(
                [
                    tf.shape(sample_weight),
                    tf.ones([rank - sample_weight.shape.rank], tf.int32),
                ],
                axis=0,
            )
            values = values * tf.reshape(sample_weight, shape)
            if representations is None and self.representation == "prediction":
                representations = _mean_predictions(y_pred, sample_weight)
        intra = tf.reduce_mean(values, axis=list(range(1, values.shape.rank)))
        if not self.looks_across_tasks:
            return intra
        inter = self._inter(intra, y_true, y_pred, task_similarity, representations)
        return intra + self._lambda(intra.dtype) * inter

    def _example_values(self, y_true, y_pred):
        if y_pred.shape.rank is not None and y_pred.shape.rank < 2:
            raise ValueError(
                "Expected predictions with a leading task axis, [T, N, ...]. Received: "
                f"y_pred.shape={tuple(y_pred.shape)}"
            )
        values = self.intra_task_loss.call(*with_missing_axis(y_true, y_pred))
        if values.shape.rank < 2:
            # A loss that averages the last axis of predictions [T, N].
            values = values[:, tf.newaxis]
        return values

    def _inter(self, intra, y_true, y_pred, task_similarity, representations):
        if isinstance(self.inter_task_loss, InterTaskLoss):
            inter = self.inter_task_loss.call(
                intra,
                y_true,
                y_pred,
                representations=representations,
                task_similarity=task_similarity,
            )
        elif task_similarity is None:
            inter = self.inter_task_loss(intra, y_true, y_pred)
        else:
            inter = self.inter_task_loss(
                intra, y_true, y_pred, task_similarity=task_similarity
            )
        inter = tf.cast(inter, intra.dtype)
        if inter.shape.rank not in (0, 1):
            raise ValueError(
                "Expected `inter_task_loss` to return a scalar or one value a task. "
                f"Received: a result of shape {tuple(inter.shape)}"
            )
        return inter

    def _lambda(self, dtype):
        if self.step is None:
            return tf.constant(self.lambda_weight, dtype)
        return tf.cast(self.lambda_weight(tf.convert_to_tensor(self.step)), dtype)

    def set_step(self, step: Any) -> None:
        """Tells a scheduled `lambda_weight` how many updates the optimizer has made."""
        if self.step is not None:
            self.step.assign(tf.cast(step, "int64"))

    def save_own_variables(self, store: dict[str, Any]) -> None:
        if self.step is not None:
            store["lambda_step"] = self.step.numpy()

    def load_own_variables(self, store: dict[str, Any]) -> None:
        if self.step is not None and "lambda_step" in store:
            self.step.assign(store["lambda_step"])

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "intra_task_loss": serialize(self.intra_task_loss),
            "inter_task_loss": serialize(self.inter_task_loss),
            "lambda_weight": serialize(self.lambda_weight),
            "dtype": self.dtype,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> RapidGeneralizationLoss:
        config = dict(config)
        for key in ("intra_task_loss", "inter_task_loss", "lambda_weight"):
            config[key] = keras.saving.deserialize_keras_object(config[key])
        return cls(**config)


def _of_tasks(weight, y_pred):
    """Weights `[T, 1, ...]` of tasks with several examples as `[T]`."""
    several = y_pred.shape.rank > 1 and y_pred.shape[1] != 1
    if weight.shape.rank > 1 and several and set(weight.shape[1:]) == {1}:
        return tf.reshape(weight, [-1])
    return weight


def _masked(weight, mask):
    """Weights `[T, N, ...]`, 0 where the mask is; tasks keep their means."""
    axes = list(range(1, mask.shape.rank))
    mask = tf.math.divide_no_nan(mask, tf.reduce_mean(mask, axis=axes, keepdims=True))
    if weight is None:
        return mask
    for _ in range(mask.shape.rank - weight.shape.rank):
        weight = weight[..., tf.newaxis]
    return weight * mask


def _mean_predictions(y_pred, sample_weight):
    """Mean `[T, D]` over the examples that count."""
    counts = tf.cast(sample_weight != 0, y_pred.dtype)
    counts = tf.reshape(counts, tf.concat([tf.shape(counts)[:2], [-1]], 0))
    flat = tf.reshape(y_pred, tf.concat([tf.shape(y_pred)[:2], [-1]], 0))
    # Weights of single outputs do not divide a prediction.
    counts = tf.reduce_max(counts, axis=-1, keepdims=True)
    return tf.math.divide_no_nan(
        tf.reduce_sum(flat * counts, axis=1), tf.reduce_sum(counts, axis=1)
    )


class _Reduction(keras.losses.Loss):
    """Keras's own reduction, weights and replica scaling for values at hand."""

    def call(self, y_true, y_pred):
        return y_pred
