"""Base class of losses that declare their properties and required inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss.losses._core.loss_context import LossContext
from keras_metaloss.losses._core.reduction import reduce_weighted

__all__ = [
    "MetaLoss",
    "OutputKind",
    "call_loss",
    "loss_values",
    "nested_losses",
    "required_context",
    "set_loss_steps",
]

#: An output kind of `OUTPUT_KINDS`, or a function from outputs to a TFP distribution.
OutputKind = str | Callable[[tf.Tensor], Any]

_CONTAINERS = (keras.losses.Loss, list, tuple, dict)

# Hints for missing entries of `LossContext`, for error messages.
_HINTS = {
    "example_gradients": "`kml.AdaptiveLossModel` supplies it",
    "task_gradients": "`kml.MetaModel` supplies it",
    "step": "call `track_step` in the constructor of the loss",
}


class MetaLoss(keras.losses.Loss):
    """Base class of losses that declare their properties and receive a context.

    A Keras loss is a function of `(y_true, y_pred)`. A `MetaLoss` also declares its
    properties in the attributes below, and receives additional inputs in a
    `kml.losses.LossContext`. The attributes may be class attributes, instance
    attributes or properties. A subclass implements `values` and may override:

    - `per_example`: Whether each value depends on one example alone. `kml.MetaModel`
      then computes the outer loss task by task, which saves memory. Defaults to
      `False`.
    - `integer_targets`: Whether targets are integer labels. `values` then receives
      integers, because half precision would round labels above 256. Defaults to
      `False`.
    - `output_kind`: Meaning of the predictions: `"logits"`, `"probabilities"`,
      `"binary_logits"`, `"binary_probabilities"`, `"value"`, or a function from outputs
      to a TFP distribution. Required by `kml.JointModel`. Defaults to `None`, which
      means unknown.
    - `requires`: Names of the entries of `LossContext` that the loss requires. Defaults
      to an empty set.
    - `task_loss()`: Returns the loss of a single task, which an inner loop minimizes.
      The default returns the loss itself.

    A loss with a schedule calls `track_step` in its constructor and reads
    `context.step`. Losses with trained parameters inherit from
    `kml.losses.TrainableLoss`.

    Args:
        name: Name of the loss. Defaults to `None`, which uses the class name in snake
            case.
        reduction: Type of reduction to apply to the loss: `"sum_over_batch_size"`,
            `"sum"`, `"mean"`, `"mean_with_sample_weight"` or `None`. Defaults to
            `"sum_over_batch_size"`.
        dtype: Dtype of the loss computation. Defaults to `None`, which uses
            `keras.config.floatx()`.

    Call arguments:
        y_true: Targets, `[N, ...]`.
        y_pred: Predictions, `[N, ...]`.
        sample_weight: Weights that broadcast to the values. Defaults to `None`.
        context: A `kml.losses.LossContext`. Defaults to `None`, which is an empty
            context.

    Raises:
        ValueError: If the context lacks a required entry.

    Example:

    >>> import keras, keras_metaloss as kml
    >>> class FadingError(kml.losses.MetaLoss):
    ...     per_example = True
    ...     output_kind = "value"
    ...     def __init__(self, **kwargs):
    ...         super().__init__(**kwargs)
    ...         self.track_step()
    ...     def values(self, y_true, y_pred, context):
    ...         weight = keras.ops.exp(-keras.ops.cast(context.step, y_pred.dtype))
    ...         return weight * keras.losses.mean_absolute_error(y_true, y_pred)
    >>> loss = FadingError()
    >>> loss.set_step(1)                        # models do this after each update
    >>> round(float(loss([[0.0]], [[2.0]])), 4)                         # 2 / e
    0.7358
    """

    if TYPE_CHECKING:
        # Type checkers allow a subclass to override a read-only property with an
        # attribute or a property, but an attribute only with another attribute.
        @property
        def per_example(self) -> bool: ...
        @property
        def integer_targets(self) -> bool: ...
        @property
        def output_kind(self) -> OutputKind | None: ...
        @property
        def requires(self) -> frozenset[str]: ...

    else:
        per_example = False
        integer_targets = False
        output_kind = None
        requires = frozenset()

    def __init__(
        self,
        name: str | None = None,
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.step: keras.Variable | None = None

    # Not a property: when saving, Keras would follow a property that returns the loss
    # without end.
    def task_loss(self) -> keras.losses.Loss:
        """Returns the loss of a single task, which an inner loop minimizes."""
        return self

    def values(self, y_true: Any, y_pred: Any, context: LossContext) -> tf.Tensor:
        """Computes the values before reduction, `[N, ...]`.

        Args:
            y_true: Targets, `[N, ...]`, in the dtype of the loss, or as integers with
                `integer_targets`.
            y_pred: Predictions, `[N, ...]`.
            context: Additional inputs from the caller, a `kml.losses.LossContext`.
        """
        raise NotImplementedError

    def __call__(
        self,
        y_true: Any,
        y_pred: Any,
        sample_weight: Any = None,
        context: LossContext | None = None,
    ) -> tf.Tensor:
        context = self.prepare_context(context, y_pred)
        with tf.name_scope(self.name):
            y_pred = keras.ops.convert_to_tensor(y_pred, dtype=self.dtype)
            values = self.values(self.convert_targets(y_true), y_pred, context)
            return reduce_weighted(
                values,
                sample_weight,
                mask=context.mask,
                reduction=self.reduction,
                dtype=self.dtype,
            )

    def call(self, y_true: Any, y_pred: Any) -> tf.Tensor:
        """Computes the values before reduction, for callers without a context."""
        context = self.prepare_context(None, y_pred)
        return self.values(self.nested_targets(y_true, y_pred), y_pred, context)

    def convert_targets(self, y_true: Any) -> tf.Tensor:
        """Converts targets to the dtype of the loss, or to integers."""
        if not self.integer_targets:
            return keras.ops.convert_to_tensor(y_true, dtype=self.dtype)
        labels = keras.ops.convert_to_tensor(y_true)
        return labels if labels.dtype.is_integer else tf.cast(labels, tf.int64)

    def nested_targets(self, y_true: Any, y_pred: Any) -> tf.Tensor:
        """Converts targets for a caller that computes in the dtype of `y_pred`."""
        y_true = tf.convert_to_tensor(y_true)
        if self.integer_targets:
            return self.convert_targets(y_true)
        dtype = tf.convert_to_tensor(y_pred).dtype
        return tf.cast(y_true, dtype) if y_true.dtype.is_integer else y_true

    def prepare_context(self, context: LossContext | None, y_pred: Any) -> LossContext:
        """Returns the context of a call, with the Keras mask of the predictions.

        Raises:
            ValueError: If a required entry is missing.
        """
        context = context or LossContext()
        if context.mask is None and tf.is_tensor(y_pred):
            # Converting the predictions to another dtype would drop the mask.
            context = context._replace(mask=_compat.keras_mask(y_pred))
        if not _compat.is_recording():
            # Outside of training, the parameters of the loss may be read.
            context = context._replace(trains_parameters=True)
        return self.complete(context)

    def complete(self, context: LossContext) -> LossContext:
        """Returns the context with the step count of this loss.

        Raises:
            ValueError: If a required entry is missing.
        """
        if self.step is not None:
            context = context._replace(step=tf.convert_to_tensor(self.step))
        missing = sorted(n for n in self.requires if getattr(context, n) is None)
        if missing:
            hints = [f"{n} ({_HINTS[n]})" for n in missing if n in _HINTS]
            raise ValueError(
                "Invalid value for argument `context`. The loss "
                f"{self.name!r} requires entries of `LossContext` that are missing: "
                f"{', '.join(hints or missing)}. Compile the loss with a model that "
                "supplies them, or call `loss(y_true, y_pred, context="
                f"LossContext(...))`. Received: a context without {missing}"
            )
        return context

    def track_step(self, name: str = "step") -> None:
        """Adds a step counter, for losses that depend on the training step.

        Models of this package and `kml.callbacks.LossSchedule` set it after each
        update. It is saved with the model. `values` reads it from `context.step`, where
        it replaces the step of the caller.

        Args:
            name: Name of the counter in saved files. Defaults to `"step"`.
        """
        self.step = keras.Variable(
            0,
            trainable=False,
            dtype="int64",
            aggregation="only_first_replica",
            name=name,
        )

    def set_step(self, step: Any) -> None:
        """Sets the step counter, if there is one."""
        if self.step is not None:
            self.step.assign(tf.cast(step, "int64"))

    def save_own_variables(self, store: dict[str, Any]) -> None:
        if self.step is not None:
            store[self.step.name] = self.step.numpy()

    def load_own_variables(self, store: dict[str, Any]) -> None:
        # A model that was compiled with another loss did not save a counter.
        if self.step is not None and self.step.name in store:
            self.step.assign(store[self.step.name])

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        # Subclasses without an argument `dtype` are restored with the default.
        if self.dtype != keras.config.floatx():
            config["dtype"] = self.dtype
        return config


def loss_values(
    loss: keras.losses.Loss, y_true: Any, y_pred: Any, context: LossContext
) -> tf.Tensor:
    """Computes the values of any Keras loss before reduction."""
    if isinstance(loss, MetaLoss):
        targets = loss.nested_targets(y_true, y_pred)
        return loss.values(targets, y_pred, loss.complete(context))
    return loss.call(y_true, y_pred)


def call_loss(
    loss: keras.losses.Loss,
    y_true: Any,
    y_pred: Any,
    sample_weight: Any,
    context: LossContext | None,
) -> tf.Tensor:
    """Calls any Keras loss, with the context if the loss takes one."""
    if isinstance(loss, MetaLoss):
        return loss(y_true, y_pred, sample_weight, context=context)
    return loss(y_true, y_pred, sample_weight)


def nested_losses(loss: Any) -> Iterator[keras.losses.Loss]:
    """Yields the losses in a structure, including losses nested in other losses.

    Args:
        loss: Argument `loss` of `compile`.
    """
    for part in keras.tree.flatten(loss):
        if isinstance(part, keras.losses.Loss):
            yield part
            nested = [v for v in vars(part).values() if isinstance(v, _CONTAINERS)]
            yield from nested_losses(nested)


def required_context(loss: Any) -> frozenset[str]:
    """Returns the entries of `LossContext` that a structure of losses requires."""
    required = (x.requires for x in nested_losses(loss) if isinstance(x, MetaLoss))
    return frozenset[str]().union(*required)


def set_loss_steps(loss: Any, step: Any) -> None:
    """Sets the step counter of every loss in a structure."""
    for nested in nested_losses(loss):
        if isinstance(nested, MetaLoss):
            nested.set_step(step)
